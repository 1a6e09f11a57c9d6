"""The options of ``netlet grade``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.budgets.class_file import CLAIMED_RECIPE
from netlet.cli.options import MAX_SEED, MAX_SEEDS, budget_names, recipe_names, workers_option

Submissions = Annotated[
    list[Path],
    typer.Argument(
        metavar="SUBMISSIONS",
        help="Folder with a .py file, notebook, folder or .zip per student, or the submissions "
        "themselves.",
    ),
]
BudgetName = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="NAME|FILE",
        help="Budget that judges every submission: a name ('netlet list --budgets') or a TOML "
        "file.",
        autocompletion=budget_names,
    ),
]
Roster = Annotated[
    Path | None,
    typer.Option(
        "--roster",
        metavar="FILE",
        help="CSV file with the columns submission and student, and optionally the claims "
        "accuracy, parameters and epochs.",
    ),
]
NetPattern = Annotated[
    str | None,
    typer.Option(
        "--net",
        metavar="PATTERN",
        help="Where the net is, like model.py:Net; searched for if not given.",
    ),
]
WeightsPattern = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="PATTERN",
        help="Which file holds the weights, like *.pt; the only such file if not given.",
    ),
]
Retrain = Annotated[
    str | None,
    typer.Option(
        "--retrain",
        metavar="RECIPE",
        help="Retrain every net with this recipe ('netlet list --recipes') instead of scoring "
        "the submitted weights; 'claim' takes the recipe from the submission's claim.toml, "
        "run.json or netlet.toml.",
        autocompletion=lambda: [CLAIMED_RECIPE, *recipe_names()],
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        min=1,
        max=MAX_SEEDS,
        help="Number of seeds to retrain with; 1 if not given. The run of median accuracy counts; "
        "for an even number, the lower of the two in the middle.",
    ),
]
FirstSeed = Annotated[
    int | None,
    typer.Option(
        "--first-seed",
        metavar="S",
        min=0,
        max=MAX_SEED - MAX_SEEDS,
        help="Retrain with seeds S, S+1, S+2, ...; S is 0 if not given.",
    ),
]
Points = Annotated[
    int | None,
    typer.Option(
        "--points",
        metavar="N",
        min=1,
        max=1_000_000,
        help="Points for meeting all limits and rules; 100 if not given. Each is worth the "
        "same, unless [grade.points] of the budget's file says otherwise.",
    ),
]
TimeLimit = Annotated[
    int | None,
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        min=5,
        max=86_400,
        help="Time for each submission and seed; 120 if not given, 1800 to retrain.",
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="DIR", help="Folder for the grades and the reports."),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="WHERE",
        help="Where to run the submissions: local (this machine; the default), or ray or "
        "ray://HOST:PORT for a Ray cluster whose nodes also have a sandbox (docs/grading.md).",
    ),
]
Single = Annotated[
    bool,
    typer.Option(
        "--single",
        help="SUBMISSIONS is one submission; DIR/results.json is what Gradescope reads. If DIR "
        "has the grades of a class, the submission is graded as one of that class.",
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Also regrade unchanged submissions.")]
SkipSlow = Annotated[
    bool,
    typer.Option(
        "--skip-slow",
        help="Skip submissions that already exceeded this --time-limit or a longer one, if they, "
        "the budget and the options are unchanged.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run the submissions without a sandbox; their code can then read and delete your "
        "files.",
    ),
]
Workers = Annotated[
    int | None,
    workers_option(
        "Number of submissions to grade at the same time, each with 4.25 GiB of free memory; "
        "if not given, one per CPU core as far as memory allows, or with --on ray up to 16."
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="NAME",
        help="Leave out the earlier grade of a submission that no longer counts; may be given "
        "several times. Its report stays.",
    ),
]
