"""Counts of the fault-injection tests, for the record from which docs/trust.md is drawn."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

import netlet

ROOT = Path(__file__).parent.parent
SCHEMA = 1
GROUPS = ("kills", "readers", "records", "compiled", "resources", "loops")


@dataclass(frozen=True)
class FaultCount:
    """What happened to one kind of fault.

    Attributes:
        group: One of ``GROUPS``.
        what: What was tried, in a few words.
        tried: How many times.
        refused: Ended in one line that says what is wrong.
        harmless: Changed nothing, or were accepted for a good reason.
        bit_equal: Gave the result of an uninterrupted run afterwards, bit for bit.
        caught: Were noticed by a check inside netlet, which went on without the faulty part.
        failed: Were none of these.
        seed: Of the random choices; None: everything was tried.
    """

    group: str
    what: str
    tried: int
    refused: int = 0
    harmless: int = 0
    bit_equal: int = 0
    caught: int = 0
    failed: int = 0
    seed: int | None = None


@dataclass
class FaultCounts:
    """The counts of one run of the suite."""

    rows: list[FaultCount] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, group: str, what: str, tried: int, **counts: int | None) -> None:
        """Add a row; the results have to add up to what was tried."""
        row = FaultCount(group, what, tried, **counts)  # type: ignore[arg-type]
        if group not in GROUPS:
            raise ValueError(f"no group {group!r}; there are {', '.join(GROUPS)}")
        results = row.refused + row.harmless + row.bit_equal + row.caught + row.failed
        if results != tried:
            raise ValueError(f"{what}: {tried} tried, but {results} results")
        self.rows.append(row)

    def write(self, path: Path) -> None:
        """Write the record."""
        rows = sorted(self.rows, key=lambda row: (GROUPS.index(row.group), row.what))
        content = {
            "schema": SCHEMA,
            "netlet": netlet.__version__,
            "commit": _commit(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "seconds": round(time.monotonic() - self.began),
            "environment": {
                "system": platform.system(),
                "machine": platform.machine(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
            "counts": [asdict(row) for row in rows],
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
