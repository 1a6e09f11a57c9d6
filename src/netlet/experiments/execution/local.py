"""An executor whose workers are processes of this machine.

A worker that dies fails only the task that it ran, unlike one of ``ProcessPoolExecutor``, where all
tasks fail together. Python's thread pool keeps the queue: each of its threads hands one task after
the other to a process and waits for the answer.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import wait
from typing import Any, ParamSpec, TypeVar

from netlet.errors import NetletError
from netlet.experiments.execution.script_guard import refuse_unguarded_script
from netlet.experiments.execution.worker import serve
from netlet.worker_server import own_server_socket, without_interrupts, worker_context

_P = ParamSpec("_P")
_T = TypeVar("_T")
_END_S = 3.0  # how long a worker may take to end before it is killed
_KILLED = -9  # the exit code after SIGKILL, which nothing in netlet sends to a worker that is busy
# While one process starts, another would inherit its pipe, and no exit code must be read.
_start = threading.Lock()


class WorkerDiedError(NetletError):
    """The process that ran a task has ended without an answer; another one may succeed.

    Args:
        code: The exit code of the process; a negative one is the number of a signal, and None
            means that it is not known.
        reason: What happened, if more is known.
        remedy: How to run the command so that it does not happen again, as in "run the same command
            with fewer workers"; empty if there is no such way.
    """

    def __init__(self, code: int | None = None, reason: str = "", remedy: str = "") -> None:
        if code == _KILLED and not reason:
            reason = "its process was killed, as the system does when memory runs out"
            remedy = remedy or "with fewer workers (--workers)"
        self.code, self.reason, self.remedy = code, reason or "its process died", remedy
        super().__init__(f"{self.reason}{'' if code is None else f' (code {code})'}")

    def __reduce__(self) -> tuple[type[WorkerDiedError], tuple[int | None, str, str]]:
        """Return how to make it again; the default would pass the message as the code."""
        return WorkerDiedError, (self.code, self.reason, self.remedy)


class LocalExecutor(Executor):
    """Runs picklable functions in processes of this machine.

    A process is started when there is a task for it, and replaced if it dies. Functions that
    raise netlet's errors raise the same in :meth:`~concurrent.futures.Future.result`.

    Args:
        workers: Number of processes.
        threads: Number of threads of PyTorch in each.

    Raises:
        NetletError: A script does this outside of ``if __name__ == "__main__"``.
    """

    def __init__(self, workers: int, *, threads: int = 1) -> None:
        refuse_unguarded_script()
        self._threads = threads
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="netlet-worker")
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._cancelled = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Let a worker call a function.

        The future raises :class:`WorkerDiedError` if the worker dies meanwhile.

        Args:
            fn: The function, defined at the top level of a module.
            args: Its arguments, which can be pickled, as its result can.
            kwargs: Its named arguments.
        """
        return self._pool.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and end the workers once the tasks are done.

        Args:
            wait: Whether to wait until then.
            cancel_futures: Whether to cancel all tasks, also the running ones, and end the
                workers at once.
        """
        if cancel_futures:
            with self._lock:
                self._cancelled = True
                for worker in self._busy:
                    worker.terminate()
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        if not wait:
            threading.Thread(target=self.shutdown).start()
            return
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.hang_up()
        for worker in idle:
            worker.close()

    def _call(self, fn: Callable[..., _T], args: Any, kwargs: Any) -> _T:
        """Let a worker call a function; runs in a thread of the pool."""
        task = pickle.dumps((fn, args, kwargs))
        worker = self._take_worker()
        answer = None
        try:
            with contextlib.suppress(EOFError, OSError):
                answer = worker.call(task)
        finally:
            self._give_back(worker, reusable=answer is not None)
            code = worker.close() if answer is None else None
        if answer is None:
            if self._cancelled:
                raise CancelledError
            raise WorkerDiedError(code)
        succeeded, value = pickle.loads(answer)
        if not succeeded:
            raise value
        return value  # type: ignore[no-any-return]

    def _take_worker(self) -> _Worker:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or _Worker(self._threads)
        with self._lock:
            self._busy.add(worker)
            if self._cancelled:
                worker.terminate()
        return worker

    def _give_back(self, worker: _Worker, *, reusable: bool) -> None:
        with self._lock:
            self._busy.discard(worker)
            if reusable:
                self._idle.append(worker)


class _Worker:
    """A process that calls one function after the other.

    Args:
        threads: Number of threads of PyTorch.
    """

    def __init__(self, threads: int) -> None:
        with _start, without_interrupts():
            context = worker_context(f"{__package__}.task")
            self._pipe, theirs = context.Pipe()
            words = (theirs, threads, dict(os.environ), own_server_socket())
            self._process = context.Process(target=serve, args=words, daemon=True)  # type: ignore[attr-defined]
            self._process.start()
            theirs.close()

    def call(self, task: bytes) -> bytes:
        """Return the pickled answer to a pickled call.

        Raises:
            EOFError: The process has ended.
            OSError: It has ended, too.
        """
        self._pipe.send_bytes(task)
        return self._pipe.recv_bytes()

    def terminate(self) -> None:
        """Ask the process to end, whatever it is doing."""
        self._process.terminate()

    def hang_up(self) -> None:
        """Let the process end as soon as it waits for a task."""
        self._pipe.close()

    def close(self) -> int | None:
        """End the process and return its exit code."""
        self.hang_up()
        if not wait([self._process.sentinel], _END_S):
            self._process.kill()
            wait([self._process.sentinel])
        # The start of a process asks all others for their exit codes. Each can be read only once.
        with _start:
            self._process.join()
            code: int | None = self._process.exitcode
            self._process.close()
        return code
