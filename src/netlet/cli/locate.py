"""Find the records that an argument means: a study, a run, a folder of either, a ladder, a name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netlet import records
from netlet.cli.results import say
from netlet.errors import DamagedRecordError, RecordError
from netlet.records.ladder import LadderResult
from netlet.records.study import Study

_NEVER_OUTPUTS = (
    records.RECORD,
    records.EPOCHS,
    records.WEIGHTS,
    records.CONFIDENCE,
    records.STUDY,
    records.LADDER,
    records.REMARKS,
    "checkpoint.pt",
)


def input_files(*names: str | Path | None) -> list[Path]:
    """Return the files that arguments name, and those of runs, studies and ladders in folders.

    Args:
        names: Files, folders, and other names, which are ignored.
    """
    words = [str(name) for name in names if name is not None]
    paths = [Path(word.rpartition(":")[0] if ".py:" in word else word) for word in words]
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


def locate_records(
    names: Sequence[str], problems: Problems
) -> tuple[list[Study], list[LadderResult]]:
    """Load the studies and ladders that paths or names mean.

    Runs of one experiment become one study. A damaged record does not hide the others.

    Args:
        names: The names and paths as given on the command line.
        problems: An object that is called for each damaged record.

    Raises:
        NetletError: One of them is missing, all are damaged, or runs of one name differ.
    """
    joined: dict[tuple[str, str], Study] = {}
    climbs = []
    for number, name in enumerate(names, start=1):
        try:
            if (Path(name) / records.LADDER).is_file():
                climbs.append(records.load_ladder_result(Path(name), problems))
                continue
            study = records.find_study(name, problems)
        except DamagedRecordError as error:
            if number == len(names) and not (joined or climbs):
                raise
            problems(str(error))
            continue
        key = (study.name, study.recipe["name"])
        joined[key] = joined[key].merge(study) if key in joined else study
    return list(joined.values()), climbs


def locate_weights(net: str) -> str:
    """Return NET, or, if it is the folder of a study, the folder of its median seed's run.

    Args:
        net: The name or path as given on the command line.

    Raises:
        RecordError: It is a ladder, or the run of the study's median seed is gone.
    """
    folder = Path(net)
    if (folder / records.LADDER).is_file():
        raise RecordError(
            f"{net}: is a ladder, with a net for each of its rungs; name the folder of one of them"
        )
    is_study = (folder / records.STUDY).is_file() or (
        not (folder / records.RECORD).is_file() and any(folder.glob(f"*/{records.RECORD}"))
    )
    return str(median_run(folder, records.find_study(net))) if is_study else net


def median_run(folder: Path, study: Study) -> Path:
    """Return the folder of the run of a study's median seed.

    Args:
        folder: The folder of the study, or of that run itself.
        study: The study whose record lies there.

    Raises:
        RecordError: The run or its weights are gone.
    """
    from netlet import stats

    seed = stats.median_seed(study)
    for run in (folder, *sorted(path.parent for path in folder.glob(f"*/{records.RECORD}"))):
        is_run = (run / records.RECORD).is_file() and (run / records.WEIGHTS).is_file()
        if is_run and records.load_run(run).seed == seed:
            return run
    raise RecordError(
        f"{folder}: the weights of its median seed, {seed}, are gone; 'netlet study' trains again "
        f"what is missing beside {records.STUDY}"
    )
