"""``netlet runs``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from netlet.cli.options import Json, check_finite
from netlet.cli.repository import find_runs_folders, find_studies_folders, runs_folder
from netlet.cli.results import print_json, print_json_line, print_result, say
from netlet.cli.run_rows import (
    Filters,
    Row,
    comparison_cells,
    comparison_rows,
    find_resume_command,
    row_cells,
    unfinished_rows,
)
from netlet.errors import RecordError, did_you_mean
from netlet.text import count_noun, format_table, round_percentages

_SORTS = {
    "path": "path",
    "name": "name",
    "seed": "seed",
    "parameters": "parameters",
    "epochs": "epochs",
    "last": "last_percent",
    "best": "best_percent",
    "train_s": "train_s",
}
_HIGHEST_FIRST = ("last", "best")


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Folder to search, with everything below it; if not given, runs/ of the working "
            "directory and beside netlet.toml.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="GLOB", help="Show only experiments of this name: 'code_*'."
        ),
    ] = None,
    net: Annotated[
        str | None, typer.Option("--net", metavar="GLOB", help="Show only these nets: 'code_*'.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", metavar="GLOB", help="Show only runs on these data sets: '*mnist'."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="GLOB", help="Show only runs judged by these budgets: 'document_*'."
        ),
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(
            "--verdict",
            metavar="GLOB",
            help="Show only runs with this verdict: PASS, FAIL, UNKNOWN, 'NOT YET' or "
            "'NOT JUDGED'; 'NOT*' for the last two.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME", help="Show only runs scored on this split: test or val."
        ),
    ] = None,
    params_below: Annotated[
        int | None,
        typer.Option(
            "--params-below",
            metavar="N",
            min=1,
            help="Show only nets with fewer than N parameters.",
        ),
    ] = None,
    accuracy_at_least: Annotated[
        float | None,
        typer.Option(
            "--accuracy-at-least",
            metavar="PERCENT",
            callback=check_finite,
            help="Show only runs that reach this accuracy in percent after the last epoch.",
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help=f"Column to sort by: {', '.join(_SORTS)}. last and best are the accuracies after "
            "the last and the best epoch, highest first; train_s is in seconds.",
            autocompletion=lambda: list(_SORTS),
        ),
    ] = "path",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Show a row per experiment, best first, compared with the best; those of a single "
            "seed come last.",
        ),
    ] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON document per row, each on its own line.")
    ] = False,
    json: Json = False,
) -> None:
    """List, filter and compare recorded runs and studies.

    Prints a row per seed. Exit code 1 if a record there is damaged, or DIR is too large to be
    searched. Interrupted runs are listed, too: 'netlet train --resume DIR' finishes one.
    """
    if sort not in _SORTS:
        hint = did_you_mean(sort, _SORTS)
        columns = ", ".join(_SORTS)
        raise RecordError(f"--sort {sort!r} is not a column; {hint}choose one of {columns}")
    if json and jsonl:
        raise RecordError("--json and --jsonl cannot be combined; pass only one")
    if compare and (verdict is not None or accuracy_at_least is not None):
        raise RecordError(
            "--compare cannot be combined with --verdict or --accuracy-at-least, which select "
            "seeds by their results; leave out these filters, or --compare"
        )
    globs = {
        "name": name,
        "net": net,
        "data": dataset,
        "budget": budget,
        "verdict": verdict and verdict.upper(),
        "split": split,
    }
    filters = Filters(globs, params_below, accuracy_at_least)

    folders = _choose_folders(folder)

    from netlet import stats

    collected = [stats.collect_seed_records(one) for one in folders]
    found = [seed for some, _ in collected for seed in some]
    problems = [problem for _, some in collected for problem in some]
    seeds = [seed for seed in found if filters.match(seed.to_dict())]
    if compare:
        rows, more = comparison_rows(seeds)
        problems += more
    else:
        unfinished: list[Row] = []
        for one in folders:
            some, more = unfinished_rows(one)
            unfinished += some
            problems += more
        rows = [seed.to_dict() | {"state": "finished"} for seed in seeds]
        rows += [row for row in unfinished if filters.match(row)]
        _sort(rows, _SORTS[sort], reverse=sort in _HIGHEST_FIRST)
    for problem in problems:
        say(f"netlet: {problem}")
    _print(rows, compare=compare, jsonl=jsonl, json=json, nothing=_nothing(folders, len(found)))
    raise typer.Exit(1 if problems else 0)


def _choose_folders(folder: Path | None) -> list[Path]:
    """Return the folders to search: the one that is named, or those where runs usually are.

    Raises:
        RecordError: There are none.
    """
    usual = runs_folder()
    if folder and (folder != usual or folder.exists()):
        return [folder]
    if not folder and (found := find_runs_folders()):
        return found
    remedy = "run 'netlet train' first, or name another"
    if studies := find_studies_folders():
        remedy = f"'netlet runs {studies[0]}' lists those of your studies"
    raise RecordError(f"{usual}: no such folder, so there are no runs of 'netlet train'; {remedy}")


def _sort(rows: list[Row], key: str, *, reverse: bool) -> None:
    """Sort rows in place; those without a value come last."""
    known = [row for row in rows if row[key] is not None]
    unknown = [row for row in rows if row[key] is None]

    rows[:] = sorted(known, key=lambda row: row[key], reverse=reverse) + unknown


def _nothing(folders: Sequence[Path], found: int) -> str:
    places = " and ".join(map(str, folders))
    if found:
        return f"none of the {count_noun(found, 'run')} in {places} matches"
    return f"no runs in {places}"


def _print(rows: Sequence[Row], *, compare: bool, jsonl: bool, json: bool, nothing: str) -> None:
    # Not earlier: filters compare the exact values.
    rounded = [round_percentages(row) for row in rows]
    if jsonl:
        for row in rounded:
            print_json_line("experiment_row" if compare else "run_row", row)
    elif json:
        key: dict[str, Any] = {"experiments" if compare else "runs": rounded}
        print_json("runs_compared" if compare else "runs", key)
    elif not rows:
        print_result(nothing)
    elif compare:
        print_result(format_table(*comparison_cells(rows)), lines=True)
    else:
        print_result(format_table(*row_cells(rows)), lines=True)
        if resumable := [row["path"] for row in rows if row["state"] == "unfinished"]:
            command = find_resume_command(Path(resumable[0]))
            which = "the unfinished run"
            if len(resumable) > 1:
                which = f"the first of {len(resumable)} unfinished runs"
            print_result("")
            print_result(f"{which} resumes with '{command}'")
