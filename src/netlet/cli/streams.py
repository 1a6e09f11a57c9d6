"""Standard streams that are closed, full, or read by nobody any more."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from netlet.errors import OutputError


def require_stdout() -> None:
    """Check that stdout is open, and keep files from taking the numbers of closed streams.

    Raises:
        OutputError: It is closed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
    if sys.stdout is None:
        raise OutputError(
            "standard output is closed; redirect it to a file, or to /dev/null if it is not needed"
        )


def write_stdout(text: str, stream: TextIO) -> None:
    """Write to stdout at once; without a reader (``netlet list | head``), the text is dropped.

    Args:
        text: The text to write.
        stream: The stdout from before a command began.

    Raises:
        OutputError: It cannot be written, for instance to a full disk.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        discard_output(stream)
    except OSError as error:
        discard_output(stream)
        raise OutputError(
            f"the result cannot be printed ({error.strerror}); redirect standard output to a file "
            "on a disk with space"
        ) from error


def flush_stdout() -> None:
    """Flush what other code has printed to stdout.

    Raises:
        OutputError: It cannot be written.
    """
    if sys.stdout is not None:
        write_stdout("", sys.stdout)


def discard_output(stream: TextIO) -> None:
    """Drop what a stream still holds and what is written to it later, so that no exit fails."""
    with contextlib.suppress(OSError, ValueError):  # a stream of a test may have no descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
