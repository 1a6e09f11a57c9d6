"""C programs on microcontrollers: built by cross compilers, and run on boards that QEMU emulates.

Each is run on at least 100 images; int8 scores equal those of the NumPy reference to the bit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import few_fast
from nets_to_export import digits, net_named
from small_c_nets import few_digits, quantized_or_not, small_integers, small_model
from test_c_examples import check_lines, write_folder

from netlet.backends.cpu.bounded_process import StoppedProcessError
from netlet.errors import ExportError
from netlet.export import COptions, TracedModel, export_c, int8_reference, reference, trace_model
from netlet.export.board_run import Program, has_emulator, link_size, run_program
from netlet.export.c_program import generate_program
from netlet.export.quantize import QuantizedGraph, quantize_graph
from netlet.export.targets import TARGETS, Target

IMAGES = 100
LEVELS = ("-Os", "-O3")


def target_for_test(name: str) -> Target:
    target = TARGETS[name]
    missing = [c for c in (target.compiler, target.emulator[0]) if shutil.which(c) is None]
    if missing:
        pytest.skip(
            f"needs {' and '.join(missing)} (Debian: {target.packages} {target.emulator_package})"
        )
    return target


def program_for_board(
    model: TracedModel, quantized: QuantizedGraph | None, prefix: str = "netlet"
) -> Program:
    texts = generate_program(model, quantized, prefix)
    function = f"{prefix}_predict{'_int' if quantized else ''}"
    return Program(texts, function, quantized is not None, model.graph.classes)


def check_on_board(
    model: TracedModel,
    quantized: QuantizedGraph | None,
    target: Target,
    level: str,
    images: torch.Tensor,
) -> None:
    """Run a program on a board, and compare its scores with Python's."""
    program = program_for_board(model, quantized)
    size = link_size(program, target, [level, "-Werror"])
    assert size.warnings == ()
    found = run_program(program, target, [level], images.numpy())
    if quantized is None:
        expected = reference.compute_logits(model.graph, images).numpy()
        np.testing.assert_allclose(found.scores, expected, rtol=0, atol=1e-4)
        assert size.flash_bytes > 4 * model.graph.weights
    else:
        expected = int8_reference.compute_logits(quantized, images.numpy())
        np.testing.assert_array_equal(found.scores, expected)
        assert size.flash_bytes > model.graph.weights
    assert 0 < found.stack_bytes < 8_192
    assert found.instructions > model.graph.weights


SMALL_CASES = [
    (name, kind, level)
    for name, kind, level in [
        ("cortex-m4", "int8", "-Os"),
        *(
            (name, kind, level)
            for name in TARGETS
            for kind in ("int8", "float32")
            for level in LEVELS
        ),
    ]
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "level"), few_fast(dict.fromkeys(SMALL_CASES), 1))
def test_every_target_computes_the_scores_of_python(name: str, kind: str, level: str) -> None:
    target = target_for_test(name)
    images = few_digits().held_out.images[:IMAGES]
    check_on_board(small_model(), quantized_or_not(kind), target, level, images)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("net", ["speck", "braid"])
@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m4", "cortex-m7", "riscv32"])
def test_nets_with_every_kind_of_layer_compute_the_scores_of_python(
    name: str, net: str, kind: str
) -> None:
    target = target_for_test(name)
    model = trace_model(net_named(net))
    quantized = None
    if kind == "int8":
        quantized = quantize_graph(model.graph, digits().train.images[:100])
    # Without an FPU each product is a call; a run has to end within a minute.
    number = IMAGES if kind == "int8" or target.has_fpu else 10
    for begin in range(0, number, 25):
        images = digits().held_out.images[begin : min(begin + 25, number)]
        check_on_board(model, quantized, target, "-O2", images)


def disassembled_calls(program: Path, target: Target) -> set[str]:
    """Return the names of all functions in a program."""
    listed = subprocess.run(
        [f"{target.prefix}nm", program], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[-1] for line in listed.splitlines()}


FLOAT = re.compile(r"__aeabi_(f|d|i2f|ui2f|l2f|ul2f|i2d|ui2d)")


@pytest.mark.slow
def test_integer_scores_need_no_floating_point_library(tmp_path: Path) -> None:
    target = TARGETS["cortex-m0plus"]
    if shutil.which(target.compiler) is None:
        pytest.skip(f"needs {target.compiler} (Debian: {target.packages})")
    write_folder(tmp_path, "int8")
    compile_c = [target.compiler, *target.flags, target.library, "-Os", "-ffunction-sections"]
    for flags, needed in (([], True), (["-DTINY_NO_FLOAT"], False)):
        subprocess.run([*compile_c, *flags, "-c", "tiny.c"], cwd=tmp_path, check=True)
        names = disassembled_calls(tmp_path / "tiny.o", target)
        assert bool([name for name in names if FLOAT.match(name)]) is needed, names
    # A linked program has none, even without the macro: the linker leaves out what is not called.
    sources = ["main.c", "console.c", "tiny.c", "board/cortex_m.c"]
    link = ["-DBOARD", "-Iboard", "-Wl,--gc-sections", "-nostartfiles", "-Tboard/cortex_m.ld"]
    subprocess.run([*compile_c, *link, *sources, "-o", "program"], cwd=tmp_path, check=True)
    names = disassembled_calls(tmp_path / "program", target)
    assert "tiny_predict_int" in names
    assert not [name for name in names if FLOAT.match(name)]


@pytest.mark.slow
def test_a_cortex_m0_executes_what_is_built_for_a_cortex_m0plus(tmp_path: Path) -> None:
    """The board microbit has a Cortex-M0, with 256 KB of flash and 16 KB of RAM."""
    target = target_for_test("cortex-m0plus")
    write_folder(tmp_path, "int8")
    script = tmp_path / "board" / "cortex_m.ld"
    text = script.read_text()
    assert text.count("LENGTH = 4M") == 2
    script.write_text(
        text.replace("0x00000000, LENGTH = 4M", "0x00000000, LENGTH = 256K").replace(
            "0x20000000, LENGTH = 4M", "0x20000000, LENGTH = 16K"
        )
    )
    board = "EMULATOR_m0plus=qemu-system-arm -M microbit"
    out = subprocess.run(
        ["make", "-s", "run-m0plus", board],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout
    check_lines([line for line in out.splitlines() if "classified" in line], "int8")
    assert target.flags == ("-mcpu=cortex-m0plus", "-mthumb")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("name", list(TARGETS))
def test_make_runs_the_example_on_every_board(name: str, kind: str, tmp_path: Path) -> None:
    target = target_for_test(name)
    write_folder(tmp_path, kind)
    board = target.name.removeprefix("cortex-")
    done = subprocess.run(
        ["make", "-s", f"run-{board}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warning" not in said, said
    # To stdout, so that it can be piped: QEMU writes it to stderr if not asked otherwise.
    check_lines([line for line in done.stdout.splitlines() if "classified" in line], kind)
    memory = re.search(r"RAM: (\d+) bytes for feature maps, (\d+) bytes of stack", said)
    assert memory
    assert 0 < int(memory[2]) < 4_096


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cortex-m4", "riscv32"])
def test_an_example_is_not_linked_if_ram_is_too_small_for_its_stack(
    name: str, tmp_path: Path
) -> None:
    target = target_for_test(name)
    write_folder(tmp_path, "float32")
    script = tmp_path / "board" / f"{target.system}.ld"
    # A function that needs 4 KB at whatever level of optimization.
    program = tmp_path / "tiny.c"
    program.write_text(
        f"{program.read_text()}\nvoid use_stack(void);\n"
        "void use_stack(void) { volatile char array[4096]; array[0] = 1; }\n"
    )
    used = 4_096  # and more by the net and the example
    board = name.removeprefix("cortex-")
    size = [f"{target.prefix}size", "-A", f"build/{board}/classify.elf"]
    builds = [["make", "-s", f"build/{board}/classify.elf"]]
    if shutil.which("cmake"):
        builds.append(["sh", "-c", f"cmake -B cm -DBOARD={board} && cmake --build cm"])
    for build in builds:
        script.write_text(re.sub(r"(RAM .*LENGTH = )\w+", r"\g<1>256K", script.read_text()))
        done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        if build[0] == "make":
            listing = subprocess.run(size, cwd=tmp_path, capture_output=True, text=True, check=True)
            static = sum(
                int(number)
                for number in re.findall(r"^\.s?(?:bss|data)\s+(\d+)", listing.stdout, re.M)
            )
        script.write_text(
            re.sub(r"(RAM .*LENGTH = )\w+", rf"\g<1>{static + used}", script.read_text())
        )
        done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "RAM is too small for the data and a stack" in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
@pytest.mark.parametrize("name", ["cortex-m4", "riscv32"])
@pytest.mark.parametrize("within", ["plain", "größe 2/p"])
def test_cmake_runs_the_example_on_a_board(within: str, name: str, tmp_path: Path) -> None:
    target_for_test(name)
    tmp_path /= within
    tmp_path.mkdir(parents=True)
    write_folder(tmp_path, "int8")
    board = name.removeprefix("cortex-")
    for words in (
        ["-B", "build", f"-DBOARD={board}"],
        ["--build", "build", "--target", "run"],
    ):
        done = subprocess.run(
            ["cmake", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    said = (done.stdout + done.stderr).splitlines()
    check_lines([line for line in said if "classified" in line], "int8")


@pytest.mark.slow
@pytest.mark.parametrize("name", few_fast(TARGETS, 1))
@pytest.mark.parametrize("function", ["memcpy", "memset", "memmove"])
def test_flash_has_the_library_functions_that_a_program_needs(name: str, function: str) -> None:
    target = target_for_test(name)

    def flash_of(body: str) -> int:
        text = f'#include <string.h>\n#include "tiny.h"\n{body}\n'
        header = "#include <stdint.h>\nint predict(const uint8_t *image, float *scores);\n"
        program = Program({"tiny.c": text, "tiny.h": header}, "predict", False, 10)
        return link_size(program, target, ["-Os"]).flash_bytes

    head = "int predict(const uint8_t *image, float *scores)"
    call = "memset(scores, image[0], image[1])"
    if function != "memset":
        call = f"{function}(scores, image, image[1])"
    empty = flash_of(f"{head} {{ (void)image; (void)scores; return 0; }}")
    # On a RISC-V processor, the function is a loop of 28 bytes; the call takes fewer than 24.
    assert flash_of(f"{head} {{ {call}; return 0; }}") >= empty + 28 + 8


@pytest.mark.slow
@pytest.mark.parametrize("name", few_fast(TARGETS, 1))
def test_ram_is_not_less_than_the_arena_that_the_header_states(name: str) -> None:
    target = target_for_test(name)
    for kind in ("float32", "int8"):
        program = program_for_board(small_model(), quantized_or_not(kind))
        found = re.search(r"define NETLET_ARENA_BYTES (\d+)", program.texts["netlet.h"])
        assert found
        assert link_size(program, target, ["-Os"]).ram_bytes >= int(found[1])


@pytest.mark.slow
def test_an_export_for_a_target_says_what_it_needs_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target_for_test("cortex-m4")
    options = COptions(target="cortex-m4", flags=("-O2",))

    def export() -> tuple[str, dict[str, object]]:
        result = export_c(
            small_model(),
            tmp_path,
            few_digits(),
            int8=True,
            max_accuracy_drop=100.0,
            options=options,
        )
        return result.notes[1], result.to_dict()

    said, found = export()
    assert re.fullmatch(
        r"cortex-m4: [\d,]+ bytes of flash, [\d,]+ bytes of RAM and \d+ bytes of stack \(-O2, "
        r"arm-none-eabi-gcc\); run by QEMU \(mps2-an386, a Cortex-M4\): [\d,]+ instructions per "
        r"image, scores of 100 images equal to the bit",
        said,
    )
    assert found["target"] == "cortex-m4"
    assert found["stack_bytes"] == int(re.findall(r"(\d+) bytes of stack", said)[0])

    # An emulator that hangs, or is not there, takes nothing from the export.
    def hang(*_: object) -> tuple[int, bytes]:
        raise StoppedProcessError("did not finish within 60 seconds, and was stopped")

    with monkeypatch.context() as slow:
        slow.setattr("netlet.export.board_run.run_bounded", hang)
        said, _ = export()
    assert said.endswith(
        "; not run, because qemu-system-arm did not finish within 60 seconds, and was stopped"
    )
    monkeypatch.setattr("netlet.export.c_size.has_emulator", lambda target: False)
    said, bounded = export()
    assert re.search(
        r"and at most \d+ bytes of stack .*; not run, because qemu-system-arm was", said
    )
    assert bounded["flash_bytes"] == found["flash_bytes"]
    assert bounded["instructions"] is None
    # The bound adds up all functions, and none is called twice.
    assert int(str(bounded["stack_bytes"])) >= int(str(found["stack_bytes"]))


@pytest.mark.slow
def test_a_wrong_weight_on_the_board_fails_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target_for_test("cortex-m4")

    def run_wrong(program: Program, target: Target, flags: object, images: np.ndarray) -> object:
        texts = {
            name: re.sub(r"(weights_1\[\d+\] = \{\s+)[^,]+", r"\g<1>99", text)
            for name, text in program.texts.items()
        }
        assert texts != program.texts
        return run_program(
            Program(texts, program.predict, True, program.classes), target, ["-Os"], images
        )

    monkeypatch.setattr("netlet.export.c_size.run_program", run_wrong)
    options = COptions(target="cortex-m4")
    with pytest.raises(ExportError, match=r"compiled for cortex-m4, .* computes other scores"):
        export_c(
            small_model(),
            tmp_path / "c",
            few_digits(),
            int8=True,
            max_accuracy_drop=100.0,
            options=options,
        )
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_flags_that_the_compiler_does_not_know_are_named(tmp_path: Path) -> None:
    target = TARGETS["cortex-m4"]
    if shutil.which(target.compiler) is None:
        pytest.skip(f"needs {target.compiler} (Debian: {target.packages})")
    with pytest.raises(ExportError, match=r"built for cortex-m4: .*-fno-such.*; check --flags"):
        link_size(program_for_board(small_model(), small_integers()), target, ["-fno-such"])


def test_the_emulator_is_found_by_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not any(has_emulator(target) for target in TARGETS.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m4", "cortex-m7", "riscv32"])
def test_instructions_and_stack_are_those_of_a_known_function(name: str) -> None:
    target = target_for_test(name)
    source = """#include "known.h"
int known(const uint8_t *image, int32_t *scores)
{
    volatile uint8_t kept[512];
    kept[0] = image[0];
    __asm__ volatile(".rept 300\\n\\tnop\\n\\t.endr");
    scores[0] = kept[0] - 256;
    return 0;
}
"""
    header = "#include <stdint.h>\nint known(const uint8_t *image, int32_t *scores);\n"
    program = Program({"known.h": header, "known.c": source}, "known", True, 1)
    images = np.arange(10, dtype=np.uint8).reshape(10, 1)
    found = run_program(program, target, ["-std=gnu99"], images)
    np.testing.assert_array_equal(found.scores[:, 0], np.arange(10) - 256)
    assert 300 < found.instructions < 340
    assert 512 <= found.stack_bytes <= 560


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["measure", "probe", "counter", "cortex_m"])
def test_a_program_may_be_called_like_a_file_of_the_board(prefix: str) -> None:
    target = target_for_test("cortex-m4")
    program = program_for_board(small_model(), small_integers(), prefix)
    images = few_digits().held_out.images[:2].numpy()
    found = run_program(program, target, ["-Os"], images)
    expected = int8_reference.compute_logits(small_integers(), images)
    np.testing.assert_array_equal(found.scores, expected)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 8, 512, 1_048_576])
def test_the_stack_is_measured_to_the_byte(depth: int) -> None:
    target = target_for_test("cortex-m4")
    source = f"""#include "known.h"
__attribute__((naked)) int known(const uint8_t *image, int32_t *scores)
{{
    __asm__ volatile("ldr r2, =-{depth}\\n\\tmov r3, sp\\n\\tadd r3, r3, r2\\n\\tmovs r2, #7\\n\\tstr r2, [r1]\\n\\t"
                     "{"str r2, [r3]" if depth else "nop"}\\n\\tbx lr\\n\\t.ltorg");
}}
"""
    header = "#include <stdint.h>\nint known(const uint8_t *image, int32_t *scores);\n"
    program = Program({"known.h": header, "known.c": source}, "known", True, 1)
    found = run_program(program, target, ["-std=gnu99"], np.zeros((3, 1), np.uint8))
    assert found.scores.ravel().tolist() == [7, 7, 7]
    assert found.stack_bytes == depth
