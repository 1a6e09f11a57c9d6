"""The interface of C programs: prefixes, integer scores, and which files an export writes."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet, linux_only
from small_c_nets import few_digits, quantized_or_not, small_integers, small_model
from torch import nn

from netlet.backends.cpu.compiler import find_compiler
from netlet.backends.cpu.errors import CompilationError
from netlet.cli.program_options import Processor
from netlet.errors import ExportError
from netlet.experiments import TrainedNet
from netlet.export import (
    COptions,
    TracedModel,
    choose_prefix,
    export_c,
    int8_reference,
    reference,
    trace_model,
)
from netlet.export.c_build import (
    OBJECT,
    STRICT,
    library_predictor,
    load_library,
    measure_build,
)
from netlet.export.c_interface import check_prefix
from netlet.export.c_program import HEADER, SOURCE, generate_program
from netlet.export.targets import TARGETS, find_target

try:
    find_compiler()
except CompilationError as reason:
    pytest.skip(str(reason), allow_module_level=True)

IMAGES = few_digits().held_out.images[:5]


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("my-net", r"'?\"my-net\"'? is not a C identifier; use letters, .*, such as my_net$"),
        ("2nd", r"is not a C identifier; .* such as digits_net$"),
        ("zürich", r"the prefix \"zürich\" is not a C identifier; .* such as z_rich$"),
        ("a b\n", r"\"a b\\n\" is not a C identifier; .* such as a_b$"),
        ("", r"is not a C identifier; .* such as digits_net$"),
        ("_net", r"is reserved: .* such as net$"),
        ("a__b", r"is reserved: .* such as a_b$"),
        ("while", r"is a keyword of C or C\+\+; use another one, such as while_net$"),
        ("class", r"is a keyword of C or C\+\+; .* class_net$"),
        ("stdint", r"would hide a file of the same name .*; use another one, such as stdint_net$"),
        ("Arduino", r"would hide a file .* such as Arduino_net$"),
        ("main", r"would hide a file .* such as main_net$"),
        ("board", r"would hide a file .* such as board_net$"),
        ("n" * 32, r"has 32 characters; use at most 31, such as n{31}$"),
    ],
)
def test_a_bad_prefix_is_refused_in_one_line(prefix: str, why: str) -> None:
    with pytest.raises(ExportError, match=why) as caught:
        check_prefix(prefix)
    assert "\n" not in str(caught.value)


def test_a_prefix_that_is_proposed_can_be_used() -> None:
    for prefix in ("my-net", "_net", "a__b", "while", "stdint", "n" * 32, "1", "__", "ö"):
        with pytest.raises(ExportError) as caught:
            check_prefix(prefix)
        check_prefix(str(caught.value).rpartition("such as ")[2])
    for stem, expected in (
        ("crest", "crest"),
        ("swift-seed0", "swift_seed0"),
        ("string", "string_net"),
        ("8-8-P-16", "netlet"),
        ("-.-", "netlet"),
    ):
        assert choose_prefix(stem) == expected
        check_prefix(choose_prefix(stem))


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_prefix_changes_nothing_but_names(kind: str) -> None:
    usual = generate_program(small_model(), quantized_or_not(kind))
    other = generate_program(small_model(), quantized_or_not(kind), "Digits2")
    assert list(usual) == [HEADER, SOURCE]
    assert list(other) == ["Digits2.h", "Digits2.c"]
    own = r"netlet(?=\.h|_predict)|NETLET(?=_(H|NET|PARAMETERS|DIGEST|IMAGE_BYTES|CLASSES|LABELS|ARENA_BYTES|SCORE_SCALE|NO_FLOAT)\b)"

    def rename(text: str) -> str:
        return re.sub(own, lambda m: "Digits2" if m[0] == "netlet" else "DIGITS2", text)

    assert [rename(text) for text in usual.values()] == list(other.values())
    assert usual != other


MAIN = """
#include "first.h"
#include "second.h"
#include <stdio.h>

int main(void)
{
    static const char *const labels[] = SECOND_LABELS;
    uint8_t image[FIRST_IMAGE_BYTES];
    float scores[FIRST_CLASSES];
    int32_t integers[SECOND_CLASSES];
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {
        printf("%d", first_predict(image, scores));
        for (int k = 0; k < FIRST_CLASSES; k++)
            printf(" %a", (double)scores[k]);
        printf(" %s", labels[second_predict_int(image, integers)] == 0 ? "?" : "ok");
        for (int k = 0; k < SECOND_CLASSES; k++)
            printf(" %ld", (long)integers[k]);
        printf(" %d\\n", second_predict(image, scores));
    }
    return 0;
}
"""


def test_two_nets_in_one_program_are_both_right(tmp_path: Path) -> None:
    texts = {
        **generate_program(small_model(0), None, "first"),
        **generate_program(small_model(1), small_integers(1), "second"),
        "main.c": MAIN,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    flags = [*STRICT, "-Werror", "-O0"]
    sources = ["main.c", "first.c", "second.c", "-o", "both"]
    subprocess.run([*find_compiler().command, *flags, *sources], cwd=tmp_path, check=True)
    done = subprocess.run(
        [tmp_path / "both"], input=IMAGES.numpy().tobytes(), capture_output=True, check=True
    )
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    floats = np.array([[float.fromhex(word) for word in line[1:11]] for line in lines])
    integers = np.array([[int(word) for word in line[12:22]] for line in lines])
    expected = reference.compute_logits(small_model(0).graph, IMAGES).numpy()
    np.testing.assert_allclose(floats, expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(
        integers, int8_reference.compute_logits(small_integers(1), IMAGES.numpy())
    )
    assert [int(line[0]) for line in lines] == floats.argmax(1).tolist()
    assert [int(line[22]) for line in lines] == integers.argmax(1).tolist()


def test_integer_scores_times_the_scale_are_the_logits() -> None:
    texts = generate_program(small_model(), small_integers())
    library = load_library(texts, (*STRICT, "-O0"))
    image, scores = np.ascontiguousarray(IMAGES[0].numpy()), np.zeros(10, np.int32)
    found = library.netlet_predict_int(image.ctypes.data, scores.ctypes.data)
    expected = int8_reference.compute_logits(small_integers(), IMAGES[:1].numpy())[0]
    assert found == expected.argmax()
    np.testing.assert_array_equal(scores, expected)
    scale = re.search(r"#define NETLET_SCORE_SCALE (\S+)F\n", texts[HEADER])
    assert scale
    logits = library_predictor(library, 10)(IMAGES[:1])
    product = torch.from_numpy(scores).float() * torch.tensor(float(scale[1]))
    assert torch.equal(logits[0], product)


@linux_only
def test_a_program_without_floats_has_no_function_with_floats(tmp_path: Path) -> None:
    for name, text in generate_program(small_model(), small_integers(), "tiny").items():
        (tmp_path / name).write_text(text)
    for flags, expected in (
        ([], {"predict", "predict_int"}),
        (["-DTINY_NO_FLOAT"], {"predict_int"}),
    ):
        command = [*find_compiler().command, *STRICT, "-Werror", "-O0", *flags, "-c", "tiny.c"]
        subprocess.run(command, cwd=tmp_path, check=True)
        listed = subprocess.run(
            ["nm", "-g", "--defined-only", "tiny.o"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert {line.split()[-1] for line in listed.splitlines()} == {f"tiny_{n}" for n in expected}


def test_only_images_that_are_known_are_called_bright_on_dark() -> None:
    model = small_model()
    assert "image: gray levels 0 to 255, row by row." in header_of(model)
    digits = dataclasses.replace(model.source, class_names=tuple("0123456789"))
    header = header_of(dataclasses.replace(model, source=digits))
    assert "image: gray levels 0 to 255, bright on dark, row by row." in header


def test_both_files_state_the_license_where_tools_look_for_it() -> None:
    for text in generate_program(small_model()).values():
        assert re.search(r"^ *SPDX-License-Identifier: MIT( \*/)?$", text[:300], re.MULTILINE)


def test_fields_of_a_header_are_not_quoted() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 5), nn.LogSoftmax(1)).eval()
    names = tuple("abcde")
    model = trace_model(TrainedNet("end", net, (1, 28, 28), names, 0.1307, 0.3081, None, None))
    assert "   output: 5 logits, without the net's final log_softmax\n" in header_of(model)


def header_of(model: TracedModel) -> str:
    return generate_program(model, None, "tiny")["tiny.h"]


def test_an_export_with_a_prefix_is_verified_measured_and_written(tmp_path: Path) -> None:
    result = export_c(
        small_model(),
        tmp_path,
        few_digits(),
        int8=True,
        max_accuracy_drop=100.0,
        options=COptions(prefix="tiny", flags=("-O1",)),
    )
    assert [path.name for path in result.files] == ["tiny.h", "tiny.c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.c", "tiny.h"]
    assert result.verification is not None
    assert result.verification.images == 160
    assert "(-O1, " in result.notes[1]
    assert result.to_dict()["flags"] == ["-O1"]
    assert result.to_dict()["target"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--to", "c", "--prefix", "my-net"), "is not a C identifier; use letters"),
        (("--to", "onnx", "--prefix", "tiny"), "--prefix is for C programs; leave it out, or exp"),
        (("--to", "page", "--target", "cortex-m4"), "--target is for C programs; leave it out"),
        (("--to", "arduino", "--with", "example"), "always has an example; leave out --with"),
        (("--to", "c", "--with", "tests"), "'tests' is not one of 'example'"),
        (("--to", "c", "--target", "z80"), "'z80' is not one of 'cortex-m0plus'"),
        (("--to", "c", "--flags", "'-O3"), "--flags '-O3: cannot be split into words (no clos"),
    ],
)
def test_a_wrong_option_is_refused_before_the_work(
    netlet: Netlet, words: tuple[str, ...], message: str
) -> None:
    code, out, err = netlet("export", "speck", *words)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"netlet: [^\n]+; [^\n]+\n", err), err
    assert message in err


@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")
@pytest.mark.parametrize("flags", ["-Os", "-O3", "-O3 -march=native"])
def test_clang_has_no_warnings_either(flags: str, tmp_path: Path) -> None:
    texts = generate_program(small_model(), small_integers())
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    command = ["clang", *STRICT, *flags.split(), "-c", SOURCE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@linux_only
def test_link_time_optimization_does_not_hide_the_size() -> None:
    texts = generate_program(small_model(), small_integers())
    sizes = [measure_build(texts, flags=(*own, *OBJECT)) for own in (["-Os"], ["-Os", "-flto"])]
    assert sizes[0] is not None
    assert sizes[1] is not None
    assert sizes[1].flash_bytes == sizes[0].flash_bytes > small_model().graph.weights


def test_a_target_without_a_compiler_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        ExportError, match=r"cortex-m4 needs arm-none-eabi-gcc, .*; install it \(.*libnewlib-"
    ):
        COptions(target="cortex-m4").check()
    with pytest.raises(ExportError, match=r"no target 'z80'; choose one of cortex-m0plus, "):
        find_target("z80")


def test_the_command_line_offers_exactly_the_targets() -> None:
    assert [processor.value for processor in Processor] == list(TARGETS)


@pytest.mark.slow
def test_own_files_beside_an_earlier_export_are_kept(netlet: Netlet, tmp_path: Path) -> None:
    words = ("export", "speck", "--to", "arduino", "--int8", "--force", "-o", "speck")
    assert netlet(*words)[0] == 0
    properties, header = (
        tmp_path / "speck" / name for name in ("library.properties", "src/speck.h")
    )
    properties.write_text("name=speck\nauthor=Ada\n")  # without the comments of netlet
    header.unlink()
    code, _, err = netlet(*words)
    assert code == 2
    assert "speck/library.properties: exists, and netlet did not write it; name another" in err
    header.write_text("/* generated by netlet */")
    code, out, err = netlet(*words)
    assert code == 0, err
    assert "kept library.properties, as you have changed it; delete it" in out
    assert properties.read_text() == "name=speck\nauthor=Ada\n"
    assert "speck_predict" in header.read_text()


@pytest.mark.slow
def test_a_file_of_somebody_else_is_not_replaced(netlet: Netlet, tmp_path: Path) -> None:
    for words, name in (
        (("--to", "c", "--prefix", "tiny"), "tiny.h"),
        (("--to", "c", "--with", "example"), "board/cortex_m.ld"),
        (("--to", "arduino"), "examples/classify/classify.ino"),
    ):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("mine")
        code, _, err = netlet("export", "speck", *words, "-o", "mine")
        assert code == 2
        assert f"mine/{name}: exists, and netlet did not write it; name another folder" in err
        (tmp_path / "mine" / name).unlink()


def test_sizes_are_those_of_an_optimized_build() -> None:
    assert COptions(flags=("-g",)).flags == ("-Os", "-g")
    assert COptions(flags=("-g", "-O2")).flags == ("-g", "-O2")
    assert COptions().flags == COptions(flags=()).flags == ("-Os",)
