"""What passes between a sandbox and the process outside: plain values and bytes.

The code inside sends messages to its stdout: the size of the values, that of the bytes, and both.
What it gets for each part of its answer comes from its stdin: a size, and bytes.
"""

from __future__ import annotations

import json
import os
from typing import Any

SIZE_BYTES = 8
HEAD_BYTES = 2 * SIZE_BYTES
PART = {"part": True}  # the values of a message that is not the last one
_CHUNK = 1 << 20


def encode_size(size: int) -> bytes:
    """Return a size as it is sent."""
    return size.to_bytes(SIZE_BYTES, "big")


def decode_size(content: bytes | bytearray) -> int:
    """Return a size that was sent."""
    return int.from_bytes(content, "big")


class Exchange:
    """Answers in parts, from inside: each part is sent before the next content comes.

    What has been sent cannot be changed by what is read afterwards.

    Args:
        reader: The descriptor from which contents come.
        writer: The descriptor to which parts go.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer

    def __call__(self, part: bytes) -> bytes:
        """Send a part of the answer, and return the content that comes for it.

        Raises:
            EOFError: There is none.
        """
        self.send(PART, part)
        return self._read(decode_size(self._read(SIZE_BYTES)))

    def send(self, values: dict[str, Any], payload: bytes) -> None:
        """Send a message.

        Raises:
            OSError: Nobody reads it.
        """
        content = json.dumps(values).encode()
        for part in (encode_size(len(content)), encode_size(len(payload)), content, payload):
            left = memoryview(part)
            while left:
                left = left[os.write(self._writer, left) :]

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            part = os.read(self._reader, min(_CHUNK, size - len(content)))
            if not part:
                raise EOFError("nothing more comes")
            content += part
        return bytes(content)
