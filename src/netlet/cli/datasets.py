"""Load the data set that a command's options name, showing the download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netlet.cli.progress import DownloadBar, show_progress
from netlet.cli.results import say
from netlet.cli.settings import parse_shape
from netlet.errors import DataError, MissingDataError, OutputError
from netlet.records import locate_weights

if TYPE_CHECKING:
    from netlet import experiments
    from netlet.cli.option_groups import WeightOptions
    from netlet.data import Dataset, Split


def load_dataset(
    dataset: str,
    data_dir: Path | None,
    channels: int | None = None,
    *,
    failures: bool = True,
    read_test: bool = True,
) -> Dataset:
    """Load a data set, downloading it if need be.

    Args:
        dataset: A name or a path.
        data_dir: Folder with a public data set's files; None searches for them.
        channels: Repeat gray images to this many channels.
        failures: Whether to print which mirrors failed.
        read_test: Whether to read the images that are not for training.

    Raises:
        DataError: The data set is missing or damaged.
    """
    from netlet import data

    bar = DownloadBar(failures=failures)
    try:
        with show_progress("generating scribble") as drawing:
            loaded = data.load(
                dataset, data_dir, on_progress=bar, on_draw=drawing, read_test=read_test
            )
    finally:
        bar.close()
    for text in loaded.left_out:
        say(f"netlet: warning: {loaded.name}: left out {text}")
    return loaded.with_channels(channels) if channels else loaded


def say_repeated_images(images: Dataset, split: Split) -> None:
    """Warn of a user's images that are scored though a net is trained on them.

    Args:
        images: The data set. Public ones are not compared.
        split: The split of it that gives the score.
    """
    from netlet.data import DATASET_NAMES, count_repeated

    if images.name not in DATASET_NAMES:
        _say_repeated(images, count_repeated(images, split), split.name, len(split))


def say_repeated_in_folds(images: Dataset, folds: int) -> None:
    """Warn of a user's training images that are in several folds, each of which gives a score.

    Args:
        images: The data set. Public ones are not compared.
        folds: The number of folds.

    Raises:
        DataError: It has too few images for the folds.
    """
    from netlet.data import DATASET_NAMES
    from netlet.data.repeated_images import count_repeated_in_folds

    if images.name not in DATASET_NAMES:
        repeated = count_repeated_in_folds(images, folds)
        _say_repeated(images, repeated, "val", len(images.train))


def find_input(
    input_: str | None, classes: int | None, dataset: str | None
) -> tuple[tuple[int, ...], int | None]:
    """Return the shape of the images that a net is analyzed with, and the number of classes.

    Args:
        input_: The shape as text, if it was named; else it is that of the data set.
        classes: The number of classes, if it was named; else it is that of the data set.
        dataset: The data set that ``netlet.toml`` names; None: there is none, so the images are
            like MNIST's, and the number of classes is not known.

    Raises:
        DataError: The data set is missing or damaged.
        NetError: The shape is none.
    """
    from netlet.data import SCRIBBLE
    from netlet.data.sources import MNIST, SOURCES

    usual = (1, *MNIST.size)
    shape = None if input_ is None else parse_shape(input_)
    if not dataset or (shape and classes):
        return shape or usual, classes
    source = MNIST if dataset == SCRIBBLE else SOURCES.get(dataset)
    if source:  # what it has is known, also if it is not on this machine
        return shape or (1, *source.size), classes or len(source.class_names)
    try:
        images = load_dataset(dataset, None)
    except DataError as error:
        raise DataError(
            f"{error}; to do without this data set, which netlet.toml names, pass --input C,H,W "
            "and --classes K"
        ) from error
    return shape or images.shape, classes or images.classes


def _say_repeated(images: Dataset, repeated: int, split: str, total: int) -> None:
    from netlet.data import describe_repeated

    if repeated:
        say(f"netlet: warning: {images.name}: {describe_repeated(repeated, split, total)}")


def load_net(
    net: str, using: WeightOptions, dataset: str | None, data_dir: Path | None
) -> experiments.TrainedNet:
    """Return a net with its weights, for the images of a data set.

    Args:
        net: NET as given on the command line.
        using: Its weights. Those of a file say nothing of their images.
        dataset: The data set that was named, which does; None: MNIST.
        data_dir: Folder with a public data set's files.
    """
    from netlet.experiments import find_run

    if not dataset or using.weights is None or find_run(locate_weights(net)):
        return using.load(net)
    images = load_dataset(dataset, data_dir)
    return using.load(net, shape=images.shape, class_names=images.class_names)


def load_images_of(
    trained: experiments.TrainedNet,
    dataset: str | None,
    data_dir: Path | None,
    before_stand_in: Callable[[], None] = lambda: None,
) -> Dataset | None:
    """Load the data set that an export of a net is verified on.

    Args:
        trained: The net.
        dataset: The data set that was named; None: the one that the net was trained on.
        data_dir: Folder with a public data set's files.
        before_stand_in: Called before it is said that generated digits take the place of the data
            set; may raise an error.

    Returns:
        None if it is not on this machine, and none was named; it is said.
    """
    from netlet.data import DATASET_NAMES, load, public_name
    from netlet.data.recorded_data import refuse_trained_images

    run = trained.run
    name = dataset or (public_name(run.data["name"]) if run else "mnist")
    if dataset or data_dir:
        images = load_dataset(name, data_dir)
        if run:
            images = images.with_classes(trained.class_names)
            refuse_trained_images(run.data, images)
    else:
        if name not in DATASET_NAMES:
            before_stand_in()
            say(
                f"netlet: {name} is not a public data set; without --dataset PATH, a float32 "
                "export is verified on scribble, generated digits"
            )
            return None
        try:
            images = load(name, download=False)
        except MissingDataError:
            before_stand_in()
            say(
                f"netlet: {name} is not on this machine; verifying on scribble, generated digits, "
                "instead"
            )
            return None
    say_if_classes_are_no_digits(trained, images)
    channels = trained.shape[0]
    return images.with_channels(channels) if images.shape[0] == 1 != channels else images


def say_if_classes_are_no_digits(trained: experiments.TrainedNet, images: Dataset) -> None:
    """Warn of a data set whose classes are matched by number with those of a net for digits.

    Args:
        trained: The net; only the classes of weights that come with netlet are known to be digits.
        images: The data set.
    """
    from netlet.nets.pretrained import DIGITS
    from netlet.nets.shipped_weights import WEIGHTS_FOLDER

    names = images.class_names
    is_ours = trained.file is not None and trained.file.parent == WEIGHTS_FOLDER
    if is_ours and len(names) == len(DIGITS) and {*names} != {*DIGITS}:
        say(
            f"netlet: warning: {trained.name} was trained on the digits 0 to 9, and the classes of "
            f"{images.name} have other names; they are taken in their order: {names[0]} as 0, "
            f"{names[1]} as 1, ..."
        )


def check_outside_dataset(folder: Path, dataset: str | None) -> None:
    """Check that results do not go into a folder of images, where they would become a class.

    Args:
        folder: The folder for the results.
        dataset: A name or a path.

    Raises:
        OutputError: It is the data set's folder, or lies in it.
    """
    images = Path(dataset or "")
    if dataset and images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise OutputError(
            f"{folder}: lies in the data set {dataset}; name a folder outside of it with --out"
        )


def load_training_dataset(
    dataset: str | None,
    data_dir: Path | None,
    channels: int | None,
    judge: str | None = None,
    val: int | None = None,
) -> Dataset:
    """Load what to train on: the data set that was named, else MNIST, else ``scribble``.

    Raises:
        DataError: The data set that was named is missing or damaged, MNIST is damaged, or ``judge``
            is val and the run would be scored on test images, since ``val`` holds none out.
    """
    images = _load_named_or_mnist(dataset, data_dir, channels)
    if judge == "val" and not val and images.held_out.name != "val":
        raise DataError(
            f"--judge val: {images.name} has test images and none are held out, so the run would "
            "be scored on test; add --val N, or leave out --judge val"
        )
    scored = images.hold_out(val) if val else images
    say_repeated_images(scored, scored.held_out)
    return images


def _load_named_or_mnist(
    dataset: str | None, data_dir: Path | None, channels: int | None
) -> Dataset:
    if dataset or data_dir:
        return load_dataset(dataset or "mnist", data_dir, channels)
    try:
        return load_dataset("mnist", None, channels, failures=False)
    except MissingDataError:
        say(
            "netlet: warning: MNIST is not on this machine and cannot be downloaded; training on "
            "scribble, generated digits, instead ('netlet data get mnist' shows why)"
        )
        return load_dataset("scribble", None, channels)
