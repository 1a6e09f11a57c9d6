"""Find a C compiler on this machine, and run it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlet.backends.cpu.bounded_process import (
    MAX_FILE_BYTES,
    StoppedProcessError,
    run_bounded,
    signal_name,
)
from netlet.backends.cpu.errors import CompilationError, NoCompilerError
from netlet.scratch import scratch_folder
from netlet.text import escape_controls

_MAX_REASON = 200  # characters of a compiler's message that are shown
# Lines that only say where the next one is about, or that something has failed.
_NO_REASON = re.compile(
    r"\bin function [^ ]+:$|^in file included from|^compilation terminated"
    r"|\bld returned \d+ exit status|linker command failed",
    re.IGNORECASE,
)
# GCC calls what a processor cannot do "unimplemented"; linkers have no word for an error.
_ERRORS = (
    re.compile(r"error|sorry, unimplemented", re.IGNORECASE),
    re.compile(r"undefined (reference|symbol)|multiple definition|overflowed|will not fit"),
    re.compile(r"\bld(\.\w+)?: (?!.*warning)"),
)
_LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")  # run the compiler that follows them
# Environment variables that change what compilers and linkers read.
_VARIABLES = (
    "COMPILER_PATH",
    "CPATH",
    "C_INCLUDE_PATH",
    "GCC_EXEC_PREFIX",
    "LD_RUN_PATH",
    "LIBRARY_PATH",
)


@dataclass(frozen=True)
class Compiler:
    """A C compiler: its command, an absolute path and perhaps arguments, like ``gcc -m64``."""

    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """File name of the compiler itself, without launchers such as ccache."""
        words = [Path(word).name for word in self.command]
        return words[1] if len(words) > 1 and words[0] in _LAUNCHERS else words[0]

    def __str__(self) -> str:
        return escape_controls(shlex.join(self.command))


# Compilers that did not end by themselves, and why. They are not waited for a second time.
_stopped: dict[Compiler, str] = {}


def find_compiler(command: str | None = None) -> Compiler:
    """Return the C compiler of this machine.

    Args:
        command: A command, perhaps with arguments, as in ``CC``. None: that in the environment
            variable ``CC`` or, if it is empty or not set, the first of cc, gcc and clang.

    Raises:
        CompilationError: There is no such compiler.
    """
    given = (os.environ.get("CC", "") if command is None else command).strip()
    if given:
        return Compiler(_resolve(given, "CC=" if command is None else ""))
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return Compiler((os.path.abspath(found),))
    raise NoCompilerError(
        "no C compiler (cc, gcc or clang) was found; install one, or name it with the environment "
        "variable CC"
    )


def run_compiler(compiler: Compiler, arguments: Sequence[str], folder: Path) -> str:
    """Run a compiler and return its messages.

    It gets no input, and messages in English. After a minute, or if it writes messages without
    end, it and the processes that it started are killed, and later calls fail at once.

    Args:
        compiler: From :func:`find_compiler`.
        arguments: File names in them are relative to ``folder``.
        folder: Where it runs.

    Raises:
        CompilationError: It fails or cannot be started.
    """
    code, output = _run(compiler, arguments, folder)
    messages = output.decode(errors="replace")
    if code < 0:
        raise CompilationError(f"{compiler} was ended by {signal_name(-code)}")
    if code:
        raise CompilationError(f"{compiler} failed: {_first_error(messages)}")
    return messages


def compile_file(
    compiler: Compiler, files: Mapping[str, str], arguments: Sequence[str], output: str
) -> tuple[str, bytes]:
    """Compile files in a temporary folder.

    Args:
        compiler: From :func:`find_compiler`.
        files: Name and content of the files in the folder.
        arguments: Apart from ``-o``.
        output: Name of the file to be written.

    Returns:
        The compiler's messages, and the content of the output.

    Raises:
        CompilationError: The compiler fails or writes no such file, or the temporary folder is full
            or missing.
    """
    with folder_of_sources(files) as folder:
        messages = run_compiler(compiler, [*arguments, "-o", output], folder)
        return messages, read_output(compiler, folder / output)


@contextlib.contextmanager
def folder_of_sources(files: Mapping[str, str]) -> Iterator[Path]:
    """Yield a temporary folder that holds these files.

    Raises:
        CompilationError: It cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder())
            for name, text in files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise _no_temporary_folder(error) from error
        yield folder


def read_output(compiler: Compiler, path: Path) -> bytes:
    """Return the content of a file that a compiler wrote.

    Raises:
        CompilationError: There is none, or it is not a file that compiled code can be in.
    """
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or not 0 < state.st_size <= MAX_FILE_BYTES:
            raise CompilationError(f"{compiler} wrote something that is not a compiled file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CompilationError(f"{compiler} reports success, but wrote no file") from error
    except OSError as error:
        raise CompilationError(
            f"what {compiler} wrote cannot be read ({error.strerror})"
        ) from error


def compiler_identity(compiler: Compiler) -> str:
    """Return a text that changes when a compiler is replaced or updated.

    Raises:
        CompilationError: It cannot be started, or does not end.
    """
    path = compiler.command[0]
    with contextlib.suppress(OSError):
        state = os.stat(path)
        path += f" {state.st_size} {state.st_mtime_ns}"
    variables = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    words = [*compiler.command, *variables]
    return f"{path}\n{shlex.join(words)}\n{compiler_version(compiler)}"


def compiler_version(compiler: Compiler) -> str:
    """Return what a compiler says about its version.

    Raises:
        CompilationError: It cannot be started, or does not end.
    """
    if compiler not in _versions:
        _, output = _run(compiler, ["--version"], None)
        _versions[compiler] = output.decode(errors="replace")
    return _versions[compiler]


_versions: dict[Compiler, str] = {}


def _resolve(command: str, label: str) -> tuple[str, ...]:
    """Split a command and find its program.

    Raises:
        CompilationError: It is not a command.
    """
    if whole := shutil.which(command):  # a path with spaces
        return (os.path.abspath(whole),)
    shown = escape_controls(f"{label}{command}")
    try:
        program, *arguments = shlex.split(command)
    except ValueError as error:
        raise CompilationError(f"{shown} is not a command ({error})") from error
    if found := shutil.which(program):
        return (os.path.abspath(found), *arguments)
    if os.path.isdir(program):
        raise CompilationError(f"{shown} is a folder, not a C compiler")
    if os.path.exists(program):
        raise CompilationError(f"{shown} is not executable")
    raise CompilationError(f"{shown} was not found")


def _run(compiler: Compiler, arguments: Sequence[str], folder: Path | None) -> tuple[int, bytes]:
    """Run a compiler; return its exit code and what it wrote to stdout and stderr.

    Raises:
        CompilationError: It cannot be started, or was stopped now or earlier.
    """
    if compiler in _stopped:
        raise CompilationError(_stopped[compiler])
    try:
        return run_bounded([*compiler.command, *arguments], folder)
    except StoppedProcessError as reason:
        _stopped[compiler] = f"{compiler} {reason}"
        raise CompilationError(_stopped[compiler]) from reason
    except (OSError, ValueError) as error:
        why = escape_controls(str(getattr(error, "strerror", None) or error))
        raise CompilationError(f"{compiler} cannot be started ({why})") from error


def _no_temporary_folder(error: OSError) -> CompilationError:
    reason = escape_controls(str(error.strerror or error))
    return CompilationError(
        f"files cannot be written to the temporary folder ({reason}); set TMPDIR to another"
    )


def _first_error(messages: str) -> str:
    """Return the first error among a compiler's or linker's messages, in one line."""
    lines = [line for line in messages.splitlines() if line.strip()]
    lines = [line for line in lines if not _NO_REASON.search(line)] or lines
    errors = (line for kind in _ERRORS for line in lines if kind.search(line))
    text = escape_controls(" ".join(next(errors, lines[0] if lines else "").split()))
    if not text:
        return "it gives no reason"
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."
