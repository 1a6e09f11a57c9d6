"""How many processors there are for this process, and how many other programs keep busy."""

from __future__ import annotations

import os
import time
from pathlib import Path

_COUNTERS = Path("/proc/stat")
_IDLE = (3, 4)  # idle, and waiting for a disk


def cpu_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
