"""The records under results/."""

from __future__ import annotations

import functools
from pathlib import Path

from netlet import records
from netlet.records.ladder import LadderResult
from netlet.records.study import STUDY, Study

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
RATIOS = "Ratios are medians of those within each round, and not ratios of the medians."


@functools.cache
def all_studies() -> dict[str, Study]:
    """Return every recorded study on ``test`` by its name; copies in two places have to agree."""
    found: dict[str, Study] = {}
    for path in sorted(RESULTS.rglob(STUDY)):
        study = records.load_study(path)
        if study.split == "test" and found.setdefault(study.name, study) != study:
            raise SystemExit(
                f"{path}: another study of {study.name} differs from it; remove one of them"
            )
    return found


def recorded_study(name: str) -> Study:
    """Return the recorded study of an experiment."""
    return all_studies()[name]


def studies_on_val() -> list[Study]:
    """Return the studies on images held out of train, by which recipes were chosen."""
    return [records.load_study(path) for path in sorted((RESULTS / "val").rglob(STUDY))]


@functools.cache
def recorded_ladder(name: str) -> LadderResult:
    """Return a recorded ladder."""
    return records.load_ladder_result(RESULTS / "ladders" / name)
