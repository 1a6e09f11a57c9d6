"""An executor whose workers are those of a Ray cluster.

Ray places each task on a node with enough free processors. A task that its node did not finish is
not repeated here: its future raises :class:`WorkerDiedError`, and who waits for it sends it again
with what has come back, such as a checkpoint.
"""

from __future__ import annotations

import concurrent.futures
import functools
import io
import pickle
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, ParamSpec, TypeVar

import ray
from ray import exceptions

from netlet.errors import TrainingError, first_line
from netlet.experiments.execution import ray_task
from netlet.experiments.execution.local import WorkerDiedError
from netlet.experiments.execution.ray_channel import Attachment, RayChannel
from netlet.experiments.execution.ray_connection import (
    check_nodes,
    connect,
    refuse_netlet,
)
from netlet.experiments.execution.ray_options import RayOptions
from netlet.installation import describe_installation

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RayExecutor(Executor):
    """Runs picklable functions on the nodes of a Ray cluster.

    Ray is connected or started at once, and nodes with another netlet than this one are refused.

    Args:
        options: Which cluster, and what each task needs besides its processors.
        workers: Number of tasks that run at the same time at most; None: as many as the cluster
            has processors for.
        threads: Number of processors that each task needs.
        say: A function that is called with each line that a person should read.

    Raises:
        TrainingError: The cluster cannot be reached, or one of its nodes has another netlet.
    """

    def __init__(
        self,
        options: RayOptions,
        workers: int | None = None,
        *,
        threads: int = 1,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._limit, self._needed = workers, options.resources(threads)
        self._lock = threading.RLock()
        self._closed = False
        self._waiting: deque[tuple[_RayFuture, bytes, list[Attachment]]] = deque()
        self._sent: dict[_RayFuture, Any] = {}
        self._ended: queue.SimpleQueue[tuple[_RayFuture, Future[bytes]] | None] = (
            queue.SimpleQueue()
        )
        self._installation = describe_installation()
        self._disconnect = connect(options, workers, threads)
        try:
            check_nodes(self._installation, self._needed, say)
        except BaseException:
            self._disconnect()
            raise
        self._remote = ray.remote(ray_task.answer_call).options(
            num_cpus=threads,
            num_gpus=options.gpus,
            memory=self._needed.get("memory"),
            max_retries=0,
        )
        self._thread = threading.Thread(target=self._collect, name="netlet-ray", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Let a worker of the cluster call a function.

        The future raises :class:`WorkerDiedError` if the worker or its node dies meanwhile. It can
        be cancelled while the function runs, too: Ray then ends the worker.

        Args:
            fn: The function, defined at the top level of a module.
            args: Its arguments, which can be pickled, as its result can.
            kwargs: Its named arguments.
        """
        call, attached = _pack((fn, args, kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor has been shut down")
            future = _RayFuture(self)
            self._waiting.append((future, call, attached))
            self._send_waiting()
        return future

    @property
    def capacity(self) -> int:
        """The number of tasks that the cluster has room for now, at least one."""
        there = ray.cluster_resources()
        room = [there.get(name, 0) // amount for name, amount in self._needed.items()]
        if self._limit is not None:
            room.append(self._limit)
        return max(1, int(min(room)))

    def open_channel(self) -> RayChannel:
        """Return a channel that goes through the cluster, whatever its network lets through."""
        return RayChannel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and leave the cluster once the tasks are done.

        Args:
            wait: Whether to wait until then.
            cancel_futures: Whether to cancel all tasks, also the running ones.
        """
        with self._lock:
            self._closed = True
            left = [*(entry[0] for entry in self._waiting), *self._sent]
        if cancel_futures:
            for future in left:
                future.cancel()
        if wait or cancel_futures:
            concurrent.futures.wait(left)
            self._ended.put(None)
            if self._thread.is_alive():
                self._thread.join()
                self._disconnect()

    def cancel(self, future: _RayFuture) -> None:
        """Let Ray end the worker of a task that has been cancelled."""
        with self._lock:
            reference = self._sent.pop(future, None)
            if reference is not None:
                ray.cancel(reference, force=True)
                if not self._closed:
                    self._send_waiting()

    def _send_waiting(self) -> None:
        """Pass tasks on to Ray; the lock is held."""
        while self._waiting and (self._limit is None or len(self._sent) < self._limit):
            future, call, attached = self._waiting.popleft()
            if not future.done():
                values = [entry.value for entry in attached]
                reference = self._remote.remote(self._installation["sources"], call, values)
                self._sent[future] = reference
                tell = functools.partial(self._tell_end, future)
                reference.future().add_done_callback(tell)

    def _tell_end(self, future: _RayFuture, answer: Future[bytes]) -> None:
        """Note the end of a task; runs in a thread of Ray's, which nothing may keep waiting."""
        self._ended.put((future, answer))

    def _collect(self) -> None:
        """Complete futures until the executor is shut down; runs in a thread of its own."""
        while (entry := self._ended.get()) is not None:
            future, answer = entry
            with self._lock:
                self._sent.pop(future, None)
                self._send_waiting()
            future.complete(answer)


class _RayFuture(Future[Any]):
    """The future of a task that Ray runs; it stays pending until the task has ended."""

    def __init__(self, executor: RayExecutor) -> None:
        super().__init__()
        self._executor = executor
        self._ending = threading.Lock()

    def cancel(self) -> bool:
        """Cancel the task, also if it runs already; see :class:`concurrent.futures.Future`."""
        with self._ending:
            if self.cancelled():
                return True
            if not super().cancel():
                return False
            self.set_running_or_notify_cancel()
        self._executor.cancel(self)
        return True

    def complete(self, answer: Future[bytes]) -> None:
        """Take the answer of Ray's future over, unless the task has been cancelled."""
        with self._ending:
            if self.cancelled():
                return
            self.set_running_or_notify_cancel()
        try:
            self.set_result(_unpack(answer))
        except BaseException as error:
            self.set_exception(error)


class _Pickler(pickle.Pickler):
    """Pickles a call, and collects its attachments."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.attached: list[Attachment] = []

    def persistent_id(self, value: Any) -> int | None:
        """Return the number of an attachment; None for all else, which is pickled."""
        if not isinstance(value, Attachment):
            return None
        self.attached.append(value)
        return len(self.attached) - 1


def _pack(call: object) -> tuple[bytes, list[Attachment]]:
    content = io.BytesIO()
    pickler = _Pickler(content)
    pickler.dump(call)
    return content.getvalue(), pickler.attached


def _unpack(answer: Future[bytes]) -> Any:
    """Return what a task returned.

    Raises:
        Exception: What it raised, or why it did not end.
    """
    try:
        kind, value = pickle.loads(answer.result())
    except exceptions.OutOfMemoryError:
        raise WorkerDiedError(
            reason="its node ran out of memory, and Ray ended its process",
            remedy="with fewer workers (--workers) or with memory reserved for each (--on "
            "ray,memory_gib=N)",
        ) from None
    except exceptions.NodeDiedError:
        raise WorkerDiedError(reason="its node died") from None
    except exceptions.TaskCancelledError:
        raise CancelledError from None
    except (
        exceptions.WorkerCrashedError,
        exceptions.LocalRayletDiedError,
        exceptions.ObjectLostError,
    ):
        raise WorkerDiedError(reason="its process or its node died") from None
    except (exceptions.RayError, ConnectionError) as error:
        raise TrainingError(f"Ray could not run it: {first_line(error)}") from error
    if kind == ray_task.OTHER_NETLET:
        raise refuse_netlet(describe_installation(), [value])
    if kind == ray_task.ERROR:
        raise value
    return value
