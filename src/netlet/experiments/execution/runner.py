"""Submit tasks to an executor, hear from them, and start those again whose worker has died."""

from __future__ import annotations

import dataclasses
import queue
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from netlet.experiments.execution.channel import Channel, Sender
from netlet.experiments.execution.local import WorkerDiedError
from netlet.experiments.execution.message import Message
from netlet.experiments.execution.task import CHECKPOINT

RESTARTED = "restarted"  # the kind of a message of the runner itself
CHECKPOINT_S = 5.0  # between two checkpoints of a task, at least
CHECKPOINTS_PER_S = 20.0  # of all tasks, at most: the driver writes one in about 20 ms
PROGRESS_PER_S = 50.0  # messages of all tasks, at most: each takes the driver about 5 ms
_MANY_WORKERS = 100  # up to this number, all messages of progress are sent
_MAX_RESTARTS = 2  # of a task
_QUIET_S = 0.2  # without messages, after which no more of a dead worker's are expected
_LATE_S = 5.0  # how long to wait for messages that a task has sent before its end
_DIED = (WorkerDiedError, BrokenExecutor)


class Task(Protocol):
    """What a worker is asked to do: a frozen dataclass with at least these fields."""

    @property
    def number(self) -> int:
        """Names the task in its messages."""

    @property
    def checkpoint(self) -> bytes | None:
        """The content of the checkpoint to resume from."""

    @property
    def checkpoint_s(self) -> float:
        """Seconds between two checkpoints that it sends, at least."""

    @property
    def progress_s(self) -> float:
        """Seconds between two messages of progress, at least."""

    @property
    def sender(self) -> Sender | None:
        """Where messages go."""


class Result(Protocol):
    """What a worker returns."""

    @property
    def sent(self) -> int:
        """The number of messages that were sent."""


_T = TypeVar("_T", bound=Task)
_R = TypeVar("_R", bound=Result)


@dataclass(frozen=True)
class TaskEnd(Generic[_T, _R]):
    """The end of a task: a result or an error."""

    task: _T
    result: _R | None
    error: Exception | None = None


def find_remedy(error: BaseException) -> str:
    """Return how to run the command so that no worker dies for this reason; empty if unknown."""
    return error.remedy if isinstance(error, WorkerDiedError) else ""


def checkpoint_interval(workers: int) -> float:
    """Return the number of seconds that lie between two checkpoints of a task, at least.

    Args:
        workers: The number of tasks that run at the same time.
    """
    return max(CHECKPOINT_S, workers / CHECKPOINTS_PER_S)


def progress_interval(workers: int) -> float:
    """Return the number of seconds that lie between two messages of progress, at least.

    Args:
        workers: The number of tasks that run at the same time.
    """
    return workers / PROGRESS_PER_S if workers > _MANY_WORKERS else 0.0


class TaskRunner(Generic[_T, _R]):
    """Runs tasks in an executor.

    As a context manager, it cancels at the end what has not begun.

    Args:
        executor: Any executor.
        channel: The way back from its tasks (:func:`~netlet.experiments.execution.open_channel`).
        function: Does a task; it is called in a worker.
    """

    def __init__(self, executor: Executor, channel: Channel, function: Callable[[_T], _R]) -> None:
        self._executor, self._channel, self._function = executor, channel, function
        workers = getattr(executor, "capacity", None) or 1
        self._checkpoint_s = checkpoint_interval(workers)
        self._progress_s = progress_interval(workers)
        self._tasks: dict[int, _T] = {}
        self._futures: dict[int, Future[_R]] = {}
        self._restarts: dict[int, int] = {}
        self._received: Counter[int] = Counter()  # messages of the present worker of each task
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Return the runner."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel what has not begun."""
        for number in list(self._tasks):
            self.abandon(number)

    @property
    def unfinished(self) -> int:
        """The number of tasks that have not ended."""
        return len(self._tasks)

    def submit(self, task: _T) -> None:
        """Run a task; where and how often it sends messages is set here.

        Args:
            task: The task, with a number that no other one has.
        """
        number = task.number
        self._received[number] = 0
        task = dataclasses.replace(  # type: ignore[type-var]
            task,
            sender=self._channel.sender,
            checkpoint_s=self._checkpoint_s,
            progress_s=self._progress_s,
        )
        self._tasks[number] = task
        future = self._executor.submit(self._function, task)
        self._futures[number] = future
        future.add_done_callback(lambda _: self._note_done(number))

    def abandon(self, number: int) -> None:
        """Take no more notice of a task, and cancel it if it has not begun."""
        self._tasks.pop(number, None)
        self._restarts.pop(number, None)
        self._received.pop(number, None)
        if future := self._futures.pop(number, None):
            future.cancel()

    def wait(self, timeout_s: float = 1.0) -> list[Message | TaskEnd[_T, _R]]:
        """Return what has happened, in order; wait for something.

        A task whose worker has died is started again, at most twice, from the last checkpoint that
        it has sent; a message of the kind ``restarted`` says why (``error``), and how to avoid it
        (``remedy``).

        Args:
            timeout_s: How long to wait at most; then the list is empty.
        """
        found: list[Message | TaskEnd[_T, _R]] = [*self._receive(timeout_s)]
        while True:
            try:
                number = self._done.get_nowait()
            except queue.Empty:
                return found
            if number in self._tasks:
                found += self._end(number)

    def _note_done(self, number: int) -> None:
        self._done.put(number)
        self._channel.wake()

    def _receive(self, timeout_s: float) -> list[Message]:
        """Return messages of tasks that count, and keep their checkpoints."""
        found = [
            message for message in self._channel.poll(timeout_s) if message.task in self._tasks
        ]
        for message in found:
            self._received[message.task] += 1
            if CHECKPOINT in message.content:
                task = self._tasks[message.task]
                checkpoint = message.content[CHECKPOINT]
                task = dataclasses.replace(task, checkpoint=checkpoint)  # type: ignore[type-var]
                self._tasks[message.task] = task
        return found

    def _receive_last(
        self, number: int, future: Future[_R], error: BaseException | None
    ) -> list[Message]:
        """Return what a task sent before it ended, which may still be on its way."""
        found = self._receive(0)
        if error is not None:
            return found + self._receive_until_quiet(number)
        deadline = time.monotonic() + _LATE_S
        while self._received[number] < future.result().sent and time.monotonic() < deadline:
            found += self._receive(_QUIET_S)
        return found

    def _receive_until_quiet(self, number: int) -> list[Message]:
        """Return messages until none of this task has come for a while, whatever others send."""
        found: list[Message] = []
        start = now = time.monotonic()
        end = start + _QUIET_S
        while now < end:
            late = self._receive(end - now)
            found += late
            now = time.monotonic()
            if any(message.task == number for message in late):
                end = min(now + _QUIET_S, start + _LATE_S)
        return found

    def _end(self, number: int) -> list[Message | TaskEnd[_T, _R]]:
        """Return the end of a task, or start it again."""
        future = self._futures.pop(number)
        error: BaseException | None
        try:
            error = future.exception()
        except CancelledError as cancelled:
            error = cancelled
        found: list[Message | TaskEnd[_T, _R]] = [*self._receive_last(number, future, error)]
        if isinstance(error, _DIED):
            restarts = self._restarts.get(number, 0)
            if restarts < _MAX_RESTARTS:
                self._restarts[number] = restarts + 1
                try:
                    self.submit(self._tasks[number])
                except RuntimeError:  # a broken executor takes no more tasks
                    pass
                else:
                    values = {"error": str(error), "remedy": find_remedy(error)}
                    return [*found, Message(number, RESTARTED, values)]
        task = self._tasks[number]
        self.abandon(number)
        if error is None:
            return [*found, TaskEnd(task, future.result())]
        if not isinstance(error, Exception):
            raise error
        return [*found, TaskEnd(task, None, error)]
