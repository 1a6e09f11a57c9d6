"""Shared by the benchmarks: options, measurements in a process of their own, and records."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that prints a module's docstring as it stands and has ``--out FILE``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    return parser


def measure_in_process(module: str, *words: object) -> Any:
    """Run ``python -m MODULE WORDS...`` and return the JSON value in the last line of its output.

    With a process of its own, no measurement profits from the memory settings and warm caches of
    another. A failure ends the benchmark with the process's own message.
    """
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr or f"{' '.join(command)} failed")
    return json.loads(done.stdout.splitlines()[-1])


def write_record(path: Path | None, record: Mapping[str, Any]) -> None:
    """Write the figures as JSON, if a path was given."""
    if path is not None:
        path.write_text(json.dumps(record, indent=1) + "\n")
