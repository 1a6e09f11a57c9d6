"""Read the sound seeds of a study some of whose seeds are damaged."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

from netlet.errors import RecordError
from netlet.records.json_file import load_json
from netlet.records.study import Study, load_study, study_from_json


def load_sound_seeds(path: Path) -> tuple[Study | None, list[str]]:
    """Load what is sound in the record of a study.

    Args:
        path: The file of the study.

    Returns:
        The study with its sound seeds, or None if it has none; and an error message for each seed
        that is not, or one for the record if that is damaged as a whole.
    """
    try:
        return load_study(path), []
    except RecordError as error:
        whole = str(error)
    try:
        record = load_json(path, "the JSON record of a study")
        seeds = list(record["seeds"])
    except (RecordError, TypeError, KeyError):
        return None, [whole]
    numbers = Counter(str(_number_of(seed)) for seed in seeds)
    studies, problems = [], []
    for seed in seeds:
        number = _number_of(seed)
        if numbers[str(number)] > 1:
            problems.append(f"{path}: contains seed {number} twice; its results are left out")
            continue
        try:
            studies.append(study_from_json({**record, "seeds": [seed]}, path))
        except RecordError as error:
            problems.append(str(error))
    if not studies:  # what all seeds share is damaged
        return None, [whole]
    merged = functools.reduce(Study.merge, studies)
    return merged, list(dict.fromkeys(problems)) or [whole]


def _number_of(seed: object) -> object:
    return seed.get("seed") if isinstance(seed, dict) else None
