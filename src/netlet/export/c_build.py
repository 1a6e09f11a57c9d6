"""Building an exported C program with a C compiler on this machine: to run it and to measure it."""

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

from netlet.backends.cpu.library import find_compiler
from netlet.errors import ExportError
from netlet.export.c_program import SOURCE
from netlet.export.verification import LogitsFunction

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic")
FAST = ("-O3", "-march=native")
SMALL = ("-Os", "-fno-asynchronous-unwind-tables", "-fno-pie")
_FLASH_SECTIONS = (".text", ".rodata", ".data")
_RAM_SECTIONS = (".data", ".bss")


@dataclass(frozen=True)
class BuildSize:
    """The size of a program's object file."""

    compiler: str
    flags: tuple[str, ...]
    flash_bytes: int  # code, constants, and initial values of static variables
    ram_bytes: int  # static variables, without the stack
    stack_bytes: int | None  # upper bound, all calls together; None: the compiler does not say
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        stack = ""
        if self.stack_bytes is not None:
            stack = f" and at most {self.stack_bytes:,} bytes of stack"
        return (
            f"{self.flash_bytes:,} bytes of flash, {self.ram_bytes:,} bytes of RAM{stack} "
            f"(-Os, {self.compiler})"
        )


def measure_build(
    texts: Mapping[str, str], compiler: str | None = None, flags: Sequence[str] = SMALL
) -> BuildSize | None:
    """Compile a program and measure its object file.

    Args:
        texts: The program's files, by name.
        compiler: A cross compiler; None: this machine's compiler.
        flags: Compiler flags in addition to those of strict C99.

    Returns:
        None if there is no ``size`` of GNU binutils to read the object file.

    Raises:
        CompilationError: There is no compiler.
        ExportError: The compiler fails.
    """
    chosen = compiler or find_compiler()
    size = _find_size(chosen)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "netlet.o"
        flags_used = [*STRICT, *flags, "-fstack-usage", "-c"]
        messages = _compile(texts, chosen, flags_used, target)
        if size is None:
            return None
        listing = subprocess.run(
            [size, "-A", "-d", str(target)], capture_output=True, text=True, check=False
        ).stdout
        if ".text" not in listing:  # a system's own size (macOS) knows neither -A nor ELF sections
            return None
        stack = _sum_stack_usage(target.with_suffix(".su"))
    return BuildSize(
        Path(chosen).name,
        tuple(flags),
        _sum_sections(listing, _FLASH_SECTIONS),
        _sum_sections(listing, _RAM_SECTIONS),
        stack,
        tuple(line for line in messages.splitlines() if "warning:" in line),
    )


def load_library(texts: Mapping[str, str], flags: Sequence[str] = (*STRICT, *FAST)) -> ctypes.CDLL:
    """Compile a program as a shared library and load it into this process.

    Args:
        texts: The program's files, by name.
        flags: For this machine's compiler.

    Raises:
        CompilationError: There is no compiler.
        ExportError: The compiler fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "netlet.so"
        _compile(texts, find_compiler(), [*flags, "-shared", "-fPIC"], target)
        library = ctypes.CDLL(str(target))
    library.netlet_predict.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.netlet_predict.restype = ctypes.c_int
    return library


def library_predictor(library: ctypes.CDLL, classes: int) -> LogitsFunction:
    """Return a function that runs a program image by image.

    Args:
        library: From :func:`load_library`.
        classes: Number of logits.
    """

    def predict(images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous()
        scores = torch.empty(len(images), classes)
        image, score = images.data_ptr(), scores.data_ptr()
        image_bytes, score_bytes = images[0].numel(), classes * scores.element_size()
        for n in range(len(images)):
            library.netlet_predict(image + n * image_bytes, score + n * score_bytes)
        return scores

    return predict


def _compile(texts: Mapping[str, str], compiler: str, flags: Sequence[str], target: Path) -> str:
    """Compile a program in the target's folder and return the compiler's messages."""
    folder = target.parent
    for name, text in texts.items():
        (folder / name).write_text(text)
    command = [compiler, *flags, SOURCE, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        reason = next(
            (line for line in done.stderr.splitlines() if "error" in line), "no reason given"
        )
        raise ExportError(
            f"{compiler} cannot compile the C program ({reason}); name another compiler with the "
            "environment variable CC"
        )
    return done.stderr


def _find_size(compiler: str) -> str | None:
    """Return the ``size`` that belongs to a compiler; a cross compiler's has the same prefix."""
    prefix = re.sub(r"(gcc|cc|clang)(-[\d.]+)?$", "", Path(compiler).name)
    return shutil.which(f"{prefix}size") or shutil.which("size")


def _sum_sections(listing: str, kinds: tuple[str, ...]) -> int:
    """Return the bytes of the sections of these kinds, such as ``.data.rel`` of kind ``.data``."""
    return sum(
        int(size)
        for name, size in re.findall(r"^(\.[\w.\-]+)\s+(\d+)", listing, re.M)
        if any(f"{name}.".startswith(f"{kind}.") for kind in kinds)
    )


def _sum_stack_usage(report: Path) -> int | None:
    """Return the stack of all functions: none is recursive, so no chain of calls uses more."""
    if not report.is_file():
        return None
    return sum(int(line.split("\t")[1]) for line in report.read_text().splitlines())
