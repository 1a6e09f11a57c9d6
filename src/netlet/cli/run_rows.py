"""The rows of ``netlet runs``: one per seed, finished or not, or one per experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlet import records
from netlet.errors import NetletError, RecordError
from netlet.recipes import count_epochs
from netlet.records.data_contradictions import find_held_out

if TYPE_CHECKING:
    from netlet.records import Study
    from netlet.stats import LocatedStudy, SeedRecord

Row = dict[str, Any]
Table = tuple[tuple[str, ...], list[list[str]], str]  # head, rows, alignment

_OUTCOMES = {
    "significant": "worse",
    "not significant": "no difference shown",
    "undecided": "undecided over seeds",
}


@dataclass(frozen=True)
class Filters:
    """Which rows a person wants to see."""

    globs: Mapping[str, str | None]  # column -> pattern, in any case of letters
    params_below: int | None
    accuracy_at_least: float | None  # percent

    def match(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row passes all filters; an unknown value passes none."""
        return (
            all(
                fnmatch(str(row[column] or "").lower(), glob.lower())
                for column, glob in self.globs.items()
                if glob is not None
            )
            and (
                self.params_below is None
                or (row["parameters"] is not None and row["parameters"] < self.params_below)
            )
            and (
                self.accuracy_at_least is None
                or (
                    row["last_percent"] is not None
                    and row["last_percent"] >= self.accuracy_at_least
                )
            )
        )


def unfinished_rows(root: Path) -> tuple[list[Row], list[str]]:
    """Return a row for each run below a folder that can be resumed, and what is wrong with others.

    The keys are those of a finished run; what only the end of a run can tell is None.
    """
    rows, problems = [], []
    for path in records.search_folder(root, [records.CHECKPOINT_FILE])[0][records.CHECKPOINT_FILE]:
        folder = path.parent
        if (folder / records.RECORD).is_file():
            continue
        try:
            rows.append(_unfinished_row(folder))
        except NetletError as error:  # one damaged checkpoint must not hide the others
            problems.append(str(error))
    return rows, problems


def find_resume_command(folder: Path) -> str:
    """Return what resumes an unfinished run."""
    from netlet.training import Recorder, load_checkpoint

    return Recorder(folder, load_checkpoint(folder)[1]).resume_command


def _unfinished_row(folder: Path) -> Row:
    from netlet.training import load_checkpoint

    checkpoint, values = load_checkpoint(folder)
    held_out = [epoch.held_out for epoch in checkpoint.epochs]
    if values or not checkpoint.setting:
        config = records.RunConfig.from_dict(values, folder)
        name, net, data, budget = config.name, config.net, config.data["name"], config.budget
        seed, recipe = config.seed, config.recipe
    else:  # started from Python
        there = checkpoint.setting
        name, net, data, budget = there["name"], there["name"], there["data"], None
        seed, recipe = there["seed"], there["recipe"]
    return {
        "name": name,
        "net": net,
        "data": data,
        "seed": seed,
        "parameters": None,
        "epochs": count_epochs(recipe),
        "recipe": recipe["name"],
        "split": held_out[-1].split if held_out else None,
        "last_percent": held_out[-1].percent if held_out else None,
        "best_percent": max(score.percent for score in held_out) if held_out else None,
        "train_percent": None,
        "train_s": sum(epoch.train_s for epoch in checkpoint.epochs),
        "weights_digest": None,
        "verdict": None,
        "budget": budget["name"] if budget else None,
        "path": str(folder),
        "state": "unfinished",
        "epochs_done": len(held_out),
    }


def row_cells(rows: Sequence[Row]) -> Table:
    """Return the table of seeds."""
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
        "state",
        "path",
    )
    return head, [_cells(row) for row in rows], "llrrrlrrrllll"


def _cells(row: Row) -> list[str]:
    done = f"{row['epochs_done']} of " if row["state"] == "unfinished" else ""
    return [
        row["name"],
        row["data"],
        str(row["seed"]),
        _optional(row["parameters"], ","),
        f"{done}{row['epochs']}",
        row["split"] or "-",
        _optional(row["last_percent"], ".2f"),
        _optional(row["best_percent"], ".2f"),
        _optional(row["train_s"], ".1f"),
        row["verdict"] or "-",
        row["budget"] or "-",
        row["state"],
        row["path"],
    ]


def _optional(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def comparison_rows(seeds: Sequence[SeedRecord]) -> tuple[list[Row], list[str]]:
    """Return a row per experiment, compared with the best one on the same images; and problems.

    The best is one of several seeds if there is any: a single one may be a lucky one, and says
    nothing about other seeds.
    """
    from netlet import stats

    found, problems = stats.group_into_studies(seeds)
    studies = _distinguish_rows(found)
    studies.sort(
        key=lambda study: (
            study.data["name"],
            study.data["digest"],
            study.split,
            len(study.seeds) == 1,
            -stats.mean_percent(study),
        )
    )
    best: dict[tuple[Any, ...], Study] = {}
    rows = []
    for study in studies:
        first = best.setdefault((study.data["digest"], study.split, study.total), study)
        difference, outcome = 0.0, "best"
        if first is not study:
            try:
                comparison = stats.compare(first, study)
                difference, outcome = comparison.difference, _OUTCOMES[comparison.outcome]
            except RecordError as error:
                problems.append(str(error))
                outcome = "unknown"
        rows.append(_comparison_row(study, difference, outcome))
    return rows, problems


def _distinguish_rows(found: Sequence[LocatedStudy]) -> list[Study]:
    """Return studies of which no two have a row of the same name, recipe, data and split."""
    from netlet import stats

    alike: dict[tuple[str, ...], list[LocatedStudy]] = {}
    for one in found:
        study = one.study
        key = (study.name, study.recipe["name"], study.data["digest"], study.split)
        alike.setdefault(key, []).append(one)
    return [
        study
        for group in alike.values()
        for study in stats.distinguish_names(*stats.split_places(group))
    ]


def _comparison_row(study: Study, difference: float, outcome: str) -> Row:
    from netlet import stats

    return {
        "name": study.name,
        "recipe": study.recipe["name"],
        "data": study.data["name"],
        "data_digest": study.data["digest"],
        "held_out": find_held_out(study.data),
        "split": study.split,
        "parameters": study.cost["parameters"],
        "epochs": study.total_epochs,
        "seeds": len(study.seeds),
        "mean_percent": stats.mean_percent(study),
        "sd_points": stats.sd_points(study),
        "points_to_best": difference,
        "outcome": outcome,
    }


def comparison_cells(rows: Sequence[Row]) -> Table:
    """Return the table of experiments."""
    head = (
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
        "outcome",
    )
    names = [", ".join(filter(None, (row["data"], row["held_out"]))) for row in rows]
    digests = {(name, row["data_digest"]) for name, row in zip(names, rows, strict=True)}
    alike = Counter(name for name, _ in digests)
    cells = [
        [
            row["name"],
            row["recipe"],
            f"{name} ({row['data_digest'][:8]})" if alike[name] > 1 else name,
            row["split"],
            f"{row['parameters']:,}",
            str(row["epochs"]),
            str(row["seeds"]),
            f"{row['mean_percent']:.3f}",
            _optional(row["sd_points"], ".3f"),
            f"{row['points_to_best']:+.3f}" if row["points_to_best"] else "-",
            row["outcome"],
        ]
        for name, row in zip(names, rows, strict=True)
    ]
    return head, cells, "llllrrrrrrl"
