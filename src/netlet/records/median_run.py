"""The run whose weights stand for a study: that of its median seed."""

from __future__ import annotations

from pathlib import Path

from netlet.errors import RecordError
from netlet.records.ladder import LADDER
from netlet.records.run import RECORD, WEIGHTS, load_run
from netlet.records.shipped_studies import find_study
from netlet.records.study import STUDY, Study


def locate_weights(net: str) -> str:
    """Return NET, or, if it is the folder of a study, the folder of its median seed's run.

    Args:
        net: The name of a net, or the path of a folder.

    Raises:
        RecordError: It is a ladder, or the run of the study's median seed is gone.
    """
    folder = Path(net)
    if (folder / LADDER).is_file():
        raise RecordError(
            f"{net}: is a ladder, with a net for each of its rungs; name the folder of one of them"
        )
    is_study = (folder / STUDY).is_file() or (
        not (folder / RECORD).is_file() and any(folder.glob(f"*/{RECORD}"))
    )
    if not is_study:
        return net
    if not (folder / STUDY).is_file():
        _refuse_several_experiments(folder)
    return str(median_run(folder, find_study(net)))


def _refuse_several_experiments(folder: Path) -> None:
    """Check that the runs in a folder are those of one experiment.

    Raises:
        RecordError: They are not, so that none of them is its median.
    """
    runs = sorted(path.parent for path in folder.glob(f"*/{RECORD}"))
    names = {load_run(run).name for run in runs}
    if len(names) > 1:
        raise RecordError(
            f"{folder}: has {len(runs)} runs of {len(names)} experiments; name one of them, like "
            f"{runs[0]}"
        )


def median_run(folder: Path, study: Study) -> Path:
    """Return the folder of the run of a study's median seed.

    Args:
        folder: The folder of the study, or of that run itself.
        study: The study whose record lies there.

    Raises:
        RecordError: The run or its weights are gone.
    """
    seed = median_seed(study)
    for run in (folder, *sorted(path.parent for path in folder.glob(f"*/{RECORD}"))):
        is_run = (run / RECORD).is_file() and (run / WEIGHTS).is_file()
        if is_run and load_run(run).seed == seed:
            return run
    raise RecordError(
        f"{folder}: the weights of its median seed, {seed}, are missing; put them back, or train "
        "the study again in a new folder ('netlet study NET --out DIR')"
    )


def median_seed(study: Study) -> int:
    """Return the seed with the median accuracy; of two in the middle the less accurate one."""
    ranked = sorted(study.seeds, key=lambda seed: (seed.correct, seed.seed))
    return ranked[(len(ranked) - 1) // 2].seed
