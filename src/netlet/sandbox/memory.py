"""How much memory is left, on the machine and in its container, and how many sandboxes it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netlet.sandbox.limits import Limits

_MACHINE = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_RESERVE_BYTES = 512 << 20  # that stays free for others


@dataclass(frozen=True)
class Memory:
    """Memory in bytes: how much there is, and how much of it programs can still get."""

    total: int
    available: int

    @property
    def reserve(self) -> int:
        """What stays free for others."""
        return min(_RESERVE_BYTES, self.total // 10)


def find_memory() -> Memory | None:
    """Return the memory of this machine, or of its container if that has less left.

    None: it is not known, since this is not Linux.
    """
    known = [*_read_machine(), *_read_groups()]
    return min(known, key=lambda memory: memory.available - memory.reserve, default=None)


def memory_is_short() -> bool:
    """Return whether so little memory is left that other programs could fail."""
    memory = find_memory()
    return memory is not None and memory.available < memory.reserve


def count_fitting(limits: Limits) -> int | None:
    """Return how many sandboxes can run at once without running out of memory, one at least.

    Args:
        limits: What each of them may use: its memory and its temporary folder.

    Returns:
        The number; None if the memory is not known.
    """
    memory = find_memory()
    if memory is None:
        return None
    return max(1, (memory.available - memory.reserve) // limits.all_memory_bytes)


def _read_machine() -> Iterator[Memory]:
    values = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MACHINE.read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            values[name] = int(rest.split()[0]) << 10
    if "MemAvailable" in values and "MemTotal" in values:
        yield Memory(values["MemTotal"], values["MemAvailable"])


def _read_groups() -> Iterator[Memory]:
    """Yield the limits of the control groups that this process is in, of both versions."""
    with contextlib.suppress(OSError, ValueError):
        for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                names = ("memory.max", "memory.current", "inactive_file")
                yield from _walk_up(_GROUPS, path, *names)
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _walk_up(_GROUPS / "memory", path, *names)


def _walk_up(root: Path, path: str, limit: str, used: str, cached: str) -> Iterator[Memory]:
    """Yield what a group and those around it have; in a container only the root can be read."""
    folder = root / path.lstrip("/")
    for place in (folder, *folder.parents):
        if place.is_relative_to(root):
            with contextlib.suppress(OSError, ValueError):  # also of the word "max": no limit
                total = int((place / limit).read_bytes())
                free = total - int((place / used).read_bytes()) + _read_cached(place, cached)
                yield Memory(total, max(0, free))


def _read_cached(place: Path, name: str) -> int:
    """Return the bytes of files in memory, which the kernel gives up for programs."""
    for line in (place / "memory.stat").read_bytes().splitlines():
        key, _, value = line.partition(b" ")
        if key.decode() == name:
            return int(value)
    return 0
