"""An executor that counts the bytes that go to its tasks and come back from them."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from netlet.experiments.execution import Message, SocketChannel
from netlet.experiments.execution.channel import QueueChannel

_P = ParamSpec("_P")
_T = TypeVar("_T")


class CountingExecutor(Executor):
    """Passes tasks on to another executor.

    Args:
        executor: The executor that runs them; it is not ended with this one.

    Attributes:
        moved_bytes: The size of the tasks, their messages and their results so far. The images are
            not counted, since the executor decides how often they are sent.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.moved_bytes = 0

    @property
    def capacity(self) -> int | None:
        """The number of tasks that the executor has room for, if it says so."""
        return getattr(self._executor, "capacity", None)

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a function in the executor, and count its argument and its result."""
        for task in args:
            # Where messages go and where the images are has no size that counts.
            own = dataclasses.replace(task, data=None, sender=None)  # type: ignore[type-var]
            self.moved_bytes += len(pickle.dumps(own))
        future = self._executor.submit(fn, *args, **kwargs)
        future.add_done_callback(self._count_result)
        return future

    def open_channel(self) -> QueueChannel:
        """Return the executor's own channel, whose messages are counted."""
        own = getattr(self._executor, "open_channel", None)
        channel: QueueChannel = own() if own else SocketChannel(local=True)
        deliver = channel.deliver

        def count(message: Message) -> None:
            self.moved_bytes += len(message.to_bytes())
            deliver(message)

        channel.deliver = count  # type: ignore[method-assign]
        return channel

    def _count_result(self, future: Future[_T]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.moved_bytes += len(pickle.dumps(future.result()))
