"""How many processors there are for this process, and how many other programs keep busy."""

from __future__ import annotations

import os
import time
from pathlib import Path

_COUNTERS = Path("/proc/stat")
_IDLE = (3, 4)  # idle, and waiting for a disk
_MOST_PATIENCE = 10.0


def cpu_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def patience() -> float:
    """Return by what to multiply a time limit that is meant for a quiet machine: 1 to 10.

    A process that shares its core with others needs as many times as long. To give up on it would
    let the load of a machine decide what is trained, and how.
    """
    try:
        waiting = os.getloadavg()[0] / cpu_cores()
    except (AttributeError, OSError):  # not on every system
        return 1.0
    return min(max(waiting, 1.0), _MOST_PATIENCE)


class Deadline:
    """A time limit that is longer on a busy machine.

    Args:
        limit_s: The limit on a quiet machine, in seconds.

    Attributes:
        limit_s: The limit on this machine, as far as its load has been asked for, in seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._start, self._quiet_limit_s, self.limit_s = time.monotonic(), limit_s, limit_s

    def left_s(self) -> float:
        """Return the seconds that are left, 0 or less if none are."""
        passed = time.monotonic() - self._start
        if passed >= self.limit_s:  # the load of the last minute, so as late as possible
            self.limit_s = max(self.limit_s, self._quiet_limit_s * patience())
        return self.limit_s - passed


class ProcessorLoad:
    """The load of the machine's processors from its creation on. Known on Linux only."""

    def __init__(self) -> None:
        self._start, self._before = time.monotonic(), _read_seconds()

    def of_others(self) -> float:
        """Return how many processors other programs have kept busy on average; 0 if unknown."""
        elapsed, now = time.monotonic() - self._start, _read_seconds()
        if self._before is None or now is None or not elapsed:
            return 0.0
        return max(0.0, (now - self._before) / elapsed)


def _read_seconds() -> float | None:
    """Return the processor time of all other programs since the machine started."""
    try:
        counters = _COUNTERS.read_text().partition("\n")[0].split()[1:9]
        busy = sum(int(n) for i, n in enumerate(counters) if i not in _IDLE)
        return busy / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])
    except (OSError, ValueError):
        return None
