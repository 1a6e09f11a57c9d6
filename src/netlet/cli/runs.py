"""``netlet runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet import records
from netlet.cli.options import Json
from netlet.cli.results import result, result_json, say
from netlet.errors import RecordError
from netlet.tables import table


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to look, folders in it included.")] = Path(
        "runs"
    ),
    json: Json = False,
) -> None:
    """List the recorded runs below a folder."""
    found, broken = [], 0
    for path in records.find(folder):
        try:
            found.append((path.parent, records.load(path)))
        except RecordError as error:
            # One bad record must not hide the others.
            say(f"netlet: {error}")
            broken += 1
    if json:
        result_json([{"path": str(path), **run.to_dict()} for path, run in found])
    elif found:
        rows = [
            [
                run.name, run.data["name"], str(run.seed), f"{run.facts['parameters']:,}", str(len(run.epochs)),
                run.last_epoch.split, f"{run.last_epoch.score.percent:.2f}", f"{run.best_epoch.score.percent:.2f}",
                f"{run.times['train_s']:.1f}", run.verdict.state if run.verdict else "-",
                run.verdict.budget if run.verdict else "-", str(path),
            ]
            for path, run in found
        ]  # fmt: skip
        head = (
            "name", "data", "seed", "parameters", "epochs", "split", "last %", "best %", "train s", "verdict", "budget",
            "path",
        )  # fmt: skip
        result(table(head, rows, "llrrrlrrrlll"))
    else:
        result(f"no runs in {folder}")
    raise typer.Exit(1 if broken else 0)
