"""Shared by the benchmarks: options, measurements in a process of their own, and records."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks import sides

_P = ParamSpec("_P")
_T = TypeVar("_T")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that prints a module's docstring as it stands and has ``--out FILE``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=_record_path, metavar="FILE", help="write the figures as JSON"
    )
    return parser


def _record_path(text: str) -> Path:
    """Return the path of a record, unless the environment would slow some of its sides down."""
    settings = [name for name in os.environ if name.startswith(("OMP_", "MKL_", "GOMP_", "KMP_"))]
    if settings:
        raise argparse.ArgumentTypeError(
            f"a record needs the default threads of all sides; unset {', '.join(settings)}"
        )
    return Path(text)


def measure_in_process(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function in a process of its own and return its result.

    So no measurement profits from the memory settings and warm caches of another. A failure ends
    the benchmark with the process's own message.
    """
    from netlet.experiments.execution import LocalExecutor

    with LocalExecutor(1, threads=sides.cores()) as executor:
        try:
            return executor.submit(function, *args, **kwargs).result()
        except Exception as error:
            sys.exit("".join(traceback.format_exception(error)))


def write_record(path: Path | None, record: Mapping[str, Any]) -> None:
    """Write the figures as JSON, if a path was given."""
    if path is not None:
        path.write_text(json.dumps(record, indent=1) + "\n")
