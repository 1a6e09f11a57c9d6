"""Building an exported C program with a C compiler on this machine: to run it and to measure it."""

from __future__ import annotations

import ctypes
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from netlet.backends.cpu.bounded_process import StoppedProcessError, run_bounded
from netlet.backends.cpu.compiler import (
    Compiler,
    compile_file,
    find_compiler,
    folder_of_sources,
    run_compiler,
)
from netlet.backends.cpu.errors import CompilationError, NoCompilerError
from netlet.backends.cpu.library import load_built_library
from netlet.backends.cpu.loader import try_in_child_process
from netlet.errors import ExportError
from netlet.export.c_interface import DEFAULT_PREFIX
from netlet.export.verification import LogitsFunction

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic")
FAST = ("-O3", "-march=native")
# As on a microcontroller; and machine code, which link-time optimization would leave to the linker.
OBJECT = ("-fno-asynchronous-unwind-tables", "-fno-pie", "-fno-lto")
SMALL = ("-Os", *OBJECT)
FLASH_SECTIONS = (".text", ".rodata", ".data")
RAM_SECTIONS = (".data", ".bss")


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
        flags = shlex.join(flag for flag in self.flags if flag not in OBJECT)
        return (
            f"{self.flash_bytes:,} bytes of flash, {self.ram_bytes:,} bytes of RAM{stack} "
            f"({flags}, {self.compiler})"
        )


def measure_build(
    texts: Mapping[str, str], compiler: str | None = None, flags: Sequence[str] = SMALL
) -> BuildSize | None:
    """Compile a program and measure its object file.

    Args:
        texts: The program's files, by name.
        compiler: The command of a cross compiler; None: this machine's compiler.
        flags: Compiler flags in addition to those of strict C99.

    Returns:
        None if there is no ``size`` of GNU binutils to read the object file.

    Raises:
        NoCompilerError: There is no compiler.
        ExportError: The compiler fails.
    """
    remedy = "check --flags, or name another compiler with the environment variable CC"
    with explain_errors("measured", remedy):
        chosen = find_compiler(compiler)
        with folder_of_sources(texts) as folder:
            target = folder / "program.o"
            flags_used = [*STRICT, *flags, "-fstack-usage", "-c"]
            arguments = [*flags_used, source_name(texts), "-o", target.name]
            messages = run_compiler(chosen, arguments, folder)
            listing = list_sections(chosen, target)
            # A system's own size (macOS) knows neither -A nor ELF sections.
            if ".text" not in listing:
                return None
            stack = _sum_stack_usage(target.with_suffix(".su"))
    return BuildSize(
        chosen.name,
        tuple(flags),
        sum_sections(listing, FLASH_SECTIONS),
        sum_sections(listing, RAM_SECTIONS),
        stack,
        tuple(line for line in messages.splitlines() if "warning:" in line),
    )


def load_library(texts: Mapping[str, str], flags: Sequence[str] = (*STRICT, *FAST)) -> ctypes.CDLL:
    """Compile a program as a shared library and load it into this process.

    Args:
        texts: The program's files, by name.
        flags: For this machine's compiler.

    Returns:
        The library; its functions take the addresses of an image and of the scores.

    Raises:
        NoCompilerError: There is no compiler.
        ExportError: The compiler fails, or does not write such a library.
    """
    source = source_name(texts)
    predict = f"{source.removesuffix('.c')}_predict"
    with explain_errors():
        compiler = find_compiler()
        arguments = [*flags, "-shared", "-fPIC", source]
        _, content = compile_file(compiler, texts, arguments, "netlet.so")
        try_in_child_process(lambda: load_built_library(compiler, content))
        library = load_built_library(compiler, content)
        if not hasattr(library, predict):
            raise CompilationError(f"{compiler} left {predict} out of its library")
    for name in (predict, f"{predict}_int"):
        if hasattr(library, name):
            getattr(library, name).argtypes = (ctypes.c_void_p, ctypes.c_void_p)
            getattr(library, name).restype = ctypes.c_int
    return library


def source_name(texts: Mapping[str, str]) -> str:
    """Return the name of a program's source among its files.

    Args:
        texts: The program's files, by name.
    """
    return next(name for name in texts if name.endswith(".c"))


def try_predictor(predict: LogitsFunction, shape: Sequence[int]) -> None:
    """Run a program on one image in a process of its own.

    Args:
        predict: From :func:`library_predictor`.
        shape: The shape of an image, ``C H W``.

    Raises:
        ExportError: It crashes or does not end.
    """
    image = torch.zeros(1, *shape, dtype=torch.uint8)
    with explain_errors():
        try_in_child_process(lambda: predict(image))


def library_predictor(
    library: ctypes.CDLL, classes: int, prefix: str = DEFAULT_PREFIX
) -> LogitsFunction:
    """Return a function that runs a program image by image.

    Args:
        library: From :func:`load_library`.
        classes: Number of logits.
        prefix: The prefix of the program.
    """
    call = getattr(library, f"{prefix}_predict")

    def predict(images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous()
        scores = torch.empty(len(images), classes)
        image, score = images.data_ptr(), scores.data_ptr()
        image_bytes, score_bytes = images[0].numel(), classes * scores.element_size()
        for n in range(len(images)):
            call(image + n * image_bytes, score + n * score_bytes)
        return scores

    return predict


@contextmanager
def explain_errors(
    work: str = "compiled and compared with PyTorch",
    remedy: str = "name another compiler with the environment variable CC",
) -> Iterator[None]:
    """Turn the errors of a compiler into an error of the export.

    Args:
        work: What was to be done.
        remedy: What the user can do.
    """
    try:
        yield
    except NoCompilerError:
        raise
    except CompilationError as reason:
        raise ExportError(f"the C program cannot be {work}: {reason}; {remedy}") from reason


def list_sections(compiler: Compiler, target: Path) -> str:
    """Return what the ``size`` of GNU binutils that belongs to a compiler says about a file.

    Args:
        compiler: A cross compiler's ``size`` has the same prefix.
        target: An object file or program.

    Returns:
        Nothing if there is no such ``size``.
    """
    prefix = re.sub(r"(gcc|cc|clang)(-[\d.]+)?$", "", compiler.name)
    size = shutil.which(f"{prefix}size") or shutil.which("size")
    if size is None:
        return ""
    try:
        return run_bounded([size, "-A", "-d", str(target)])[1].decode(errors="replace")
    except (OSError, StoppedProcessError):
        return ""


def sum_sections(listing: str, kinds: tuple[str, ...]) -> int:
    """Return the bytes of the sections of these kinds, such as ``.data.rel`` of kind ``.data``.

    Args:
        listing: From :func:`list_sections`.
        kinds: ``FLASH_SECTIONS`` or ``RAM_SECTIONS``.
    """
    return sum(
        int(size)
        for name, size in re.findall(r"^(\.[\w.\-]+)\s+(\d+)", listing, re.M)
        if any(f"{name}.".startswith(f"{kind}.") for kind in kinds)
    )


def _sum_stack_usage(report: Path) -> int | None:
    """Return the stack of all functions: none is recursive, so no chain of calls uses more."""
    if not report.is_file():
        return None
    lines = report.read_text(errors="replace").splitlines()
    try:
        return sum(int(line.split("\t")[1]) for line in lines)
    except (IndexError, ValueError):
        return None
