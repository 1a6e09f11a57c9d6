"""Running an exported C program on an emulated board: its scores, memory and instructions."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlet.backends.cpu.bounded_process import StoppedProcessError, run_bounded
from netlet.backends.cpu.compiler import Compiler, find_compiler, folder_of_sources, run_compiler
from netlet.errors import ExportError
from netlet.export.board_files import read_board_file, read_board_files
from netlet.export.c_build import (
    FLASH_SECTIONS,
    RAM_SECTIONS,
    STRICT,
    explain_errors,
    list_sections,
    source_name,
    sum_sections,
)
from netlet.export.example_images import format_images
from netlet.export.targets import Target
from netlet.text import escape_controls

_SECTIONS = ("-ffunction-sections", "-fdata-sections")
_GARBAGE = "-Wl,--gc-sections"
_FOLDER = "net"  # of the program, whose files may be called like those of the board
_OBJECT = "net.o"  # the program
_BOARD_FLAGS = ("-std=gnu99", "-Os", *_SECTIONS)
_EMULATOR_FLAGS = (
    *("-display", "none", "-monitor", "none", "-serial", "none"),
    *("-semihosting-config", "enable=on,target=native"),
    *("-icount", "shift=0"),
)


class NotRunError(Exception):
    """Why an emulator has run no program to its end, which says nothing of the program."""


@dataclass(frozen=True)
class Program:
    """A C program that classifies images, and the function to run."""

    texts: Mapping[str, str]  # its files, by name; one of them ends in .c
    predict: str  # the name of the function
    int32_scores: bool  # whether its scores are integers
    classes: int


@dataclass(frozen=True)
class LinkedSize:
    """What a program adds to one that does nothing, libraries that it needs included."""

    flash_bytes: int
    ram_bytes: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class BoardRun:
    """What a program did on an emulated board."""

    scores: NDArray[Any]  # N K, int32 or float32
    stack_bytes: int  # the most that a call used
    instructions: int  # of a call, on average


def link_size(program: Program, target: Target, flags: Sequence[str]) -> LinkedSize:
    """Build a program for a target and measure what it adds to a program that does nothing.

    Args:
        program: The program.
        target: The target.
        flags: For the compiler of the program, besides those of the target.

    Raises:
        ExportError: The compiler or linker fails.
    """
    blank = np.zeros((1, 1), np.uint8)
    listings, messages = [], ""
    with _build_folder(program, target, blank) as (folder, compiler):
        for predict in ("nothing", program.predict):
            messages = _build(folder, compiler, program, target, flags, predict)
            listings.append(list_sections(compiler, folder / "program.elf"))
        own = list_sections(compiler, folder / _OBJECT)
    before, after = listings
    if ".text" not in after:
        raise ExportError(
            f"{target.prefix}size, which belongs to {target.compiler}, is missing or does not read "
            f"what it wrote; install {target.packages}"
        )
    added = sum_sections(after, RAM_SECTIONS) - sum_sections(before, RAM_SECTIONS)
    return LinkedSize(
        sum_sections(after, FLASH_SECTIONS) - sum_sections(before, FLASH_SECTIONS),
        # Variables of the program may fill a gap that aligns the end of those of the other one.
        max(added, sum_sections(own, RAM_SECTIONS)),
        tuple(line for line in messages.splitlines() if "warning:" in line),
    )


def run_program(
    program: Program, target: Target, flags: Sequence[str], images: NDArray[np.uint8]
) -> BoardRun:
    """Build a program for a target and run it on the board that QEMU emulates.

    Args:
        program: The program.
        target: The target; its emulator must be on this machine.
        flags: For the compiler of the program, besides those of the target.
        images: ``N C H W``.

    Raises:
        ExportError: The compiler or linker fails, or the program does not end as it should.
        NotRunError: The emulator does not start, or it takes too long.
    """
    with _build_folder(program, target, images) as (folder, compiler):
        _build(folder, compiler, program, target, flags, program.predict)
        command = [*target.emulator, *_EMULATOR_FLAGS, "-kernel", "program.elf"]
        try:
            code, output = run_bounded(command, folder)
        except (OSError, StoppedProcessError) as reason:
            raise NotRunError(f"{target.emulator[0]} {escape_controls(str(reason))}") from reason
    return _read_output(program, target, len(images), code, output.decode(errors="replace"))


def _read_output(program: Program, target: Target, images: int, code: int, output: str) -> BoardRun:
    """Return what ``board/measure.c`` has printed.

    Raises:
        ExportError: It did not run to its end.
    """
    words = re.findall(r"^(\w+) ([0-9a-f]{8})$", output, re.M)
    found = {name: [int(value, 16) for key, value in words if key == name] for name, _ in words}
    if code or len(found.get("score", [])) != images * program.classes:
        said = escape_controls(output.strip()[-200:])
        raise ExportError(
            f"{target.name}: the program failed on the emulated board (exit code {code}): {said}; "
            "please report this net as a bug"
        )
    kind = np.int32 if program.int32_scores else np.float32
    scores = np.array(found["score"], np.uint32).view(kind)
    instructions = found["ticks"][0] * found["scale"][0] // images
    return BoardRun(scores.reshape(images, program.classes), found["stack"][0], instructions)


def has_emulator(target: Target) -> bool:
    """Return whether the emulator of a target is on this machine.

    Args:
        target: The target.
    """
    return shutil.which(target.emulator[0]) is not None


@contextmanager
def _build_folder(
    program: Program, target: Target, images: NDArray[np.uint8]
) -> Iterator[tuple[Path, Compiler]]:
    """Yield a folder with all sources, and the compiler."""
    source = source_name(program.texts)
    header = f"{source.removesuffix('.c')}.h"
    probe = (
        f'#include "{_FOLDER}/{header}"\n'
        f"#define SCORE {'int32_t' if program.int32_scores else 'float'}\n"
        f"#define CLASSES {program.classes}\n{format_images(images)}"
    )
    texts = {
        **{f"{_FOLDER}/{name}": text for name, text in program.texts.items()},
        **read_board_files(target),
        **{name: read_board_file(name) for name in ("measure.c", "counter.h")},
        "probe.h": probe,
    }
    with (
        explain_errors(
            f"built for {target.name}", "check --flags (flags in Python), or leave out --target"
        ),
        folder_of_sources(texts) as folder,
    ):
        yield folder, find_compiler(target.compiler)


def _build(
    folder: Path,
    compiler: Compiler,
    program: Program,
    target: Target,
    flags: Sequence[str],
    predict: str,
) -> str:
    """Build ``program.elf``; return the messages about the program itself."""
    processor = (*target.flags, target.library)
    source = f"{_FOLDER}/{source_name(program.texts)}"
    own = [*processor, *STRICT, *_SECTIONS, *flags, "-c", source, "-o", _OBJECT]
    messages = run_compiler(compiler, own, folder)
    run_compiler(
        compiler,
        [
            *(*processor, *_BOARD_FLAGS, f"-DPREDICT={predict}", "-nostartfiles", _GARBAGE),
            *(f"-T{target.system}.ld", f"{target.system}.c", "measure.c", _OBJECT),
            *("-lm", "-o", "program.elf"),
        ],
        folder,
    )
    return messages
