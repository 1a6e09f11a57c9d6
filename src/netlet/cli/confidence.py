"""Find or make the calibration of a net's confidence, for the commands that show answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netlet.cli.datasets import load_dataset
from netlet.cli.progress import show_phases
from netlet.cli.results import say
from netlet.errors import DataError, MissingDataError, TooFewImagesError

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.experiments import TrainedNet
    from netlet.records import Confidence


def find_confidence(
    trained: TrainedNet,
    dataset: str | None = None,
    data_dir: Path | None = None,
    remedy: str = "pass --dataset PATH",
) -> Confidence | None:
    """Return the calibration of a net's confidence; if there is none, say why on stderr.

    Args:
        trained: The net.
        dataset: Name or path of the data set to calibrate with if no calibration lies beside the
            weights; None: the one that the net was trained on, if it is on this machine.
        data_dir: Folder with the files of a public data set.
        remedy: How to name a data set that is not public, for the message.
    """
    from netlet.experiments import load_confidence

    try:
        return load_confidence(trained) or calibrate_on(trained, dataset, data_dir, remedy)
    except DataError as error:
        _say_uncalibrated(error)
        return None


def calibrate_if_enough(
    trained: TrainedNet, dataset: str | None, data_dir: Path | None
) -> Confidence | None:
    """Calibrate a net's confidence with a data set; if it is too small, say so on stderr.

    Raises:
        DataError: The data set is missing or damaged, or does not fit the net.
    """
    try:
        return calibrate_on(trained, dataset, data_dir)
    except TooFewImagesError as error:
        _say_uncalibrated(error)
        return None


def _say_uncalibrated(reason: DataError) -> None:
    say(f"netlet: the confidence is not calibrated: {reason}")


def calibrate_on(
    trained: TrainedNet,
    dataset: str | None,
    data_dir: Path | None = None,
    remedy: str = "pass --dataset PATH",
) -> Confidence:
    """Calibrate a net's confidence with a data set; see :func:`find_confidence`.

    Raises:
        DataError: The data set is missing or damaged, or does not fit the net.
    """
    from netlet.experiments import calibrate_confidence

    name = dataset or (trained.run.data["name"] if trained.run else "mnist")
    images = load_dataset(name, data_dir) if dataset or data_dir else _load_local(name, remedy)
    with show_phases() as on_progress:
        on_progress(f"calibrating the confidence on {images.name}")
        return calibrate_confidence(trained, images)


def _load_local(name: str, remedy: str) -> Dataset:
    """Load a public data set that is on this machine.

    Raises:
        DataError: It is not public, or not on this machine.
    """
    from netlet.data import DATASET_NAMES, load, public_name

    if name not in DATASET_NAMES:
        whole = public_name(name)
        remedy = remedy if whole == name else remedy.replace("PATH", whole)
        raise DataError(f"{name} is not a public data set; {remedy}")
    try:
        return load(name, download=False)
    except MissingDataError as error:
        raise DataError(
            f"{name} is not on this machine; get it with 'netlet data get {name}'"
        ) from error
