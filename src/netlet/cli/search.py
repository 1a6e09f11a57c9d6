"""``netlet search``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from netlet.cli.options import Json, Trust, Workers
from netlet.cli.results import print_json, print_result, say
from netlet.errors import OutputError
from netlet.outputs import check_output
from netlet.processor_load import cpu_cores


def search(
    name: Annotated[
        str,
        typer.Argument(metavar="SPACE", help="Search space: mnistnet_2, mnistnet_3, crest, speck."),
    ],
    trials: Annotated[
        int,
        typer.Option("--trials", metavar="N", min=1, max=100_000, help="Number of trials to run."),
    ] = 20,
    workers: Workers = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="JSON Lines file that trials are added to; trials/SPACE.jsonl if not given.",
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat",
            metavar="LINE",
            min=1,
            help="Run the trial on this line of the file again instead, and compare the results.",
        ),
    ] = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Search for a net and a recipe that fit a budget.

    SPACE says which nets and recipes are tried, and the budget. A trial trains one of them and
    scores it on images held out of the training set; no trial sees the test images. The search
    continues from the trials that the file holds. It needs the extra 'search'
    (pip install '.[search]' in a checkout).
    """
    path = out or Path("trials") / f"{name}.jsonl"
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file with --out")
    if files := [folder for folder in path.parents if folder.is_file()]:
        raise OutputError(f"{path}: {files[0]} is a file; name another file with --out")
    if repeat is None:
        check_output(path)
        _run(name, path, trials, workers or cpu_cores(), json=json)
    else:
        _repeat(path, repeat, trust=trust, json=json)


def _run(name: str, path: Path, trials: int, workers: int, *, json: bool) -> None:
    from netlet.experiments.search.spaces import find_space

    space = find_space(name)
    from netlet.experiments.search.engine import run_search

    results: list[Mapping[str, Any]] = []

    def on_trial(result: Mapping[str, Any]) -> None:
        results.append(result)
        say(f"trial {len(results)} of {trials}: {_describe(result)}")

    unusable = run_search(space, path, trials, workers, on_trial)
    if unusable:
        say(f"netlet: warning: {unusable} lines of {path} are of another search space")
    best = max(results, key=lambda result: (result["correct"], -result["loss"]))
    if json:
        print_json("search", {"file": str(path), "trials": results, "best": best})
    else:
        print_result(f"best of {len(results)} trials: {_describe(best)}")
        print_result(f"recorded in {path}")


def _repeat(path: Path, line: int, *, trust: bool, json: bool) -> None:
    from netlet.experiments.search.trials import repeat_trial

    recorded, repeated = repeat_trial(path, line, trust=trust)
    if json:
        values = {"file": str(path), "line": line, "recorded": recorded, "repeated": repeated}
        print_json("search_repeat", values)
    else:
        print_result(f"recorded: {_describe(recorded)}")
        print_result(f"repeated: {_describe(repeated)}")


def _describe(result: Mapping[str, Any]) -> str:
    percent = 100 * result["correct"] / result["total"]
    return f"{percent:.2f}% with {result['parameters']:,} parameters: {result['net']}"
