"""C, compiled for this machine when it is first needed, and kept for the next time."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch

ENABLE_VARIABLE = "NETLET_NATIVE"  # set to 0, nothing is compiled and nothing that was compiled is used
# Not -ffast-math: NaN must stay NaN. Of what it allows, what loops need to be done in vectors.
_FLAGS = (
    "-std=gnu11",
    "-O3",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-fopenmp",
    "-shared",
    "-fPIC",
)


class CompilationError(Exception):
    """Why something runs without compiled help."""


def compile_library(source: str, accepted: Callable[[ctypes.CDLL], None] = lambda _: None) -> ctypes.CDLL:
    """The library of a C program, from the cache or newly compiled.

    What is in the cache has been accepted; it is told apart by program, compiler, flags, processor
    and torch, so that machines may share a folder.

    Args:
        source: The program.
        accepted: Tries a new library, and raises :class:`CompilationError` if it does not do what
            it should.

    Raises:
        CompilationError: It was switched off, there is no compiler, it cannot compile this, or the
            library was not accepted.
    """
    if os.environ.get(ENABLE_VARIABLE) == "0":
        raise CompilationError(f"{ENABLE_VARIABLE}=0")
    path = _cache_folder() / f"{_cache_key(source)}.so"
    if path.is_file():
        return ctypes.CDLL(str(path))
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "netlet.so"
        done = subprocess.run(
            [find_compiler(), "-x", "c", *_FLAGS, "-", "-o", str(made), "-lm"],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CompilationError(f"{find_compiler()} cannot compile it: {_first_error(done.stderr)}")
        library = ctypes.CDLL(str(made))
        accepted(library)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            waiting = path.with_suffix(f".{os.getpid()}.part")
            shutil.copyfile(made, waiting)
            os.replace(waiting, path)
        except OSError:
            pass  # it will be compiled again next time
    return library


@functools.cache
def find_compiler() -> str:
    """The C compiler of this machine: ``$CC``, or the first of the usual ones that is there.

    Raises:
        CompilationError: There is none.
    """
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    raise CompilationError("there is no C compiler")


def data_pointer(tensor: torch.Tensor | None) -> int | None:
    """Where a tensor's numbers lie; None for none."""
    return None if tensor is None else tensor.data_ptr()


def _cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("netlet", appauthor=False)) / "native"


def _cache_key(source: str) -> str:
    parts = (source, _compiler_version(find_compiler()), *_FLAGS, _processor_features(), torch.__version__)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@functools.cache
def _compiler_version(compiler: str) -> str:
    return subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, check=False
    ).stdout


@functools.cache
def _processor_features() -> str:
    """What ``-march=native`` looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(
        sorted({line for line in lines if line.startswith(("model", "flags", "Features", "CPU p"))})
    )


def _first_error(told: str) -> str:
    lines = (
        [line for line in told.splitlines() if "error" in line]
        or told.splitlines()
        or ["no reason given"]
    )
    return " ".join(lines[0].split())
