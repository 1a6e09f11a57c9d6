"""``netlet runs``."""

from __future__ import annotations

import json as json_
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.options import Json
from netlet.cli.results import result, result_json, say
from netlet.errors import RecordError, did_you_mean
from netlet.text import table

if TYPE_CHECKING:
    from netlet.records.study import Study
    from netlet.stats import Entry

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
_SAID = {
    "shown": "beyond chance",
    "not shown": "no difference shown",
    "cannot say": "cannot say, one seed",
}


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to look, folders in it included.")
    ] = Path("runs"),
    name: Annotated[
        str | None, typer.Option("--name", metavar="GLOB", help="Experiments, like 'code_*'.")
    ] = None,
    net: Annotated[str | None, typer.Option("--net", metavar="GLOB")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="GLOB", help="Data sets.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", metavar="GLOB")] = None,
    verdict: Annotated[
        str | None, typer.Option("--verdict", metavar="STATE", help="PASS, FAIL, ...")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="test or val.")
    ] = None,
    params_below: Annotated[int | None, typer.Option("--params-below", metavar="N", min=1)] = None,
    accuracy_at_least: Annotated[
        float | None,
        typer.Option("--accuracy-at-least", metavar="PERCENT", help="After the last epoch."),
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", metavar="COLUMN", help=f"{', '.join(_SORTS)}.")
    ] = "path",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="A row for each experiment, best first, held against the best."
        ),
    ] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A JSON line for each row: an index, made anew.")
    ] = False,
    json: Json = False,
) -> None:
    """List, filter and compare the recorded runs and studies below a folder, a row for each seed."""
    if sort not in _SORTS:
        hint = did_you_mean(sort, _SORTS)
        raise RecordError(f"--sort {sort!r} is no column; {hint}choose one of {', '.join(_SORTS)}")

    if compare and (verdict is not None or accuracy_at_least is not None):
        raise RecordError(
            "--compare with --verdict or --accuracy-at-least would leave out seeds for what they came to; "
            "leave these away, or --compare"
        )

    from netlet import stats

    found, troubles = stats.gather(folder)
    globs = {
        "name": name,
        "net": net,
        "data": data,
        "budget": budget,
        "verdict": verdict,
        "split": split,
    }

    def wanted(row: dict[str, Any]) -> bool:
        return (
            all(
                fnmatch(str(row[what] or "").lower(), glob.lower())
                for what, glob in globs.items()
                if glob is not None
            )
            and (params_below is None or row["parameters"] < params_below)
            and (accuracy_at_least is None or row["last_percent"] >= accuracy_at_least)
        )

    chosen = [(entry, entry.to_dict()) for entry in found]
    chosen = [(entry, row) for entry, row in chosen if wanted(row)]
    chosen.sort(key=lambda pair: pair[1][_SORTS[sort]], reverse=sort in _HIGHEST_FIRST)  # type: ignore[arg-type, return-value]
    rows = [row for _, row in chosen]
    if compare:
        rows, cells, more = _compared([entry for entry, _ in chosen])
        troubles += more
        head: tuple[str, ...] = (
            "name",
            "recipe",
            "data",
            "split",
            "parameters",
            "epochs",
            "seeds",
            "mean %",
            "sd",
            "to best",
            "",
        )
        align = "llllrrrrrrl"
    else:
        cells = [_cells(row) for row in rows]
        head = (
            "name",
            "data",
            "seed",
            "parameters",
            "epochs",
            "split",
            "last %",
            "best %",
            "train s",
            "verdict",
            "budget",
            "path",
        )
        align = "llrrrlrrrlll"
    for trouble in troubles:
        say(f"netlet: {trouble}")
    if jsonl:
        for row in rows:
            result(json_.dumps(row, ensure_ascii=False))
    elif json:
        result_json(rows)
    elif rows:
        result(table(head, cells, align))
    else:
        result(
            f"no runs in {folder}"
            if not found
            else f"none of {len(found)} runs in {folder} is like that"
        )
    raise typer.Exit(1 if troubles else 0)


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["name"],
        row["data"],
        str(row["seed"]),
        f"{row['parameters']:,}",
        str(row["epochs"]),
        row["split"],
        f"{row['last_percent']:.2f}",
        f"{row['best_percent']:.2f}",
        f"{row['train_s']:.1f}",
        row["verdict"] or "-",
        row["budget"] or "-",
        row["path"],
    ]


def _compared(entries: list[Entry]) -> tuple[list[dict[str, Any]], list[list[str]], list[str]]:
    """Experiments on the same images beside the best of them."""
    from netlet import stats

    groups, troubles = stats.grouped(entries)
    groups.sort(key=lambda study: (study.data["name"], study.split, -stats.mean_percent(study)))
    best: dict[tuple[Any, ...], Study] = {}
    rows, cells = [], []
    for study in groups:
        first = best.setdefault((study.data["digest"], study.split, study.total), study)
        mean, sd = stats.mean_percent(study), stats.sd_points(study)
        said, behind = "best", 0.0
        if first is not study:
            try:
                found = stats.compare(first, study)
                behind, said = found.difference, _SAID[found.outcome]
            except RecordError as error:
                troubles.append(str(error))
                said = "cannot say"
        rows.append(
            {
                "name": study.name,
                "recipe": study.recipe["name"],
                "data": study.data["name"],
                "split": study.split,
                "parameters": study.cost["parameters"],
                "epochs": study.epochs,
                "seeds": len(study.seeds),
                "mean_percent": mean,
                "sd_points": sd,
                "points_to_best": behind,
                "said": said,
            }
        )
        cells.append(
            [
                study.name,
                study.recipe["name"],
                study.data["name"],
                study.split,
                f"{study.cost['parameters']:,}",
                str(study.epochs),
                str(len(study.seeds)),
                f"{mean:.3f}",
                "-" if sd is None else f"{sd:.3f}",
                f"{behind:+.3f}" if behind else "-",
                said,
            ]
        )
    return rows, cells, troubles
