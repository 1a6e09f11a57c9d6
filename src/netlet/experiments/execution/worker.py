"""The process of a worker of :class:`~netlet.experiments.execution.LocalExecutor`."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

import torch

_exit = os._exit  # kept here: os._exit itself is blocked while the code of a net runs
_STOPPED = 130  # exit code after Ctrl-C
_AT_ONCE_S = 0.02
_calling = False  # a function runs


def serve(
    pipe: Connection, threads: int, environment: Mapping[str, str], socket: str | None
) -> None:
    """Call the functions that a pipe delivers until it is closed.

    Args:
        pipe: Delivers a pickled function and its arguments; takes the pickled answer, which is
            True and its result, or False and its exception.
        threads: Number of threads of PyTorch.
        environment: The environment variables of the driver.
        socket: The path of the socket of the driver's own fork server, if it has one.
    """
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the driver acts
    signal.signal(signal.SIGTERM, _stop)
    _end_with_parent(socket)
    # The driver's end ends this process, but a function may start processes of its own.
    multiprocessing.current_process().daemon = False
    torch.set_num_threads(threads)
    gc.freeze()  # what has been imported stays: it need not be searched for garbage
    try:
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The driver needs no worker any more, or was killed: then both pipes are closed at once.
        if socket and _has_ended(multiprocessing.parent_process()):
            _remove_socket(socket)
    except KeyboardInterrupt:
        _exit(_STOPPED)


def _answer(task: bytes) -> bytes:
    global _calling
    _calling = True
    try:
        function, args, kwargs = pickle.loads(task)
        answer: tuple[bool, Any] = True, function(*args, **kwargs)
        return pickle.dumps(answer)
    except KeyboardInterrupt:
        _exit(_STOPPED)
        raise
    except BaseException as error:
        return _pickle_error(error)
    finally:
        _calling = False


def _pickle_error(error: BaseException) -> bytes:
    """Return an answer that raises the error in the driver, with the traceback of this process."""
    if not isinstance(error, Exception):  # one that would end the driver
        error = RuntimeError(f"{type(error).__name__}: {error}")
    text = "".join(traceback.format_exception(error))
    error.add_note(f"In the worker process:\n{text}")
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)
    except Exception:
        other = RuntimeError(f"{type(error).__name__}: {error}")
        other.add_note(f"In the worker process:\n{text}")
        return pickle.dumps((False, other))
    return answer


def _stop(number: int, frame: FrameType | None) -> None:
    """End the process; a function that runs can clean up first."""
    if _calling:
        raise KeyboardInterrupt
    _exit(_STOPPED)


def _end_with_parent(socket: str | None) -> None:
    """End this process soon after its parent, so that no worker outlives its driver."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            if socket:
                _remove_socket(socket)
            _exit(_STOPPED)

        threading.Thread(target=watch, daemon=True).start()


def _has_ended(parent: BaseProcess | None) -> bool:
    return parent is not None and bool(wait([parent.sentinel], _AT_ONCE_S))


def _remove_socket(socket: str) -> None:
    """Remove the socket that a fork server had for the driver, which did not do so itself."""
    with contextlib.suppress(OSError):
        os.unlink(socket)
        os.rmdir(os.path.dirname(socket))
