"""Settings of the whole process that are held at a value while several threads may run nets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

_T = TypeVar("_T")


class HeldSetting(Generic[_T]):
    """A setting that has one value as long as any thread holds it, and then what it was before.

    Args:
        read: Returns the setting.
        write: Sets it.
        value: The value to hold it at.
    """

    def __init__(self, read: Callable[[], _T], write: Callable[[_T], object], value: _T) -> None:
        self._read, self._write, self._value = read, write, value
        self._lock, self._holders, self._usual = threading.Lock(), 0, value

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the setting within the block."""
        with self._lock:
            if not self._holders:
                self._usual = self._read()
                self._write(self._value)
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._write(self._usual)
