"""What untrusted code may use, and how the process that runs it is limited."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass

TRUSTED = "NETLET_TRUSTED"  # variable of a process that runs without a sandbox
_DESCRIPTORS = 256


@dataclass(frozen=True)
class Limits:
    """What one task may use.

    Attributes:
        wall_s: Seconds until it is stopped.
        memory_bytes: Memory of all its processes together, beyond the memory-backed folder.
        processes: Number of processes and threads at once.
        file_bytes: Size of each file that it writes.
        folder_bytes: Size of its temporary folder, which is in memory.
        answer_bytes: Size of what it returns.
    """

    wall_s: float = 60
    memory_bytes: int = 4 << 30
    processes: int = 64
    file_bytes: int = 64 << 20
    folder_bytes: int = 256 << 20
    answer_bytes: int = 64 << 20

    @property
    def memory_problem(self) -> str:
        """What is wrong with code that needs more memory, and the remedy."""
        return (
            "the code needs more memory than the sandbox allows "
            f"({self.memory_bytes / (1 << 30):.3g} GiB); use smaller tensors"
        )

    @property
    def all_memory_bytes(self) -> int:
        """The memory that one task can fill: that of its processes and its temporary folder."""
        return self.memory_bytes + self.folder_bytes


def limit_this_process(limits: Limits) -> None:
    """Limit this process and those that it will start, as far as the system can."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    wanted = [
        (resource.RLIMIT_CPU, int(limits.wall_s) + 1),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    ]
    if TRUSTED not in os.environ and _processes_are_counted_apart():
        wanted.append((resource.RLIMIT_NPROC, limits.processes))
    with contextlib.suppress(OSError):  # not on Linux
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        wanted.append((resource.RLIMIT_AS, used + limits.memory_bytes))
    for kind, limit in wanted:
        _, hard = resource.getrlimit(kind)
        highest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (highest, highest))


def _processes_are_counted_apart() -> bool:
    """Return whether the limit on processes counts those of the sandbox only.

    Before Linux 5.14 it counts all processes of the user, also those outside.
    """
    if platform.system() != "Linux" or not hasattr(os, "getuid"):
        return False
    major, minor = (int(part) for part in platform.release().split(".")[:2])
    return (major, minor) >= (5, 14)
