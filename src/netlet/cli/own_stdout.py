"""Keep descriptor 1 for results: what other code writes to it goes to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def own_stdout() -> Iterator[TextIO]:
    """Yield a stream to stdout that no other code writes to.

    Prints of C code and of programs that a net starts would make ``--json`` invalid.
    """
    stream = sys.stdout
    try:
        descriptor = None
        if isinstance(stream, io.TextIOWrapper) and stream is sys.__stdout__:
            stream.flush()
            descriptor = os.dup(1) if stream.fileno() == 1 else None
    except (OSError, ValueError):
        descriptor = None
    if descriptor is None:
        yield stream
        return
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        os.close(descriptor)
        yield stream
        return
    own = open(  # noqa: SIM115
        descriptor, "w", encoding=stream.encoding, errors=stream.errors, closefd=False
    )
    try:
        yield own
    finally:
        if not user_code_has_run():  # its threads may still write to it
            os.dup2(descriptor, 1)
            os.close(descriptor)


def end_stdout() -> None:
    """Send to stderr what exit handlers print, such as those of trackio: the result is complete."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a stream is closed
        sys.stdout.flush()
        os.dup2(2, 1)


def user_code_has_run() -> bool:
    """Return whether this process has run code of a user's net."""
    module = sys.modules.get("netlet.nets.isolation")  # importing it would load torch
    return bool(module and module.user_code_has_run)


def leave(code: int) -> None:
    """End the process at once; no thread or exit handler of a user's code goes on or runs.

    Args:
        code: The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    sys.modules["netlet.nets.isolation"].exit_process(code)
