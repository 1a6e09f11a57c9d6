"""An exported C program, built by this machine's compiler: what it answers, and how much room it takes."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from netlet.backends.cpu.library import compiler
from netlet.errors import ShipError
from netlet.export.agreement import Answers
from netlet.export.c_program import SOURCE

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic")
FAST = ("-O3", "-march=native")
SMALL = ("-Os", "-fno-asynchronous-unwind-tables", "-fno-pie")
_CODE_AND_CONSTANTS = (".text", ".rodata", ".data")
_WRITTEN_TO = (".data", ".bss")


@dataclass(frozen=True)
class Built:
    """What an object file says of a program."""

    compiler: str
    flags: tuple[str, ...]
    flash_bytes: int  # code and constants, and what static variables begin as
    ram_bytes: int  # static variables; the stack comes on top
    stack_bytes: int | None  # at most, all calls together; None: the compiler does not tell
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        stack = (
            f" and at most {self.stack_bytes:,} bytes of stack"
            if self.stack_bytes is not None
            else ""
        )
        return f"{self.flash_bytes:,} bytes of flash, {self.ram_bytes:,} bytes of RAM{stack} (-Os, {self.compiler})"


def built(
    texts: Mapping[str, str], with_compiler: str | None = None, flags: Sequence[str] = SMALL
) -> Built | None:
    """How large a program is.

    Args:
        texts: Its files, by name.
        with_compiler: This machine's, if not given; or a cross compiler.
        flags: Beside those of strict C99.

    Returns:
        None if there is no ``size`` (GNU binutils) that could read the object file.

    Raises:
        CompilationError: There is no compiler.
        ShipError: It cannot compile the program.
    """
    chosen = with_compiler or compiler()
    size = _size_beside(chosen)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "netlet.o"
        told = _compile(texts, Path(folder), chosen, [*STRICT, *flags, "-fstack-usage", "-c"], made)
        if size is None:
            return None
        listed = subprocess.run(
            [size, "-A", "-d", str(made)], capture_output=True, text=True, check=False
        ).stdout
        stack = _stack(made.with_suffix(".su"))
    sections = {
        name: int(count) for name, count in re.findall(r"^(\.[\w.\-]+)\s+(\d+)", listed, re.M)
    }

    def total(kinds: tuple[str, ...]) -> int:
        return sum(
            count
            for name, count in sections.items()
            if any(f"{name}.".startswith(f"{kind}.") for kind in kinds)
        )

    return Built(
        Path(chosen).name,
        tuple(flags),
        total(_CODE_AND_CONSTANTS),
        total(_WRITTEN_TO),
        stack,
        tuple(line for line in told.splitlines() if "warning:" in line),
    )


def loaded(texts: Mapping[str, str], flags: Sequence[str] = (*STRICT, *FAST)) -> ctypes.CDLL:
    """A program as a library in this process.

    Args:
        texts: Its files, by name.
        flags: For this machine's compiler.

    Raises:
        CompilationError: There is no compiler.
        ShipError: It cannot compile the program.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "netlet.so"
        _compile(texts, Path(folder), compiler(), [*flags, "-shared", "-fPIC"], made)
        library = ctypes.CDLL(str(made))
    library.netlet_predict.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.netlet_predict.restype = ctypes.c_int
    return library


def answers(library: ctypes.CDLL, classes: int) -> Answers:
    """What a program gives, image by image.

    Args:
        library: As :func:`loaded` gives it.
        classes: How many logits it writes.
    """

    def answer(images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous()
        scores = torch.empty(len(images), classes)
        image, score = images.data_ptr(), scores.data_ptr()
        for n in range(len(images)):
            library.netlet_predict(
                image + n * images[0].numel(), score + n * classes * scores.element_size()
            )
        return scores

    return answer


def _compile(
    texts: Mapping[str, str], folder: Path, chosen: str, flags: Sequence[str], to: Path
) -> str:
    for name, text in texts.items():
        (folder / name).write_text(text)
    command = [chosen, *flags, SOURCE, "-o", str(to)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        reason = next(
            (line for line in done.stderr.splitlines() if "error" in line), "no reason given"
        )
        raise ShipError(
            f"{chosen} cannot compile the C program ({reason}); another one, named by CC, may"
        )
    return done.stderr


def _size_beside(chosen: str) -> str | None:
    """The ``size`` that belongs to a compiler: a cross compiler's has its prefix."""
    prefix = re.sub(r"(gcc|cc|clang)(-[\d.]+)?$", "", Path(chosen).name)
    return shutil.which(f"{prefix}size") or shutil.which("size")


def _stack(told: Path) -> int | None:
    """The sum over all functions: none calls itself, so no chain of calls takes more."""
    if not told.is_file():
        return None
    return sum(int(line.split("\t")[1]) for line in told.read_text().splitlines())
