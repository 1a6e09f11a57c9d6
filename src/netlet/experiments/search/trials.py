"""Trials: one net, one recipe, one seed, scored on images held out of ``train``.

A file of trials has one line of JSON for each.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.data import Dataset
from netlet.errors import RecordError, warn
from netlet.files import read_regular
from netlet.outputs import append_output
from netlet.records.json_file import shorten
from netlet.records.trials import MAX_TRIALS_BYTES, parse_trials
from netlet.records.upgrade import TRIAL_SCHEMA, upgrade_trial
from netlet.text import escape_controls

VAL = 10_000  # training images held out to score a trial of earlier versions, which has no folds
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"  # how a trial ended
STATES = (FINISHED, STOPPED, FAILED)
# What a finished trial must record to be ranked among others, or to be the run of an arm.
RANKED_BY = ("correct", "total", "loss", "parameters")
COMPARED_BY = ("correct", "total", "nll", "parameters")
_SHOWN_OF_STOPPED = ("correct", "total", "correct_by_epoch", "epochs")
_REMEDY = "remove the line, or restore the file from a copy"
_COUNTS = (
    *("epochs", "fold", "folds", "draw", "parameters", "correct", "total", "train_correct"),
    "restarts",
)
_NUMBERS = ("loss", "nll", "train_s")
_TEXTS = (
    *("space", "net", "recipe", "dataset", "data_digest", "arm", "backend", "precision", "commit"),
    *("weights_digest", "source_digest", "error", "ended_at"),
)
_TABLES = ("changes", "params", "environment")
_LISTS = ("correct_by_epoch", "loss_by_epoch")
_ABSENT = object()
_MOST = 2**63  # of a count
# What a trial may not have: chosen by hand, stopped at a rung, or of an earlier version.
_MAY_BE_NULL = ("params", "nll", "train_correct", "train_s", "commit")


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
    lines = [upgrade_trial(line) for line in parse_trials(content, path)]
    for number, line in enumerate(lines, start=1):
        _check_values(line, f"{path}, line {number}")
    return lines


def has_values(line: Mapping[str, Any], *names: str) -> bool:
    """Return whether a line has a value of each name."""
    return all(line.get(name) is not None for name in names)


def _check_values(line: Mapping[str, Any], where: str) -> None:
    """Check the values that a line has, of those that a search or a report reads.

    Args:
        line: The line in today's form.
        where: The file and the line, for the error message.

    Raises:
        RecordError: A value is not what a search writes.
    """
    for names, is_valid, expected in (
        (_COUNTS, _is_count, "a whole number"),
        (_NUMBERS, _is_number, "a number"),
        (_TEXTS, lambda value: isinstance(value, str), "a text"),
        (_TABLES, lambda value: isinstance(value, Mapping), "an object"),
        (_LISTS, _is_list_of_numbers, "a list of numbers"),
        (("teacher",), _is_teacher, "what is known of a teacher"),
        (("state",), lambda value: value in STATES, f"one of {', '.join(STATES)}"),
    ):
        for name in names:
            value = line.get(name, _ABSENT)
            if value is _ABSENT or (value is None and name in _MAY_BE_NULL):
                continue
            if not is_valid(value):
                raise RecordError(
                    f"{where}: {name} is {shorten(value)}, expected {expected}; {_REMEDY}"
                )
    if line.get("state") == STOPPED:
        for name in _SHOWN_OF_STOPPED:
            if name not in line:
                raise RecordError(f"{where}: {name} of a stopped trial is missing; {_REMEDY}")
    total = line.get("total")
    counts = [line.get("correct", 0), *line.get("correct_by_epoch", ())]
    if total == 0 or (line.get("nll") or 0) < 0:
        name = "total" if total == 0 else "nll"
        raise RecordError(f"{where}: {name} is {line[name]}, which is impossible; {_REMEDY}")
    if total is not None and max(counts) > total:
        raise RecordError(
            f"{where}: {max(counts)} of {total} images are correct, which is impossible; {_REMEDY}"
        )
    for name in ("correct", "loss"):
        by_epoch = line.get(f"{name}_by_epoch")
        if by_epoch and line.get(name) is not None and by_epoch[-1] != line[name]:
            raise RecordError(
                f"{where}: contradicts itself: {name} is {line[name]}, and {by_epoch[-1]} after "
                f"the last epoch; {_REMEDY}"
            )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_teacher(value: object) -> bool:
    types = {"net": str, "epochs": int, "parameters": int}
    return (
        isinstance(value, Mapping)
        and value.keys() == types.keys()
        and all(isinstance(value[name], kind) for name, kind in types.items())
    )


def _is_list_of_numbers(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


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
    if _is_cut_off(rest):
        with path.open("r+b") as file:
            file.truncate(len(whole) + 1 if whole else 0)
        warn(f"{escape_controls(str(path))}: its last line was cut off, as by a crash; removed it")


def _is_cut_off(line: bytes) -> bool:
    """Return whether a line is the beginning of an object of JSON and nothing else."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        return error.msg != "Extra data"  # a whole object, and more: two lines in one
    except (ValueError, RecursionError):  # no UTF-8, a number of thousands of digits, too deep
        return False
    return False


def rank_results(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the finished trials, the best first: by accuracy, then by loss."""
    finished = [one for one in results if one.get("state", FINISHED) == FINISHED]
    scored = [one for one in finished if one.get("total")]
    return sorted(scored, key=lambda one: (-one["correct"] / one["total"], one["loss"]))
