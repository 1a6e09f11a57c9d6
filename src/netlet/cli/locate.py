"""Find the records that an argument means: a study, a run, a folder of either, a ladder, a name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from netlet import records
from netlet.cli.results import say
from netlet.errors import DamagedRecordError, RecordError
from netlet.records.ladder import LadderResult
from netlet.records.study import Study
from netlet.text import split_address

_NEVER_OUTPUTS = (
    records.RECORD,
    records.EPOCHS,
    records.WEIGHTS,
    records.CONFIDENCE,
    records.STUDY,
    records.LADDER,
    records.REMARKS,
    records.CHECKPOINT_FILE,
)


def input_files(*names: str | Path | None) -> list[Path]:
    """Return the files that arguments name, and those of runs, studies and ladders in folders.

    Args:
        names: Files, folders, and other names, which are ignored.
    """
    words = [str(name) for name in names if name is not None]
    # Of an address, the file; a path may have a colon, too.
    places = [word if os.path.exists(word) else split_address(word)[0] or word for word in words]
    paths = [Path(place) for place in places]
    own = [
        file
        for path in paths
        for name in _NEVER_OUTPUTS
        for pattern in (name, f"*/{name}", f"*/*/{name}")
        for file in path.glob(pattern)
    ]
    return [path for path in paths if path.is_file()] + own


class Problems:
    """Says on stderr which records are damaged, while the others are shown.

    Attributes:
        exit_code: The exit code of the command: 1 if there was a problem, else 0.
    """

    def __init__(self) -> None:
        self.exit_code = 0

    def __call__(self, problem: str) -> None:
        """Say what is wrong with a record."""
        say(f"netlet: {problem}")
        self.exit_code = 1


def records_folder(name: str | Path) -> Path:
    """Return the folder of the record that an argument means."""
    path = Path(name)
    return path.parent if path.name in (records.RECORD, records.STUDY) else path


def locate_records(
    names: Sequence[str], problems: Problems
) -> tuple[list[Study], list[LadderResult]]:
    """Load the studies and ladders that paths or names mean.

    Runs of one experiment become one study; other studies of one name are told apart.

    Args:
        names: The names and paths as given on the command line.
        problems: An object that is called for each damaged record, which does not hide the others.

    Returns:
        The studies, each with a name of its own, and the ladders.

    Raises:
        NetletError: One of them is missing, all are damaged, or runs of one name and recipe were
            scored on different images.
    """
    from netlet import stats

    seeds: list[stats.SeedRecord] = []
    climbs = []
    for number, name in enumerate(names, start=1):
        try:
            if (Path(name) / records.LADDER).is_file():
                climbs.append(records.load_ladder_result(Path(name), problems))
                continue
            study = records.find_study(name, problems)
        except DamagedRecordError as error:
            if number == len(names) and not (seeds or climbs):
                raise
            problems(str(error))
            continue
        seeds.append(stats.SeedRecord(records_folder(name), study))
    found, contradictions = stats.group_into_studies(seeds)
    if contradictions:
        raise RecordError(contradictions[0])
    studies, places = stats.split_places(found)
    named = stats.distinguish_names(studies, places)
    firsts: dict[tuple[str, str], Study] = {}
    for study, own in zip(studies, named, strict=True):
        first = firsts.setdefault((study.name, study.recipe["name"]), own)
        stats.refuse_other_images(first, own)
    return named, climbs
