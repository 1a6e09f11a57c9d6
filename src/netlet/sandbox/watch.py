"""Count what the processes of a sandbox use, from outside."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from pathlib import Path


def list_descendants(process: int) -> list[int]:
    """Return the numbers of all processes below one, itself included; Linux only."""
    children: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path(f"/proc/{name}/stat").read_bytes()
                # The name of the program is in parentheses and may contain anything.
                children[int(stat.rpartition(b")")[2].split()[1])].append(int(name))
    found, waiting = [], [process]
    while waiting:
        found.append(waiting.pop())
        waiting += children[found[-1]]
    return found


def count_memory(processes: list[int]) -> int:
    """Return the bytes of memory that processes hold of their own."""
    total = 0
    for number in processes:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{number}/status").read_bytes().splitlines():
                if line.startswith((b"RssAnon:", b"RssShmem:")):
                    total += int(line.split()[1]) << 10
    return total


def kill_all(processes: list[int]) -> None:
    """Kill processes, the outermost first."""
    for number in processes:
        with contextlib.suppress(OSError):
            os.kill(number, signal.SIGKILL)


def offer_to_kill_first(process: int) -> None:
    """Let the system end this process and its children first if memory runs out."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/oom_score_adj").write_text("1000", encoding="ascii")
