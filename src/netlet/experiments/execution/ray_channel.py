"""The connection between tasks on a Ray cluster and the driver, through the cluster itself."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.queue import Empty, Queue

from netlet.data import Dataset
from netlet.experiments.execution.channel import QueueChannel
from netlet.experiments.execution.message import Message
from netlet.experiments.execution.shared_data import from_frames, to_frames

# A queue on another node would end with that node. Every head node has this resource.
_ON_HEAD = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}
_SEND_S = 30.0  # how long a task tries to send a message
_POLL_S = 0.5
_BROKEN = (RayError, ConnectionError, OSError, ValueError)


@dataclass(frozen=True)
class Attachment:
    """A value in the arguments of a task that Ray itself passes on; the task gets the value."""

    value: Any = field(repr=False)


class RayChannel(QueueChannel):
    """A channel through a queue of Ray's on the head node of the cluster.

    Tasks and driver need no connection to each other, and messages that a node has sent outlive it.
    """

    sender: RaySender

    def __init__(self) -> None:
        super().__init__()
        self._queue = Queue(actor_options=_ON_HEAD)
        self.sender = RaySender(Attachment(self._queue))
        self._closed = False
        self._thread = threading.Thread(target=self._read, name="netlet-messages", daemon=True)
        self._thread.start()

    def share(self, data: Dataset) -> RayData:
        """Put a data set into Ray's object store, from which each node gets it once."""
        # As bytes, since the head node, which may pass it on, needs neither netlet nor PyTorch.
        frames = [bytes(frame) for frame in to_frames(data)]
        return RayData(Attachment(ray.put(frames)))

    def close(self) -> None:
        """Close the channel; what tasks send from now on is lost."""
        self._closed = True
        self._thread.join()
        with contextlib.suppress(*_BROKEN):
            self._queue.shutdown(force=True)

    def _read(self) -> None:
        """Take messages from the queue until the channel is closed."""
        with contextlib.suppress(*_BROKEN):  # the cluster is gone, as the tasks' futures tell, too
            while not self._closed:
                with contextlib.suppress(Empty):
                    arrived = [self._queue.get(timeout=_POLL_S)]
                    arrived += self._queue.get_nowait_batch(self._queue.qsize())
                    for data in arrived:
                        self.deliver(Message.from_bytes(data))


@dataclass(frozen=True)
class RaySender:
    """The end of a :class:`RayChannel` that tasks have."""

    queue: Any  # an attachment in the driver, the queue in a task

    def send(self, message: Message) -> bool:
        """Send a message if possible, and return once it has left this node."""
        try:
            _wait_for(self.queue.actor.put.remote(message.to_bytes()), _SEND_S)
        except _BROKEN:
            return False
        return True


@dataclass(frozen=True)
class RayData:
    """A data set in the object store."""

    reference: Any  # an attachment in the driver, the reference to the object in a task

    def fetch(self) -> Dataset:
        """Return the data set; see :class:`~netlet.experiments.execution.DataReference`."""
        try:
            frames = iter(_wait_for(self.reference))
            return from_frames(lambda: next(frames))
        except (RayError, ValueError) as error:
            raise ConnectionError("Ray has lost the data set") from error


def _wait_for(reference: Any, timeout: float | None = None) -> Any:
    """Return the value of a reference, in a task that keeps its processors meanwhile.

    With ``ray.get`` the node would lend the processors of the waiting task to another one, and
    both would run.
    """
    return reference.future().result(timeout)
