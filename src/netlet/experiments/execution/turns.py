"""An executor for one CUDA device: runs that are submitted together take turns in one process.

Several processes on one device wait for each other, since the device runs the kernels of one
process at a time. Runs in one process can have a stream each (:mod:`netlet.training.together`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, ParamSpec, TypeVar

from netlet.experiments.execution.channel import SocketChannel
from netlet.experiments.execution.local import LocalExecutor
from netlet.experiments.execution.task import RunTask, TaskResult, run_task, run_tasks

_P = ParamSpec("_P")
_T = TypeVar("_T")
_GATHER_S = 0.1  # how long to wait for more runs after one was submitted

_Waiting = tuple[RunTask, "Future[Any]"]


class TurnsExecutor(Executor):
    """Trains runs of one configuration and several seeds at the same time on one device.

    All runs of such a group end together. If their process dies, all of them fail. Other functions
    than :func:`~netlet.experiments.execution.task.run_task` run in processes of their own.

    Args:
        size: The largest number of runs in a group, and of processes for other functions.
        threads: Number of threads of PyTorch in each process.
    """

    def __init__(self, size: int, *, threads: int = 1) -> None:
        self._size = size
        self._groups = LocalExecutor(1, threads=threads)
        self._others = LocalExecutor(size, threads=threads)
        self._waiting: dict[str, list[_Waiting]] = {}  # by the configuration without the seed
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a task in a group, or another function in a process; see ``LocalExecutor``."""
        if fn is not run_task:
            return self._others.submit(fn, *args, **kwargs)
        (task,) = args
        assert isinstance(task, RunTask)
        future: Future[_T] = Future()
        with self._lock:
            own = {name: value for name, value in task.config.items() if name != "seed"}
            key = json.dumps(own, sort_keys=True)
            group = self._waiting.setdefault(key, [])
            group.append((task, future))
            if len(group) == self._size:
                self._send(self._waiting.pop(key))
            else:
                self._wait_for_more()
        return future

    def open_channel(self) -> SocketChannel:
        """Return a channel for the tasks, all of which run on this machine."""
        return SocketChannel(local=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; see ``LocalExecutor``."""
        with self._lock:
            if cancel_futures:
                for group in self._waiting.values():
                    for _, future in group:
                        future.cancel()
                self._waiting.clear()
        self._send_all()
        for executor in (self._groups, self._others):
            executor.shutdown(wait, cancel_futures=cancel_futures)

    def _wait_for_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(_GATHER_S, self._send_all)
        self._timer.daemon = True
        self._timer.start()

    def _send_all(self) -> None:
        with self._lock:
            groups, self._waiting = list(self._waiting.values()), {}
            for group in groups:
                self._send(group)

    def _send(self, group: list[_Waiting]) -> None:
        """Let a group run; the caller holds the lock."""
        group = [one for one in group if one[1].set_running_or_notify_cancel()]
        if not group:
            return
        try:
            done = self._groups.submit(run_tasks, [task for task, _ in group])
        except RuntimeError as error:  # shut down
            for _, future in group:
                future.set_exception(error)
            return
        done.add_done_callback(lambda results: _hand_out(results, [future for _, future in group]))


def _hand_out(results: Future[list[TaskResult | Exception]], futures: list[Future[Any]]) -> None:
    """Give each run of a group its own result."""
    try:
        found: list[TaskResult | Exception] = results.result()
    except (Exception, CancelledError) as error:
        found = [error if isinstance(error, Exception) else RuntimeError(str(error))] * len(futures)
    for future, result in zip(futures, found, strict=True):
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
