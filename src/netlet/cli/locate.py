"""Find the records that an argument means: a study, a run, a folder of either, a ladder, a name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netlet import records
from netlet.errors import RecordError
from netlet.records.ladder import LadderResult
from netlet.records.study import Study


def locate_records(names: Sequence[str]) -> tuple[list[Study], list[LadderResult]]:
    """Load the studies and ladders that paths or names mean.

    Runs of one experiment become one study.

    Raises:
        NetletError: One of them is missing or broken, or runs of one name differ.
    """
    joined: dict[tuple[str, str], Study] = {}
    climbs = []
    for name in names:
        if (Path(name) / records.LADDER).is_file():
            climbs.append(records.load_ladder_result(Path(name)))
            continue
        study = records.find_study(name)
        key = (study.name, study.recipe["name"])
        joined[key] = joined[key].merge(study) if key in joined else study
    return list(joined.values()), climbs


def locate_weights(net: str) -> str:
    """Return NET, or, if it is the folder of a study, the folder of its median seed's run.

    Args:
        net: As given on the command line.

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
        folder: Of the study, or of that run itself.
        study: Whose record lies there.

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
