"""What a running task tells the process that waits for it, as bytes of JSON and raw bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_LENGTH_BYTES = 8  # of the header, at the beginning


@dataclass(frozen=True)
class Message:
    """One report of a running task.

    Attributes:
        task: The number of the task.
        kind: What happened, such as ``epoch``.
        values: Values that JSON can store.
        content: Raw bytes by name, such as a checkpoint.
    """

    task: int
    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the message as :meth:`from_bytes` reads it."""
        sizes = {name: len(part) for name, part in self.content.items()}
        header = json.dumps([self.task, self.kind, dict(self.values), sizes]).encode()
        return b"".join([len(header).to_bytes(_LENGTH_BYTES), header, *self.content.values()])

    @staticmethod
    def from_bytes(data: bytes) -> Message:
        """Return the message that bytes stand for; nothing in them is run.

        Raises:
            ValueError: They stand for none.
        """
        start = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES])
        content: dict[str, bytes] = {}
        try:
            task, kind, values, sizes = json.loads(data[_LENGTH_BYTES:start])
            if not (isinstance(task, int) and isinstance(kind, str) and isinstance(values, dict)):
                raise TypeError
            for name, size in sizes.items():
                content[name] = data[start : start + size]
                start += size
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError("these bytes are not a message of a task") from error
        if start != len(data):
            raise ValueError(f"the message has {len(data)} bytes, expected {start}")
        return Message(task, kind, values, content)
