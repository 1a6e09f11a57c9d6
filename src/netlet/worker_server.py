"""Start worker processes at once: as forks of a process that has imported PyTorch already.

That process, Python's fork server, has done nothing but imports, so it has no threads and no state
that a fork could break. It is started early, while the command itself is still importing.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

# Beginnings of the names of environment variables that Python, the C library, PyTorch, its math
# libraries and OpenMP read when they are loaded.
_READ_AT_START = (
    *("ATEN_", "BLIS_", "CUBLAS_", "CUDA_", "CUDNN_", "DNNL_", "GLIBC_", "GOMP_", "KMP_", "LD_"),
    *("MALLOC_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHON", "PYTORCH_"),
    *("TORCH_", "VECLIB_"),
)

# A socket's path, in bytes, without its final zero; and how much of it Python adds to the folder.
_LONGEST_PATH, _NAME_IN_FOLDER = 107, len("/pymp-12345678/listener-12345678")

_environment: dict[str, str] | None = None  # that the server was started with, of these variables


def worker_context(*modules: str) -> BaseContext:
    """Return a context of ``multiprocessing`` whose processes start fast, and prepare it.

    The processes may have other environment variables than this one has now; pass them on.

    Args:
        modules: The full names of modules that workers import. Importing them starts no threads.
            The first call decides.
    """
    global _environment
    if sys.platform != "linux":  # elsewhere libraries of the system do not survive a fork
        return multiprocessing.get_context("spawn")
    context: BaseContext = multiprocessing.get_context("forkserver")
    if context.get_start_method() != "forkserver":  # a test may want another one
        return context
    now = {name: value for name, value in os.environ.items() if name.startswith(_READ_AT_START)}
    if _environment is None:
        _environment = now
        context.set_forkserver_preload([*modules])
    if now != _environment:
        return multiprocessing.get_context("spawn")
    try:
        if not _has_place_for_a_socket():
            return multiprocessing.get_context("spawn")
        with without_interrupts():
            forkserver.ensure_running()
    except OSError:  # it needs a temporary folder for its socket
        return multiprocessing.get_context("spawn")
    return context


def _has_place_for_a_socket() -> bool:
    """Return whether the path of a socket in the temporary folder is short enough.

    Python makes a folder for the socket before it notices, and leaves it there if it is killed.

    Raises:
        OSError: There is no temporary folder.
    """
    folder = os.fsencode(tempfile.gettempdir())
    return len(folder) + _NAME_IN_FOLDER <= _LONGEST_PATH


def own_server_socket() -> str | None:
    """Return the path of the fork server's socket, or None if another process started the server.

    A process that a fork server or :func:`os.fork` started knows the server of its parent.
    """
    server: Any = getattr(forkserver, "_forkserver")  # noqa: B009 - it is not public
    try:
        stat = Path(f"/proc/{server._forkserver_pid}/stat").read_text()
    except OSError:  # None started here, or not on Linux
        return None
    parent = int(stat.rpartition(")")[2].split()[1])
    address = server._forkserver_address
    return address if parent == os.getpid() and isinstance(address, str) else None


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Let a process that is started in this block never get Ctrl-C: who started it ends it.

    Otherwise it would print a traceback if it is still importing.
    """
    resource_tracker.ensure_running()  # which unblocks the signal if it has to start
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
