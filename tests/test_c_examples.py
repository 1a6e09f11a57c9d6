"""Examples beside C programs: built by make and CMake, and the Arduino library with its sketch."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import FIXTURES, Netlet, few_fast
from small_c_nets import LABELS, few_digits, quantized_or_not, small_model
from torch import nn

from netlet.backends.cpu.compiler import find_compiler
from netlet.backends.cpu.errors import CompilationError
from netlet.data import Split
from netlet.experiments import TrainedNet
from netlet.export import (
    COptions,
    export_arduino,
    export_c,
    int8_reference,
    list_arduino_files,
    list_c_files,
    reference,
    trace_model,
)
from netlet.export.c_example import board_name, write_example
from netlet.export.c_export import VerifiedProgram, write_program
from netlet.export.c_program import generate_program
from netlet.export.c_size import MeasuredSize
from netlet.export.example_images import choose_images, describe_left_out, write_images_header
from netlet.export.targets import TARGETS
from netlet.outputs import TEXT_MARK

try:
    find_compiler()
except CompilationError as reason:
    pytest.skip(str(reason), allow_module_level=True)

CHOSEN = choose_images(few_digits().held_out)


def write_folder(folder: Path, kind: str, prefix: str = "tiny") -> None:
    """Write a program and its example, without verification."""
    texts = generate_program(small_model(), quantized_or_not(kind), prefix)
    texts |= write_example(prefix, kind == "int8", "scribble test", CHOSEN)
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def expected_scores(kind: str) -> np.ndarray:
    if kind == "float32":
        return reference.compute_logits(small_model().graph, CHOSEN.images).numpy()
    quantized = quantized_or_not("int8")
    assert quantized is not None
    return int8_reference.compute_logits(quantized, CHOSEN.images.numpy())


def check_lines(lines: list[str], kind: str) -> None:
    """Check the lines that an example prints for its images."""
    scores = expected_scores(kind)
    assert len(lines) == len(CHOSEN) == 10
    for line, label, row in zip(lines, CHOSEN.labels.tolist(), scores, strict=True):
        said = re.fullmatch(
            r"(.*) is classified as (.*?)(?: in \d+ microseconds)?; scores (.*)", line
        )
        assert said, line
        assert said[1] == LABELS[label]
        assert said[2] == LABELS[row.argmax()]
        printed = [float(word) for word in said[3].split()]
        tolerance = 0.005001 if kind == "float32" else 0
        np.testing.assert_allclose(printed, row, rtol=0, atol=tolerance)


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("kind", few_fast(["float32", "int8"], 1))
def test_make_run_classifies_the_images_on_this_machine(kind: str, tmp_path: Path) -> None:
    write_folder(tmp_path, kind)
    out = run("make", "-s", "run", "CFLAGS=-O0 -Werror", folder=tmp_path)
    *lines, last = out.splitlines()
    check_lines(lines, kind)
    correct = int((expected_scores(kind).argmax(1) == CHOSEN.labels.numpy()).sum())
    assert last == f"{correct} of 10 correct"
    assert run("make", "-s", "clean", folder=tmp_path) == ""
    assert not (tmp_path / "build").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_builds_anew_with_other_options_only(tmp_path: Path) -> None:
    write_folder(tmp_path, "int8")
    for options, builds in (("-O0", True), ("-O0", False), ("-O0 -DX='\"y z\"'", True)):
        said = run("make", "run", f"CFLAGS={options}", folder=tmp_path)
        assert (" -o build/host/classify" in said) == builds
        assert "of 10 correct" in said


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_example_without_images_of_the_nets_classes_has_those_that_pytorch_finds(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)).eval()
    names = ("cat", "dog", "owl")
    model = trace_model(TrainedNet("pets", net, (1, 28, 28), names, 0.1307, 0.3081, None, None))
    result = export_c(model, tmp_path, None, options=COptions(example=True))
    assert "verified on scribble: 1,000 of 1,000 predictions match" in str(result)
    assert "accuracy" not in str(result)  # of digits, of which the net knows nothing
    header = (tmp_path / "images.h").read_text()
    assert "then the numbers of the classes that the net finds in PyTorch." in header
    *lines, last = run("make", "-s", "run", "CFLAGS=-O0", folder=tmp_path).splitlines()
    assert last == f"{len(lines)} of {len(lines)} correct"
    assert 0 < len(lines) <= 3
    for line in lines:
        assert re.match(r"(cat|dog|owl) is classified as \1; scores ", line)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_cmake_builds_and_runs_the_example(tmp_path: Path) -> None:
    write_folder(tmp_path, "int8")
    run("cmake", "-B", "build", folder=tmp_path)
    out = run("cmake", "--build", "build", "--target", "run", folder=tmp_path)
    check_lines([line for line in out.splitlines() if "classified" in line], "int8")
    failed = subprocess.run(
        ["cmake", "-B", "other", "-DBOARD=z80"], cwd=tmp_path, capture_output=True, text=True
    )
    assert failed.returncode
    assert "no board z80; choose host or one of: m0plus m3 m4 m7 riscv32" in failed.stderr


def test_the_build_files_know_every_target(tmp_path: Path) -> None:
    write_folder(tmp_path, "int8")
    for name in ("Makefile", "CMakeLists.txt"):
        text = (tmp_path / name).read_text()
        assert not re.search(r"@\w+@", text)
        for target in TARGETS.values():
            assert board_name(target) in text
            assert " ".join(target.flags) in text
            assert " ".join(target.emulator) in text


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_example_is_built_with_the_flags_of_the_export(tmp_path: Path) -> None:
    flags = ("-O2", "-DX=a b", "-DY=$(x)#")
    for name, text in write_example("tiny", True, "test", CHOSEN, flags).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "tiny.c").touch()
    (tmp_path / "tiny.h").touch()
    for options, expected in (([], shlex.join(flags)), (["OPT=-O3"], "-O3")):
        out = run("make", "-n", "build/m4/classify.elf", *options, folder=tmp_path)
        (link,) = (line for line in out.splitlines() if "--gc-sections" in line)
        assert f"--specs=nano.specs {expected} -Wl" in link
    assert f"set(OPT [[{shlex.join(flags)}]] CACHE" in (tmp_path / "CMakeLists.txt").read_text()


def test_an_example_has_the_first_image_of_each_class() -> None:
    labels = few_digits().held_out.labels
    for label, image in zip(CHOSEN.labels.tolist(), CHOSEN.images, strict=True):
        first = int(torch.nonzero(labels == label)[0])
        assert torch.equal(image, few_digits().held_out.images[first])
    assert CHOSEN.labels.tolist() == list(range(10))
    few = Split("few", torch.zeros(3, 2, 2, 1, dtype=torch.uint8), torch.tensor([2, 0, 2]))
    header = write_images_header("a*/b\\", choose_images(few))
    assert "images[IMAGES][4]" in header
    assert "image_classes[IMAGES] = {0, 2};" in header
    assert header.count("*/") == 1
    assert "#ifndef IMAGES_H\n#define IMAGES_H\n\n#include <stdint.h>\n" in header
    assert header.endswith("};\n\n#endif\n")
    assert describe_left_out(choose_images(few), 2) == []
    # Of many classes, ten have an image: the first ones that the images are of.
    many = Split("many", torch.zeros(30, 1, 2, 2, dtype=torch.uint8), torch.arange(40, 10, -1))
    assert choose_images(many).labels.tolist() == list(range(11, 21))
    said = "the example has one image each of 10 of the 1,000 classes"
    assert describe_left_out(choose_images(many), 1_000) == [said]
    # Whether somebody's images are bright on dark is not known.
    assert "gray levels 0 to 255, row by row;" in write_images_header("mine test", CHOSEN)
    assert "255, bright on dark, row by row;" in write_images_header("scribble test", CHOSEN)


def test_files_of_an_example_that_a_person_has_changed_are_kept(tmp_path: Path) -> None:
    images = few_digits().held_out
    texts = {"a.h": "", "a.c": "1"}
    made = VerifiedProgram(small_model(), texts, None, (), MeasuredSize(), "test", images)
    example = write_example("a", True, "test", CHOSEN)
    first = write_program(tmp_path, made.texts, example, made)
    assert first.notes == ()
    assert {path.relative_to(tmp_path).as_posix() for path in first.files} == {*texts, *example}
    script = tmp_path / "board" / "cortex_m.ld"
    own = script.read_text().replace("LENGTH = 4M", "LENGTH = 256K")
    script.write_text(own)
    made = dataclasses.replace(made, texts={"a.h": "", "a.c": "2"})
    other = write_example("b", True, "test", CHOSEN)
    again = write_program(tmp_path, made.texts, other, made)
    (note,) = again.notes
    assert note.startswith("kept board/cortex_m.ld, as you have changed it; delete it to get")
    assert script not in again.files
    assert script.read_text() == own
    assert (tmp_path / "a.c").read_text() == "2"
    assert '"b.h"' in (tmp_path / "main.c").read_text()  # nobody has changed it
    script.unlink()
    assert write_program(tmp_path, made.texts, other, made).notes == ()


def program(kind: str, prefix: str = "a") -> VerifiedProgram:
    texts = generate_program(small_model(), quantized_or_not(kind), prefix)
    images = few_digits().held_out
    return VerifiedProgram(small_model(), texts, None, (), MeasuredSize(), "test", images)


def write_again(folder: Path, kind: str, prefix: str = "a", *, example: bool = True) -> str:
    made = program(kind, prefix)
    files = write_example(prefix, kind == "int8", "test", CHOSEN) if example else {}
    return "\n".join(write_program(folder, made.texts, files, made).notes)


def test_an_export_says_which_kept_files_do_not_fit_it(tmp_path: Path) -> None:
    write_again(tmp_path, "int8")
    main, images = tmp_path / "main.c", tmp_path / "images.h"
    written = main.read_text()
    main.write_text(written + "/* mine */\n")
    remedy = "which this export lacks; change it, or delete it and export again"
    assert "lacks" not in write_again(tmp_path, "int8")
    assert f"\nmain.c uses a_predict_int, {remedy}" in write_again(tmp_path, "float32")
    assert f"\nmain.c uses a_predict_int, {remedy}" in write_again(tmp_path, "int8", "b")
    # Somebody who has changed how the example is built may have put two nets into it.
    make = tmp_path / "Makefile"
    make.write_text(make.read_text() + "# mine\n")
    assert "lacks" not in write_again(tmp_path, "int8", "b")
    wrong = "\nMakefile does not build third.c; change it, or delete it and export again"
    assert wrong in write_again(tmp_path, "int8", "third")
    # What float32 has, int8 has, too; and a comment calls nothing.
    main.write_text(written.replace("a_predict_int", "a_predict") + "/* a_predict_int */\n")
    assert "lacks" not in write_again(tmp_path, "float32")
    assert "lacks" not in write_again(tmp_path, "int8")
    images.write_text(images.read_text().replace("[784]", "[3072]"))
    wrong = "images.h has images of 3,072 bytes, and the net takes 784; change it, or delete it"
    assert wrong in write_again(tmp_path, "int8")


def test_an_export_without_an_example_says_that_the_one_there_does_not_fit_it(
    tmp_path: Path,
) -> None:
    write_again(tmp_path, "int8")
    assert write_again(tmp_path, "int8", example=False) == ""
    assert write_again(tmp_path, "float32", "b", example=False) == ""  # another net beside it
    assert write_again(tmp_path, "float32", example=False) == (
        "main.c, of an earlier export, uses a_predict_int, which this export lacks; "
        "export --with example to replace it, or change it"
    )
    assert write_again(tmp_path, "float32") == ""  # nobody has changed the example: it is replaced
    assert "a_predict(images[n], scores)" in (tmp_path / "main.c").read_text()


@pytest.mark.slow
def test_an_export_with_an_example_writes_the_listed_files(tmp_path: Path) -> None:
    options = COptions(prefix="tiny", example=True)
    result = export_c(small_model(), tmp_path, few_digits(), options=options)
    written = [str(path.relative_to(tmp_path)) for path in result.files]
    assert written == list_c_files(options)
    assert all(TEXT_MARK in (tmp_path / name).read_bytes() for name in written)
    assert str(result).startswith(f"{tmp_path}: {len(written)} files, ")


# The fields and limits of the Arduino library specification, and those of arduino-lint for names.
CATEGORIES = (
    *("Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing"),
    *("Data Storage", "Data Processing", "Other"),
)


def read_properties(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("kind", few_fast(["int8", "float32"], 1))
def test_the_arduino_library_is_one_and_its_sketch_classifies_the_images(
    kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    options = COptions(prefix="tiny")
    result = export_arduino(
        small_model(),
        folder,
        few_digits(),
        int8=kind == "int8",
        max_accuracy_drop=100.0,
        options=options,
    )
    written = [str(path.relative_to(folder)) for path in result.files]
    assert sorted(written) == sorted(list_arduino_files(options))
    assert all(TEXT_MARK in (folder / name).read_bytes() for name in written)
    found = read_properties(folder / "library.properties")
    for key in ("name", "version", "author", "maintainer", "sentence", "url", "architectures"):
        assert found[key].strip(), key
    assert re.fullmatch(r"[A-Za-z][\w .-]{0,62}", found["name"])
    assert (folder / "src" / f"{found['name']}.h").is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert found["category"] in CATEGORIES
    assert found["includes"] == "tiny.h"
    assert not found["paragraph"].startswith(found["sentence"])
    for line in (folder / "keywords.txt").read_text().splitlines()[1:]:
        assert re.fullmatch(r"tiny_\w+\tKEYWORD2|TINY_\w+\tLITERAL1", line)
    check_sketch(folder, kind)


def check_sketch(folder: Path, kind: str) -> None:
    """Build the sketch with a stand-in for Arduino, as C++ with the program as C, and run it."""
    sketch = folder / "examples" / "classify"
    (sketch / "main.cpp").write_text('#include <Arduino.h>\n#include "classify.ino"\n')
    warnings = ["-Wall", "-Wextra", "-Werror", "-O0", "-I../../src", f"-I{FIXTURES}"]
    run(*find_compiler().command, *warnings[:4], "-c", "../../src/tiny.c", folder=sketch)
    run("g++", "-std=gnu++11", *warnings, "main.cpp", "tiny.o", "-o", "program", folder=sketch)
    lines = run(sketch / "program", folder=sketch).splitlines()
    assert all(" in 7 microseconds; " in line for line in lines)
    check_lines(lines, kind)


@pytest.mark.slow
def test_the_command_line_exports_an_arduino_library_named_after_the_net(
    netlet: Netlet, tmp_path: Path
) -> None:
    code, out, err = netlet("export", "speck", "--to", "arduino", "--int8", "--force")
    assert code == 0, err
    assert out.startswith("speck-int8-arduino: 7 files, ")
    assert (tmp_path / "speck-int8-arduino" / "src" / "speck.h").is_file()
