"""Load a compiled library from memory, and try a new one in a process of its own first."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import itertools
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable

import torch

from netlet.backends.cpu.errors import CompilationError
from netlet.nets.isolation import exit_process
from netlet.processor_load import Deadline
from netlet.scratch import scratch_folder

_TRIAL_LIMIT_S = 20.0  # longer on a busy machine
_loaded_count = itertools.count(1)


def load_library(content: bytes) -> ctypes.CDLL:
    """Load exactly these bytes as a shared library; nobody can change them in between.

    Args:
        content: The content of the library's file.

    Raises:
        OSError: They are not a library that this process can load; the message says why.
    """
    try:
        return _load_from_memory(content)
    except (AttributeError, OSError):  # a system without files in memory (macOS), or without /proc
        return _load_from_private_folder(content)


def try_in_child_process(action: Callable[[], object]) -> None:
    """Run untried native code in a copy of this process, so that a crash does not end this one.

    The copy is a fork, which takes milliseconds where a new process would need seconds to import
    torch. It has one thread, and a lock that another thread held during the fork stays held there,
    such as that of PyTorch's random generator. So the action does little beside calling native
    code. Where a fork is not safe (macOS), nothing is tried.

    Args:
        action: Calls native code, with tensors that were made before; it computes with one thread.
            Its exceptions are ignored.

    Raises:
        CompilationError: The copy was ended by a signal, or did not finish. After a crash, a note
            of the error lists the calls that led to it.
    """
    if sys.platform != "linux":
        return
    try:
        read_end, write_end = os.pipe()
    except OSError:  # no more files: the check in this process has to do
        return
    # Not blocking: a process that another thread forks meanwhile keeps the other end open.
    os.set_blocking(read_end, False)
    with open(read_end, "rb", buffering=0) as calls:
        try:
            child = _fork()
        except OSError:  # no more processes or memory
            os.close(write_end)
            return
        if child == 0:
            _run_and_exit(action, write_end)
        os.close(write_end)
        try:
            status = _wait(child)
        except BaseException:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            raise
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            error = CompilationError(f"the compiled library crashes ({name})")
            error.add_note((calls.read() or b"").decode(errors="replace"))
            raise error
    if os.WEXITSTATUS(status):
        raise CompilationError("the compiled library ends the process")


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork while other threads run. They may hold locks of their own
        # libraries, none of which the action uses.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _load_from_memory(content: bytes) -> ctypes.CDLL:
    import fcntl

    descriptor = os.memfd_create("netlet", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        # The loader returns an earlier library if it knows the path already, and the number of a
        # closed descriptor is used again. So the digits of a counter are put into the path, as
        # slashes that mean nothing.
        slashes = f"{next(_loaded_count):b}".replace("0", "/").replace("1", "/.")
        return _load(f"/proc/self/fd{slashes}/{descriptor}")
    finally:
        os.close(descriptor)


def _load_from_private_folder(content: bytes) -> ctypes.CDLL:
    """Load a copy in a new folder that only this user can enter."""
    with scratch_folder() as folder:
        path = folder / "library.so"
        path.write_bytes(content)
        return _load(str(path))


def _load(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise OSError(str(error).removeprefix(f"{path}: ")) from error


def _run_and_exit(action: Callable[[], object], crash_report: int) -> None:
    """Run an action in the forked process; return never.

    Args:
        action: Its exceptions are ignored.
        crash_report: The descriptor of a file for the calls that led to a crash.
    """
    try:
        gc.disable()  # the objects of other threads are not cleaned up here
        _silence()
        faulthandler.enable(crash_report, all_threads=False)
        torch.set_num_threads(1)
        action()
    except BaseException:  # the parent meets it again
        pass
    finally:
        exit_process(0)  # os._exit is refused while a net trains


def _silence() -> None:
    """Write nothing, dump no core, and leave Ctrl-C to the parent."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _wait(child: int) -> int:
    """Return the status of a child process when it has ended.

    Raises:
        CompilationError: It takes too long.
    """
    deadline = Deadline(_TRIAL_LIMIT_S)
    while deadline.left_s() > 0:
        try:
            done, status = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:  # it has ended; whoever ignores SIGCHLD never learns how
            return 0
        if done:
            return status
        time.sleep(0.002)
    raise CompilationError(
        f"the compiled library did not finish within {deadline.limit_s:.3g} seconds"
    )
