"""Compile C code for this machine when it is first needed, and cache the library."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch

from netlet import __version__
from netlet.backends.cpu.compiler import (
    Compiler,
    compile_file,
    compiler_identity,
    compiler_version,
    find_compiler,
)
from netlet.backends.cpu.errors import CompilationDisabledError, CompilationError
from netlet.backends.cpu.library_cache import LibraryCache, UntrustedFolderError
from netlet.backends.cpu.loader import load_library, try_in_child_process
from netlet.errors import warn
from netlet.text import escape_controls

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
    "-pthread",
    "-shared",
    "-fPIC",
)

Trial = Callable[[ctypes.CDLL], object]  # calls a new library once

# Libraries of this process, and why others could not be had, by cache folder and key.
_libraries: dict[tuple[Path | None, str], ctypes.CDLL] = {}
_failures: dict[tuple[Path | None, str], str] = {}
_lock = threading.RLock()


def compile_library(
    source: str,
    check: Callable[[ctypes.CDLL], None] = lambda _: None,
    prepare_trial: Callable[[], Trial] = lambda: lambda _: None,
) -> ctypes.CDLL:
    """Return the library of a C program, from the cache or newly compiled.

    Only checked libraries are cached. The cache key contains the program, the compiler, its flags,
    the processor and the versions of netlet and torch, so that machines may share a cache folder.
    A program that failed once is not compiled again by the same process.

    Args:
        source: The program.
        check: Tests a new library, and raises :class:`CompilationError` if it is wrong.
        prepare_trial: Returns a function that calls a new library once. That happens before
            anything else and in a child process, so that a library that crashes is rejected; what
            the calls need is made here, see :func:`try_in_child_process`.

    Raises:
        CompilationError: Compiled code is disabled, there is no compiler, the compiler fails, or
            the library does not pass the check.
    """
    for variable in (ENABLE_VARIABLE, _OLD_ENABLE_VARIABLE):
        if os.environ.get(variable) == "0":
            raise CompilationDisabledError(f"{variable}=0")
    with _lock:
        compiler = find_compiler()
        key = _cache_key(source, compiler)
        place = (_cache_folder(), key)
        if place in _failures:
            raise CompilationError(_failures[place])
        if place not in _libraries:
            try:
                _libraries[place] = _read_cached(key) or _build(
                    source, compiler, key, check, prepare_trial
                )
            except CompilationError as reason:
                _failures[place] = str(reason)
                raise
        return _libraries[place]


def _read_cached(key: str) -> ctypes.CDLL | None:
    cache = LibraryCache(_cache_folder())
    try:
        content = cache.read(key)
        if content is not None:
            try:
                return load_library(content)
            except OSError:  # a library that it needs is gone
                cache.discard(key)
    except UntrustedFolderError as reason:
        _warn_once(
            f"compiled libraries are not cached, because {_cache_folder()} {reason}; "
            "remove it, and netlet makes a new one"
        )
    return None


def _build(
    source: str,
    compiler: Compiler,
    key: str,
    check: Callable[[ctypes.CDLL], None],
    prepare_trial: Callable[[], Trial],
) -> ctypes.CDLL:
    """Compile, check and cache a library.

    Raises:
        CompilationError: It cannot be compiled or is wrong.
    """
    files = {"netlet.c": source}
    _, content = compile_file(compiler, files, [*_FLAGS, "netlet.c", "-lm"], "netlet.so")
    trial = prepare_trial()
    try_in_child_process(lambda: trial(load_library(content)))
    library = load_built_library(compiler, content)
    try:
        check(library)
    except AttributeError as error:
        if "symbol" not in str(error):
            raise
        raise CompilationError(f"{compiler} left functions out of its library") from error
    with contextlib.suppress(UntrustedFolderError):
        LibraryCache(_cache_folder()).write(key, content)
    return library


def load_built_library(compiler: Compiler, content: bytes) -> ctypes.CDLL:
    """Load a library that a compiler has just written.

    Args:
        compiler: For the error message.
        content: The content of the library's file.

    Raises:
        CompilationError: It cannot be loaded.
    """
    try:
        return load_library(content)
    except OSError as error:
        reason = escape_controls(str(error))
        raise CompilationError(f"{compiler} wrote no loadable library ({reason})") from error


@functools.cache
def _warn_once(message: str) -> None:
    warn(message)


def describe_compiler() -> dict[str, str]:
    """Return the compiler and its flags, as records store them."""
    try:
        compiler = find_compiler()
        version, flags = compiler_version(compiler), (*compiler.command[1:], *_FLAGS)
    except CompilationError:
        version, flags = "", _FLAGS
    return {
        "compiler": escape_controls((version.splitlines() or ["unknown"])[0][:200]),
        "compiler_flags": escape_controls(" ".join(flags)),
    }


def data_pointer(tensor: torch.Tensor | None) -> int | None:
    """Return the address of a tensor's data; None for None."""
    return None if tensor is None else tensor.data_ptr()


def _cache_folder() -> Path | None:
    """Return the folder of the cache, or None if this user has none, since HOME is unknown."""
    folder = Path(platformdirs.user_cache_dir("netlet", appauthor=False)) / "native"
    return folder if folder.is_absolute() else None


def _cache_key(source: str, compiler: Compiler) -> str:
    parts = (
        source,
        compiler_identity(compiler),
        *_FLAGS,
        processor_features(),
        torch.__version__,
        __version__,
    )
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


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
