"""Run a recorded trial again, and compare the results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.errors import RecordError
from netlet.experiments.search.leg import Leg, run_leg
from netlet.experiments.search.trials import read_results, trial_from_line
from netlet.nets.origins import refuse_changed_code
from netlet.records.environments import find_differences
from netlet.text import count_noun

_DIGITS = 5  # of the loss in lines of earlier versions


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """A recorded trial and the same trial run again.

    Attributes:
        recorded: The line of the file.
        repeated: The line that the trial would have now.
        identical: Whether both have the same results: the digest of the weights, if it is
            recorded, else the score and the loss.
        differences: In what the machines and versions of the two differ, in words.
    """

    recorded: Mapping[str, Any]
    repeated: Mapping[str, Any]
    identical: bool
    differences: tuple[str, ...] = ()


def repeat_trial(
    path: Path, line: int, *, data_folder: Path | None = None, trust: bool = False
) -> Repetition:
    """Run a recorded trial again, to the epoch to which it was trained.

    Args:
        path: File of trials.
        line: Number of the trial's line, from 1.
        data_folder: The folder with the files of a public data set; searched for if None.
        trust: Whether to run code that the line names, like ``file.py:Name``.

    Raises:
        RecordError: The file has no such line, or the line cannot be run again.
        NetError: The net is code that is not trusted, or has changed since the trial.
    """
    if not os.path.lexists(path):
        raise RecordError(
            f"{path}: no such file; name the file that 'netlet search' wrote with --out"
        )
    known = read_results(path)
    if not 1 <= line <= len(known):
        raise RecordError(
            f"{path}: has {count_noun(len(known), 'line')}; line {line} does not exist, choose one "
            f"from 1 to {len(known)}"
        )
    recorded, where = known[line - 1], f"{path}, line {line}"
    trial = trial_from_line(recorded, where)
    if trust and (digest := recorded.get("source_digest")):
        refuse_changed_code(where, recorded["net"], digest)
    until = len(recorded.get("correct_by_epoch", ())) or recorded.get("epochs", 0)
    if not until:
        raise RecordError(
            f"{where}: does not say how many epochs were trained; choose another line"
        )
    folder = str(data_folder) if data_folder else None
    digest = recorded.get("data_digest", "")
    result = run_leg(
        Leg(
            number=0,
            trial=trial,
            until=until,
            data_folder=folder,
            data_digest=digest,
            trust=trust,
        )
    )
    keys = ("state", "epochs", "space", "data_digest")
    same = {key: recorded[key] for key in keys if key in recorded}
    repeated = {**trial.to_dict(), **same, **result.outcome}
    return Repetition(
        recorded=recorded,
        repeated=repeated,
        identical=_are_identical(recorded, repeated),
        differences=tuple(
            find_differences(recorded["environment"], repeated["environment"])
            if "environment" in recorded
            else ()
        ),
    )


def _are_identical(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> bool:
    if "weights_digest" in recorded:
        return bool(recorded["weights_digest"] == repeated["weights_digest"])
    losses = [round(float(line["loss"]), _DIGITS) for line in (recorded, repeated)]
    return recorded["correct"] == repeated["correct"] and losses[0] == losses[1]
