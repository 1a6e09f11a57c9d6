"""What a data set must be called, so that a record of it is true."""

from __future__ import annotations

import warnings
from dataclasses import replace

from netlet.data.dataset import Dataset
from netlet.data.sources import SOURCES
from netlet.errors import DataError, NetletWarning


def prepare_for_record(data: Dataset) -> Dataset:
    """Return a data set under another name if it has that of a public one, but not its images.

    Otherwise a budget for MNIST would judge a net that was trained on its test images, say. Images
    that are not those of the checksums get checksums of their own.

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
        return data if measured else replace(data, checksums={}, measured=None)
    name = f"{data.name}, changed"
    warnings.warn(
        f"the data set is called {data.name}, but has other images than its files; it is recorded "
        f"as {name!r}, which no budget for {data.name} judges; to choose the name, pass "
        "dataclasses.replace(data, name=...)",
        NetletWarning,
        stacklevel=3,
    )
    return replace(data, name=name, checksums={}, measured=None)
