"""What a data set must be called, so that a record of it is true, and which images it is of."""

from __future__ import annotations

from dataclasses import replace

from netlet.data.dataset import Dataset
from netlet.data.sources import SOURCES
from netlet.data.split import Split
from netlet.errors import DataError, warn
from netlet.records.data_contradictions import read_held_out
from netlet.records.values import DataDescription, DataSource


def prepare_for_record(data: Dataset) -> Dataset:
    """Return a data set under another name if it has that of a public one, but not its images.

    Otherwise a budget for MNIST would judge a net that was trained on its test images, say. Images
    that are not those of the checksums get checksums of their own, and so do names of classes.

    Args:
        data: The data set, with ``val`` or without.

    Raises:
        DataError: Its splits are not called as in records.

    Warns:
        NetletWarning: It has another name now.
    """
    if data.train.name != "train" or data.held_out.name == "train":
        raise DataError(
            f"{data.name}: its splits are called {data.train.name!r} and {data.held_out.name!r}; "
            "call the images to train on 'train' and the others 'test', as in "
            "Split('test', images, labels)"
        )
    whole = data.before_hold_out or data
    measured = data.is_measured and whole.is_measured
    source = SOURCES.get(data.name)
    if source is None or (measured and source.train.images.name in data.checksums):
        same = data if measured else replace(data, checksums={}, measured=None)
        return same.measure_class_names()
    name = f"{data.name}, changed"
    warn(
        f"the data set is called {data.name}, but has other images than its files; it is recorded "
        f"as {name!r}, which no budget for {data.name} judges; to choose the name, pass "
        "dataclasses.replace(data, name=...)"
    )
    return replace(data, name=name, checksums={}, measured=None)


def hold_out_as_recorded(recorded: DataSource, data: Dataset) -> Dataset | None:
    """Return a data set with the validation images that a run held out of it, if it held out some.

    Args:
        recorded: What the record says about its data set.
        data: The data set, as loaded or with other images held out.

    Returns:
        It, with its classes in the recorded order; None if it is not the recorded data set.
    """
    data = _order_classes(recorded, data)
    if _has_recorded_splits(recorded, data):
        return data
    whole = data.before_hold_out or data
    if _has_recorded_splits(recorded, whole):
        return whole
    how = read_held_out(recorded)
    val = recorded["images"].get("val")
    if how is None or not val:
        return None
    try:
        found = whole.hold_out_fold(**how) if "fold" in how else whole.hold_out(val, **how)
    except DataError:  # it has become too small
        return None
    return found if _has_recorded_splits(recorded, found) else None


def refuse_trained_images(recorded: DataDescription, data: Dataset) -> None:
    """Refuse a data set that holds images out of those that a run was trained on.

    Args:
        recorded: What the record of the run says about its data set.
        data: The data set, whose held-out images are to be scored.

    Raises:
        DataError: Its training images are those of the run, which did not hold out the same ones.
    """
    checksum = recorded["checksums"].get("train")  # public data sets have those of files
    if (
        checksum is not None
        and checksum == data.checksums.get("train")
        and data.before_hold_out is not None
        and hold_out_as_recorded(recorded, data) is None
    ):
        raise DataError(
            f"{data.name}: its {data.held_out.name} images are held out of those that the run was "
            f"trained on; pass {recorded['name']}, or images that are new"
        )


def _order_classes(recorded: DataSource, data: Dataset) -> Dataset:
    """Return a data set with the recorded classes in their order, or as it is if it has others."""
    names = recorded.get("class_names")  # not in checkpoints of version 0.1
    try:
        return data.with_classes(names) if isinstance(names, list | tuple) else data
    except DataError:
        return data


def _has_recorded_splits(recorded: DataSource, data: Dataset) -> bool:
    images = recorded["images"]  # not of all splits in checkpoints of version 0.1
    return recorded["digest"] == data.digest and all(
        images.get(split.name, len(split)) == len(split) for split in (data.train, data.held_out)
    )


def is_recorded_split(recorded: DataDescription, data: Dataset, split: Split) -> bool:
    """Return whether a split has the very images that a record names so.

    The whole data set need not be the recorded one: :meth:`Dataset.take` keeps the test images.

    Args:
        recorded: What the record says about its data set.
        data: The data set.
        split: A split of it. Records of earlier versions do not say how a ``val`` was held out of
            equal training images: only their number is compared.
    """
    if recorded["images"].get(split.name) != len(split):
        return False
    source = data if split.name == data.held_out.name else data.before_hold_out or data
    if recorded["digest"] == source.digest and data.is_measured:
        return True
    checksum = recorded["checksums"].get(split.name)
    if checksum is None or list(recorded["class_names"]) != list(data.class_names):
        return False
    if (original := data.with_original_labels()) is not data:
        split = original.split(split.name)  # as they were measured
    if checksum == split.sha256():
        return True
    gray = split.images[:, :1]  # likewise, if their channels are repeated ones
    repeated = split.images.shape[1] > 1 and bool((split.images == gray).all())
    return repeated and checksum == Split(split.name, gray, split.labels).sha256()
