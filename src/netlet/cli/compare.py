"""``netlet compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.found import found_study
from netlet.cli.options import Json
from netlet.cli.results import result, result_json


def compare(
    a: Annotated[
        Path,
        typer.Argument(metavar="A", help="A study, a run, or a folder of runs of one experiment."),
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another, scored on the same images.")],
    json: Json = False,
) -> None:
    """Say whether B is better than A, or whether other seeds or other images could turn it round."""
    from netlet import stats

    found = stats.compare(found_study(a), found_study(b))
    if json:
        result_json(stats.comparison_dict(found))
    else:
        result(stats.comparison_text(found))
