"""Trials: one net, one recipe, one seed, scored on images held out of ``train``.

A file of trials has one line of JSON for each.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.data import Dataset
from netlet.errors import NetletWarning, RecordError
from netlet.files import read_regular
from netlet.outputs import append_output
from netlet.records.json_file import shorten
from netlet.records.trials import MAX_TRIALS_BYTES, parse_trials
from netlet.records.upgrade import TRIAL_SCHEMA, upgrade_trial
from netlet.text import escape_controls

VAL = 10_000  # training images held out to score a trial of earlier versions, which has no folds
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"  # how a trial ended


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to train.

    Attributes:
        net: A net in one line, or by name.
        recipe: The name of the recipe to start from.
        changes: Changes to fields of the recipe, as JSON stores them.
        seed: The seed of the weights and of the training.
        fold: The part of the training images that is held out; None: ``draw`` chooses them.
        folds: The number of parts.
        draw: Chooses the held-out images in trials of earlier versions: those with the same number
            share them.
        dataset: The name or the path of the data set.
        params: The values that the sampler suggested; None: chosen by hand.
        arm: The arm of a comparison that this is a run of.
    """

    net: str
    recipe: str
    changes: Mapping[str, Any]
    seed: int
    fold: int | None = None
    folds: int | None = None
    draw: int | None = None
    dataset: str = "mnist"
    params: Mapping[str, Any] | None = None
    arm: str | None = None

    def hold_out(self, images: Dataset) -> Dataset:
        """Return the images that it trains on and those that score it.

        Args:
            images: The data set, of which only ``train`` is used.
        """
        if self.fold is not None and self.folds is not None:
            return images.hold_out_fold(self.fold, self.folds)
        return images.hold_out(VAL, self.draw or 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a line of a file of trials has them."""
        values = dataclasses.asdict(self)
        optional = ("draw", "arm") if self.draw is None else ("fold", "folds", "arm")
        return {
            key: values[key] for key in values if key not in optional or values[key] is not None
        }


def trial_from_line(line: Mapping[str, Any], where: str) -> Trial:
    """Return the trial that a line of a file records, so that it can be run again.

    Args:
        line: The line in today's form.
        where: The file and the line, for the error message.

    Raises:
        RecordError: A field is missing, or of another type.
    """
    check_result(line, where)
    names = [field.name for field in dataclasses.fields(Trial) if field.name in line]
    return Trial(**{name: line[name] for name in names})


def check_result(result: Mapping[str, Any], where: str) -> None:
    """Check that a line of a file of trials says what was trained and how well it scored.

    Args:
        result: The result in today's form.
        where: The file and the line, for the error message.

    Raises:
        RecordError: A field is missing, or of another type.
    """
    if result.get("state") == FAILED:
        raise RecordError(
            f"{where}: the trial failed ({shorten(result.get('error'))}) and has no result to "
            "compare; choose another line"
        )
    kinds: dict[str, type] = {"net": str, "recipe": str, "changes": Mapping, "seed": int}
    kinds |= {"fold": int, "folds": int} if "fold" in result else {"draw": int}
    kinds |= {"correct": int, "total": int, "parameters": int}
    for name, kind in kinds.items():
        value = result.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RecordError(
                f"{where}: {name} is {shorten(value)}, and the trial cannot be run again; "
                "choose a line that 'netlet search' wrote"
            )
    for name in ("source_digest", "dataset"):  # earlier trials have none
        if not isinstance(result.get(name, ""), str):
            raise RecordError(
                f"{where}: {name} is {shorten(result[name])}, which is no "
                f"{name.replace('source_', '')}; choose a line that 'netlet search' wrote"
            )
    if not 0 <= result["correct"] <= result["total"] or not result["total"]:
        raise RecordError(
            f"{where}: {result['correct']} of {result['total']} images are correct, which cannot "
            "be; choose another line"
        )


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the trials that a file records, in today's form; none if there is no file.

    Raises:
        RecordError: The file cannot be read, or a line is not a trial.
    """
    if not os.path.lexists(path):
        return []
    content = read_regular(path, MAX_TRIALS_BYTES, RecordError)
    return [upgrade_trial(line) for line in parse_trials(content, path)]


def append_result(result: Mapping[str, Any], path: Path) -> None:
    """Add a trial to a file; a full disk leaves the file as it was.

    Raises:
        OutputError: It cannot be written.
    """
    append_output(path, json.dumps({"schema": TRIAL_SCHEMA, **result}).encode() + b"\n")


def remove_unfinished_line(path: Path) -> None:
    """Remove the last line of a file of trials if a crash of the machine has cut it off.

    Args:
        path: The file, which is locked.

    Raises:
        RecordError: The file cannot be read.
        OutputError: It cannot be written.
    """
    if not os.path.lexists(path):
        return
    content = read_regular(path, MAX_TRIALS_BYTES, RecordError)
    whole, _, rest = content.rpartition(b"\n")
    if not rest.startswith(b"{"):
        return
    try:
        json.loads(rest)
    except ValueError:
        with path.open("r+b") as file:
            file.truncate(len(whole) + 1 if whole else 0)
        warnings.warn(
            f"{escape_controls(str(path))}: its last line was cut off, as by a crash; removed it",
            NetletWarning,
            stacklevel=2,
        )


def rank_results(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the finished trials, the best first: by accuracy, then by loss."""
    finished = [one for one in results if one.get("state", FINISHED) == FINISHED]
    scored = [one for one in finished if one.get("total")]
    return sorted(scored, key=lambda one: (-one["correct"] / one["total"], one["loss"]))
