"""What a data set must be called, so that a record of it is true."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

from netlet.data.dataset import Dataset
from netlet.data.sources import SOURCES
from netlet.errors import DataError, NetletWarning


def prepare_for_record(data: Dataset) -> Dataset:
    """Return a data set under another name if it has that of a public one, but not its images.

    Otherwise a budget for MNIST would judge a net that was trained on its test images, say. The
    checksums are then those of the images.

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
    differences = list(_find_differences(whole))
    if not differences:
        return data
    name = f"{data.name}, changed"
    warnings.warn(
        f"the data set is called {data.name}, but {differences[0]}; it is recorded as {name!r}, "
        f"which no budget for {data.name} judges; to choose the name, pass "
        "dataclasses.replace(data, name=...)",
        NetletWarning,
        stacklevel=3,
    )
    return replace(data, name=name, checksums={})


def _find_differences(whole: Dataset) -> Iterator[str]:
    """Return how a data set differs from the public one of its name."""
    if whole.name not in SOURCES:
        return
    if whole.counts is None:
        yield "was not read from its files"
        return
    for split, count in zip((whole.train, whole.held_out), whole.counts, strict=True):
        # Whoever must not see the test images reads the data set without any.
        if len(split) != count and (len(split) or split is whole.train):
            yield f"has {len(split):,} {split.name} images instead of {count:,}"
