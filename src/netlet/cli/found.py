"""What a person means by the path of a record: a study, a run, a folder of either, or a ladder that was climbed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from netlet import records
from netlet.errors import RecordError
from netlet.records.ladder import Climbed
from netlet.records.study import Study


def found_study(path: Path) -> Study:
    """The study at a path; of a single run, the study of its one seed.

    Raises:
        RecordError: There is none, or it is broken.
    """
    if path.is_dir():
        if (path / records.STUDY).is_file():
            return records.load_study(path)
        if (path / records.RECORD).is_file():
            return Study.of([records.load_run(path)])
        if (path / records.LADDER).is_file():
            raise RecordError(
                f"{path}: is a ladder; name one of its steps, or 'netlet report {path}'"
            )
        seeds = sorted(path.glob(f"*/{records.RECORD}"))
        if seeds:
            return Study.of([records.load_run(seed) for seed in seeds])
        raise RecordError(
            f"{path}: holds neither {records.STUDY} nor {records.RECORD}; name a study's or a run's folder"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise RecordError(
            f"{path}: cannot be read as a record ({type(error).__name__}: {error})"
        ) from error
    if isinstance(record, dict) and "seeds" in record:
        return records.load_study(path)
    return Study.of([records.load_run(path)])


def found_all(paths: Sequence[Path]) -> tuple[list[Study], list[Climbed]]:
    """The studies and the ladders at some paths; runs of one experiment become one study.

    Raises:
        NetletError: One of them is missing or broken, or runs of one name differ.
    """
    joined: dict[tuple[str, str], Study] = {}
    climbs = []
    for path in paths:
        if (path / records.LADDER).is_file():
            climbs.append(records.load_climbed(path))
            continue
        study = found_study(path)
        key = (study.name, study.recipe["name"])
        joined[key] = joined[key].joined(study) if key in joined else study
    return list(joined.values()), climbs
