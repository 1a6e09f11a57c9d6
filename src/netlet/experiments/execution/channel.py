"""The connection between running tasks and the driver, which waits for their results.

A task may run in another process or on another machine. It connects back to the driver to send
messages and to get the images, and each side proves to the other that it knows a secret key before
anything is read. A task that cannot connect runs on without progress; its result comes back through
its future.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from typing import Protocol

from netlet.data import Dataset
from netlet.experiments.execution.local import LocalExecutor
from netlet.experiments.execution.message import Message
from netlet.experiments.execution.shared_data import from_frames, to_frames
from netlet.files import host_name

_MAX_BYTES = 1 << 30  # of a message
_CONNECT_S = 5.0  # how long a task tries to reach the driver, for each address
_PAUSE_S = 0.05
# What a client asks for, once both sides have proved that they know the key.
_SEND_MESSAGES, _READ_DATA = b"messages", b"data "
_MAX_REQUEST_BYTES = 200
_BROKEN = (OSError, EOFError, ValueError, AuthenticationError)


class Sender(Protocol):
    """The end of a channel that a task has; it can be pickled."""

    def send(self, message: Message) -> bool:
        """Send a message if possible and return whether it was; never raise an error."""


class DataReference(Protocol):
    """Where a worker gets a data set; it can be pickled."""

    def fetch(self) -> Dataset:
        """Return the data set.

        Raises:
            OSError: It cannot be reached.
        """


class Channel(ABC):
    """The end of a channel that the driver has.

    Attributes:
        sender: The other end, to be passed to tasks.
    """

    sender: Sender

    @abstractmethod
    def poll(self, timeout_s: float) -> list[Message]:
        """Return the messages that have arrived; wait for the first one.

        Args:
            timeout_s: How long to wait at most; then the list is empty.
        """

    @abstractmethod
    def share(self, data: Dataset) -> DataReference:
        """Return where workers get a data set, as long as the channel is open."""

    @abstractmethod
    def wake(self) -> None:
        """Let :meth:`poll` return at once; may be called by any thread."""

    @abstractmethod
    def close(self) -> None:
        """Close the channel; what tasks send from now on is lost."""


class QueueChannel(Channel):
    """A channel whose messages wait in a queue of the driver until they are asked for."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def deliver(self, message: Message) -> None:
        """Add a message that has arrived; may be called by any thread."""
        self._messages.put(message)

    def poll(self, timeout_s: float) -> list[Message]:
        """Return the messages that have arrived; see :class:`Channel`."""
        found: list[Message | None] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._messages.get(timeout=timeout_s))
            while True:
                found.append(self._messages.get_nowait())
        return [message for message in found if message is not None]

    def wake(self) -> None:
        """Let :meth:`poll` return at once."""
        self._messages.put(None)


@contextlib.contextmanager
def open_channel(executor: Executor) -> Iterator[Channel]:
    """Yield a channel for the tasks of an executor.

    Args:
        executor: Any executor. One with a method ``open_channel`` provides the channel itself.
    """
    own = getattr(executor, "open_channel", None)
    channel: Channel = own() if own else SocketChannel(local=isinstance(executor, LocalExecutor))
    try:
        yield channel
    finally:
        channel.close()


class SocketChannel(QueueChannel):
    """A channel over TCP, to which tasks connect back.

    Args:
        local: Whether all tasks run on this machine; then no other machine can connect.
    """

    sender: SocketSender

    def __init__(self, *, local: bool) -> None:
        super().__init__()
        key = secrets.token_bytes(32)
        self._listener = Listener(("127.0.0.1" if local else "0.0.0.0", 0), backlog=128)
        port = int(self._listener.address[1])
        others = () if local else (_outward_address(), socket.gethostname())
        self.sender = SocketSender(host_name(), others, port, key)
        self._shared: dict[bytes, Dataset] = {}
        self._connections: set[Connection] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, args=(key,), daemon=True)
        self._thread.start()

    def share(self, data: Dataset) -> DataReference:
        """Return where workers get a data set: from this process."""
        request = _READ_DATA + data.digest.encode()
        self._shared[request] = data
        return SocketData(self.sender, request)

    def close(self) -> None:
        """Close the channel and its connections."""
        self._closed = True
        for connection in list(self._connections):
            _hang_up(connection)
        with _lock:  # tasks may have run in this process
            own = _connections.pop(self.sender.key, None)
        if own is not None:
            own.close()
        # Closing a socket does not wake a thread that waits for a connection; connecting does.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.sender.port), timeout=1).close()
        self._thread.join(5)
        self._listener.close()

    def _accept(self, key: bytes) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except OSError:  # this client has gone already, or too many files are open
                time.sleep(_PAUSE_S)
                continue
            # One thread for each, so that a client that says nothing keeps no other one waiting.
            threading.Thread(target=self._serve, args=(connection, key), daemon=True).start()

    def _serve(self, connection: Connection, key: bytes) -> None:
        self._connections.add(connection)
        with contextlib.suppress(*_BROKEN), connection:
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            request = connection.recv_bytes(_MAX_REQUEST_BYTES)
            if request in self._shared:
                for frame in to_frames(self._shared[request]):
                    connection.send_bytes(frame)
            while request == _SEND_MESSAGES and not self._closed:
                self.deliver(Message.from_bytes(connection.recv_bytes(_MAX_BYTES)))
        self._connections.discard(connection)


@dataclass(frozen=True)
class SocketSender:
    """The end of a :class:`SocketChannel` that tasks have."""

    host: str  # where the driver runs
    addresses: tuple[str, ...]  # of the driver, for tasks on other machines
    port: int
    key: bytes = field(repr=False)

    def send(self, message: Message) -> bool:
        """Send a message; the first one of each process connects."""
        with _lock:
            if self.key not in _connections:
                _connections[self.key] = self.connect(_SEND_MESSAGES)
            connection = _connections[self.key]
            if connection is None:
                return False
            try:
                connection.send_bytes(message.to_bytes())
            except _BROKEN:
                _connections[self.key] = None
                return False
            return True

    def connect(self, request: bytes) -> Connection | None:
        """Return a connection to the driver; None if it cannot be reached.

        Args:
            request: What the connection is for.
        """
        addresses = ("127.0.0.1",) if self.host == host_name() else self.addresses
        for address in addresses:
            with contextlib.suppress(*_BROKEN):
                # An address that does not answer costs minutes without a timeout.
                opened = socket.create_connection((address, self.port), timeout=_CONNECT_S)
                opened.settimeout(None)
                connection = Connection(opened.detach())
                if connection.poll(_CONNECT_S):
                    answer_challenge(connection, self.key)
                    deliver_challenge(connection, self.key)
                    connection.send_bytes(request)
                    return connection
        return None


@dataclass(frozen=True)
class SocketData:
    """A data set that the driver sends."""

    sender: SocketSender
    request: bytes

    def fetch(self) -> Dataset:
        """Return the data set; see :class:`DataReference`."""
        connection = self.sender.connect(self.request)
        if connection is None:
            raise ConnectionError("the driver cannot be reached")
        with connection:
            try:
                return from_frames(lambda: connection.recv_bytes(_MAX_BYTES))
            except (EOFError, ValueError) as error:
                raise ConnectionError("the driver has sent no data set") from error


# Of this process, by the key of the channel; None if the driver cannot be reached any more.
_connections: dict[bytes, Connection | None] = {}
_lock = threading.Lock()


def _hang_up(connection: Connection) -> None:
    """End a connection from which another thread reads, which closing it would not."""
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(connection.fileno())) as end,
    ):
        end.shutdown(socket.SHUT_RDWR)


def _outward_address() -> str:
    """Return the address by which other machines reach this one; no packet is sent."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.connect(("192.0.2.1", 9))  # reserved for documentation
        return str(probe.getsockname()[0])
    return "127.0.0.1"
