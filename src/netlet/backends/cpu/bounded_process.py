"""Run a program within limits: of time, of what it prints, and of the files it writes."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from netlet.processor_load import Deadline

TIME_LIMIT_S = 60.0  # longer on a busy machine
_MAX_OUTPUT_BYTES = 4 << 20  # on stdout and stderr
MAX_FILE_BYTES = 256 << 20  # of a file that it writes, where the system can limit it (Linux)


class StoppedProcessError(Exception):
    """Why a program had to be killed."""


def run_bounded(command: Sequence[str], folder: Path | None = None) -> tuple[int, bytes]:
    """Run a program and wait for it; it gets no input, and writes messages in English.

    If it exceeds a limit, it and the processes that it started are killed.

    Args:
        command: The program and its arguments.
        folder: Where it runs; None: in the current folder.

    Returns:
        The exit code, negative for a signal, and what it wrote to stdout and stderr.

    Raises:
        OSError: It cannot be started.
        ValueError: An argument contains a null byte.
        StoppedProcessError: It was killed.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        process_group=0,  # of its own, so that it can be killed with its children
    ) as process:
        _limit_files(process.pid)
        ended = False
        try:
            output, ended = _read_until_end(process)
        finally:
            if not ended:
                _kill_group(process)
    return process.returncode, output


def signal_name(number: int) -> str:
    """Return the name of a signal, like ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read_until_end(process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
    """Wait for a process.

    Returns:
        What it wrote, and whether no child of it is left that could still write.

    Raises:
        StoppedProcessError: It takes too long, or writes without end.
    """
    pipe = process.stdout
    assert pipe is not None
    deadline = Deadline(TIME_LIMIT_S)
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline.left_s()) > 0:
            if not selector.select(min(left, 0.1)):
                if process.poll() is not None:
                    return bytes(output), False
                continue
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(left)
                    return bytes(output), True
                break
            output += chunk
            if len(output) > _MAX_OUTPUT_BYTES:
                raise StoppedProcessError("prints without end, and was stopped")
    raise StoppedProcessError(
        f"did not finish within {deadline.limit_s:.3g} seconds, and was stopped"
    )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def _limit_files(pid: int) -> None:
    """Limit the size of the files that a process may write, where the system can."""
    try:
        import resource

        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        finite = [limit for limit in limits if limit != resource.RLIM_INFINITY]
        limit = min([*finite, MAX_FILE_BYTES])
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
    except (ImportError, AttributeError, OSError):
        pass
