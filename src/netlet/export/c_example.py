"""The example beside an exported C program: main.c, images, and how to build it for boards."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib import resources

from netlet.data import Split
from netlet.export.board_files import read_board_file, read_board_files
from netlet.export.c_options import SMALLEST
from netlet.export.example_images import write_images_header
from netlet.export.targets import TARGETS, Target

_COPIED = ("console.h", "console.c")
EXAMPLE_FILES = ("main.c", "images.h", *_COPIED, "Makefile", "CMakeLists.txt")
STACK_SCRIPT = "board/stack.cmake"


def write_example(
    prefix: str, int8: bool, image_set: str, split: Split, flags: Sequence[str] = (SMALLEST,)
) -> dict[str, str]:
    """Return the files of the example, by their paths within the folder of the program.

    Args:
        prefix: The prefix of the program.
        int8: Whether the program computes in integers.
        image_set: The name of the images to classify.
        split: The images.
        flags: For the compiler, on a board.
    """
    boards = {
        f"board/{name}": text
        for target in TARGETS.values()
        for name, text in read_board_files(target).items()
    }
    return {
        "main.c": fill_template("main.c", prefix, int8),
        "images.h": write_images_header(image_set, split),
        **{name: _read(name) for name in _COPIED},
        "Makefile": _write_makefile(prefix, flags),
        "CMakeLists.txt": _write_cmake(prefix, flags),
        **boards,
        STACK_SCRIPT: read_board_file("stack.cmake"),
    }


def list_example_files() -> list[str]:
    """Return the paths of the files of an example within the folder of the program."""
    boards = {f"board/{name}" for target in TARGETS.values() for name in read_board_files(target)}
    return [*EXAMPLE_FILES, *sorted(boards), STACK_SCRIPT]


def fill_template(name: str, prefix: str, int8: bool) -> str:
    """Return a file of ``example/`` that calls a net.

    Args:
        name: The name of the file.
        prefix: The prefix of the program.
        int8: Whether the program computes in integers.
    """
    words = {
        "PREFIX": prefix,
        "MACRO": prefix.upper(),
        "SCORE": "int32_t" if int8 else "float",
        "PREDICT": f"{prefix}_predict_int" if int8 else f"{prefix}_predict",
        "PRINT": "print_integer" if int8 else "print_decimal",
    }
    return _fill(_read(name), words)


def board_name(target: Target) -> str:
    """Return the short name of a target in a Makefile, such as ``m4``.

    Args:
        target: The target.
    """
    return target.name.removeprefix("cortex-")


def _write_makefile(prefix: str, flags: Sequence[str]) -> str:
    boards = {board_name(target): target for target in TARGETS.values()}
    settings = [f"BOARDS = {' '.join(boards)}"]
    for name, target in boards.items():
        settings += [
            "",
            f"# {target.about}",
            f"CROSS_{name} ?= {target.prefix}",
            f"PROCESSOR_{name} = {' '.join(target.flags)}",
            f"LIBRARY_{name} ?= {target.library}",
            f"SYSTEM_{name} = {target.system}",
            f"EMULATOR_{name} = {' '.join(target.emulator)}",
        ]
    words = {
        "PREFIX": prefix,
        # Make reads # as the start of a comment, and $ as that of a variable.
        "OPT": shlex.join(flags).replace("$", "$$").replace("#", r"\#"),
        "BOARDS": ", ".join(f"run-{name}" for name in boards if name != "m4"),
        "SETTINGS": "\n".join(settings),
    }
    return _fill(_read("Makefile"), words)


def _write_cmake(prefix: str, flags: Sequence[str]) -> str:
    lines = ["if(BOARD STREQUAL host)"]
    for target in TARGETS.values():
        lines += [
            f"elseif(BOARD STREQUAL {board_name(target)})  # {target.about}",
            f"    set(CROSS {target.prefix})",
            f"    set(PROCESSOR {' '.join(target.flags)})",
            f"    set(LIBRARY {target.library})",
            f"    set(SYSTEM {target.system})",
            f"    set(EMULATOR {' '.join(target.emulator)})",
        ]
    words = {
        "PREFIX": prefix,
        "OPT": shlex.join(flags),
        "BOARDS": " ".join(board_name(target) for target in TARGETS.values()),
        "SETTINGS": "\n".join(lines),
    }
    return _fill(_read("CMakeLists.txt"), words)


def _fill(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _read(name: str) -> str:
    return (resources.files(__package__) / "example" / name).read_text("utf-8")
