"""Where the records lie, and the studies among them."""

from __future__ import annotations

import functools
from pathlib import Path

from netlet import records
from netlet.records.ladder import LadderResult
from netlet.records.study import STUDY, Study

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"


@functools.cache
def all_studies() -> dict[str, Study]:
    """Every recorded study on ``test``, by its experiment's name; one that lies in two places is the same in both."""
    found: dict[str, Study] = {}
    for path in sorted(RESULTS.rglob(STUDY)):
        study = records.load_study(path)
        if study.split == "test" and found.setdefault(study.name, study) != study:
            raise SystemExit(
                f"{path}: another study of {study.name} is recorded elsewhere; keep one"
            )
    return found


def recorded_study(name: str) -> Study:
    """The recorded study of an experiment."""
    return all_studies()[name]


def studies_on_val() -> list[Study]:
    """Those that recipes were chosen by, on images held out of train."""
    return [records.load_study(path) for path in sorted((RESULTS / "val").rglob(STUDY))]


@functools.cache
def recorded_ladder(name: str) -> LadderResult:
    """A recorded ladder."""
    return records.load_ladder_result(RESULTS / "ladders" / name)
