"""``netlet compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from netlet.cli.locate import Problems, records_folder
from netlet.cli.options import STUDY, Json, study_names
from netlet.cli.results import print_json, print_result
from netlet.records import find_study


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=STUDY, autocompletion=study_names)],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="Another study, scored on the same images.",
            autocompletion=study_names,
        ),
    ],
    json: Json = False,
) -> None:
    """Test whether one study is better than another.

    The difference is tested over seeds and over images. Exit code 1 if a record in their folders is
    damaged; the others are compared.
    """
    from netlet import stats

    problems = Problems()
    studies = [find_study(name, problems) for name in (a, b)]
    comparison = stats.compare(*studies, places=[[records_folder(name)] for name in (a, b)])
    if json:
        print_json("comparison", stats.comparison_to_json(comparison))
    else:
        print_result(stats.comparison_text(comparison), lines=True)
    raise typer.Exit(problems.exit_code)
