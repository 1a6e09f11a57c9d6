"""Compile C code for this machine when it is first needed, and cache the library."""

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

ENABLE_VARIABLE = "NETLET_COMPILE"  # environment variable; 0 disables all compiled code
_OLD_ENABLE_VARIABLE = "NETLET_NATIVE"  # its name in version 0.1
# Not -ffast-math, since NaN must stay NaN; only those of its flags that vectorized loops need.
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
    """The reason why compiled code is not available; callers fall back to PyTorch."""


def compile_library(
    source: str, check: Callable[[ctypes.CDLL], None] = lambda _: None
) -> ctypes.CDLL:
    """Return the library of a C program, from the cache or newly compiled.

    Only checked libraries are cached. The cache key contains the program, the compiler, its flags,
    the processor and the version of torch, so that machines may share a cache folder.

    Args:
        source: The program.
        check: Tests a new library, and raises :class:`CompilationError` if it is wrong.

    Raises:
        CompilationError: Compiled code is disabled, there is no compiler, the compiler fails, or
            the library does not pass the check.
    """
    for variable in (ENABLE_VARIABLE, _OLD_ENABLE_VARIABLE):
        if os.environ.get(variable) == "0":
            raise CompilationError(f"{variable}=0")
    path = _cache_folder() / f"{_cache_key(source)}.so"
    if path.is_file():
        return ctypes.CDLL(str(path))
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "netlet.so"
        process = subprocess.run(
            [find_compiler(), "-x", "c", *_FLAGS, "-", "-o", str(built), "-lm"],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            raise CompilationError(f"{find_compiler()} failed: {_first_error(process.stderr)}")
        library = ctypes.CDLL(str(built))
        check(library)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.part")
            shutil.copyfile(built, temporary)
            os.replace(temporary, path)
        except OSError:
            pass  # the cache is not writable; compile again next time
    return library


@functools.cache
def find_compiler() -> str:
    """Return the C compiler of this machine: ``$CC``, or the first of cc, gcc and clang.

    Raises:
        CompilationError: None of them is installed.
    """
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    raise CompilationError("there is no C compiler")


def describe_compiler() -> dict[str, str]:
    """Return the compiler and its flags, as records store them."""
    try:
        version = _compiler_version(find_compiler())
    except CompilationError:
        version = ""
    return {
        "compiler": (version.splitlines() or ["unknown"])[0],
        "compiler_flags": " ".join(_FLAGS),
    }


def data_pointer(tensor: torch.Tensor | None) -> int | None:
    """Return the address of a tensor's data; None for None."""
    return None if tensor is None else tensor.data_ptr()


def _cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("netlet", appauthor=False)) / "native"


def _cache_key(source: str) -> str:
    parts = (
        source,
        _compiler_version(find_compiler()),
        *_FLAGS,
        processor_features(),
        torch.__version__,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@functools.cache
def _compiler_version(compiler: str) -> str:
    return subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, check=False
    ).stdout


@functools.cache
def processor_features() -> str:
    """Return the processor's model and features, which ``-march=native`` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(
        sorted({line for line in lines if line.startswith(("model", "flags", "Features", "CPU p"))})
    )


def _first_error(output: str) -> str:
    lines = (
        [line for line in output.splitlines() if "error" in line]
        or output.splitlines()
        or ["no error message"]
    )
    return " ".join(lines[0].split())
