"""The trials by which a net and a recipe were chosen: files with one line of JSON for each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.display import Displayed
from netlet.errors import RecordError
from netlet.files import read_regular
from netlet.records.json_file import parse_json
from netlet.records.values import TrialsValues

MAX_TRIALS_BYTES = 1 << 26  # of a file of trials


@dataclass(frozen=True)
class Trials(Displayed):
    """Identifies the trials by which a choice was made."""

    file: str  # path as the user typed it, of a file or of a folder of files
    number: int
    sha256: str  # of the file, or of all files of the folder one after the other

    def to_dict(self) -> TrialsValues:
        """Return the fields as JSON stores them."""
        return {"file": self.file, "number": self.number, "sha256": self.sha256}


def read_trials(path: Path, new_seeds: Sequence[int]) -> Trials:
    """Read trials and check that none of them used certain seeds.

    Args:
        path: A file with one line of JSON for each trial, whose ``seed`` is its seed; or a folder,
            all of whose ``.jsonl`` files are such files.
        new_seeds: The seeds that will be used to measure what the trials chose.

    Raises:
        RecordError: A file cannot be read, there are no trials, or a trial used one of the seeds.
    """
    if not os.path.lexists(path):
        raise RecordError(f"{path}: no such file; name the file that 'netlet search' wrote")
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    content, used = hashlib.sha256(), list[int]()
    for file in files:
        lines = read_regular(file, MAX_TRIALS_BYTES, RecordError)
        content.update(lines)
        used += [line["seed"] for line in parse_trials(lines, file)]
    if not used:
        raise RecordError(f"{path}: holds no trials; name the file that 'netlet search' wrote")
    if reused := sorted(set(used) & set(new_seeds)):
        raise RecordError(
            f"{path}: a trial used seed {reused[0]} already;"
            f" start from seed {max(used) + 1} with --first-seed (new_seeds in Python)"
        )
    return Trials(path.as_posix(), len(used), content.hexdigest())


def parse_trials(content: bytes, path: Path) -> list[dict[str, Any]]:
    """Return the trials in a file's content, as they were written.

    Args:
        content: The content of the file, one line of JSON for each trial.
        path: The path of the file, for error messages.

    Raises:
        RecordError: A line is not a trial, with its number.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RecordError(
            f"{path}: is not UTF-8 text; name the file that 'netlet search' wrote"
        ) from error
    trials = [parse_json(line, f"{path}, line {i}", "a trial") for i, line in enumerate(lines, 1)]
    for i, trial in enumerate(trials, 1):
        if not isinstance(trial, dict) or not _is_whole(trial.get("seed")):
            raise RecordError(
                f"{path}, line {i}: is not a trial with a seed; remove the line, or name the file "
                "that 'netlet search' wrote"
            )
    return trials


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
