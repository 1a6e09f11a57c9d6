"""A data set as frames of bytes, for workers that do not share a disk with the driver."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import torch

from netlet.data import Dataset, Split


def to_frames(data: Dataset) -> Iterator[bytes | memoryview]:
    """Yield a data set in pieces, without a copy of its images.

    Args:
        data: The data set, on the CPU. What a validation split was held out of is left out.
    """
    splits = (data.train, data.held_out)
    header = {
        "name": data.name,
        "class_names": data.class_names,
        "checksums": dict(data.checksums),
        "original_labels": data.original_labels,
        "splits": [[split.name, list(split.images.shape)] for split in splits],
    }
    yield json.dumps(header).encode()
    for split in splits:
        for values in (split.images, split.labels):
            yield values.contiguous().numpy().reshape(-1).view(np.uint8).data


def from_frames(receive: Callable[[], bytes]) -> Dataset:
    """Return the data set that :func:`to_frames` has sent.

    Args:
        receive: A function that returns the next piece.

    Raises:
        ValueError: The pieces are not a data set.
    """
    header = json.loads(receive())
    splits = []
    for name, shape in header["splits"]:
        images = np.frombuffer(receive(), np.uint8).reshape(shape).copy()
        labels = np.frombuffer(receive(), np.int64).copy()
        splits.append(Split(name, torch.from_numpy(images), torch.from_numpy(labels)))
    train, held_out = splits
    labels = header["original_labels"]
    return Dataset(
        header["name"],
        train,
        held_out,
        tuple(header["class_names"]),
        header["checksums"],
        original_labels=None if labels is None else tuple(labels),
    )
