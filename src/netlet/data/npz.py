"""Read and write images and labels as an ``.npz`` of arrays."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.data.dataset import Dataset, Split
from netlet.errors import DataError
from netlet.files import write_output
from netlet.text import format_shape

# Names of images and labels in an .npz: the plain ones, and those of Keras and MedMNIST.
_NPZ_TRAIN = (
    ("images", "labels"),
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("x", "y"),
)
_NPZ_TEST = (("test_images", "test_labels"), ("x_test", "y_test"))


def load_npz(path: Path) -> Dataset:
    """Read an ``.npz`` with images and labels, and optionally test images and labels.

    Returns:
        A data set without checksums; ``held_out`` is empty if there are no test images.

    Raises:
        DataError: With the file or array, what was expected and what was found.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except Exception as error:  # a broken zip, a broken array, or no zip at all
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = "an array of Python objects" if "pickle" in reason else reason
        raise DataError(f"{path}: cannot be read as an .npz of arrays ({reason})") from error
    train = _find_pair(path, arrays, _NPZ_TRAIN)
    if train is None:
        found = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path}: expected 'images' and 'labels' (or x_train and y_train), found {found}"
        )
    test = _find_pair(path, arrays, _NPZ_TEST)
    classes = np.unique(train.labels)
    first = _convert_arrays("train", train, classes)
    second = _convert_arrays("test", test, classes) if test else first.take(torch.arange(0), "test")
    return Dataset(path.name, first, second, tuple(map(str, classes.tolist())))


@dataclass(frozen=True)
class _Arrays:
    """Images and labels as found in an ``.npz``, with their places for error messages."""

    images: NDArray[np.generic]
    labels: NDArray[np.generic]
    images_at: str
    labels_at: str


def _find_pair(
    path: Path, arrays: dict[str, NDArray[np.generic]], names: Sequence[tuple[str, str]]
) -> _Arrays | None:
    """Return the first pair of arrays that have one of the pairs of names."""
    for images, labels in names:
        if images in arrays and labels in arrays:
            return _Arrays(
                arrays[images], arrays[labels], f"{path}[{images!r}]", f"{path}[{labels!r}]"
            )
    return None


def _convert_arrays(name: str, arrays: _Arrays, classes: NDArray[np.generic]) -> Split:
    """Check arrays and turn them into a split; ``classes`` are the sorted labels of train."""
    images, labels = arrays.images, arrays.labels
    if images.dtype != np.uint8:
        raise DataError(
            f"{arrays.images_at}: expected uint8 gray levels 0 to 255, found {images.dtype}; "
            "convert it and save it again"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    elif images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"{arrays.images_at}: expected N H W, N H W C or N C H W with one or three channels, "
            f"found {format_shape(images.shape)}"
        )
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iuUb" or len(labels) != len(images):
        raise DataError(
            f"{arrays.labels_at}: expected one whole number or word for each of "
            f"{len(images):,} images, found {labels.dtype} {format_shape(labels.shape)}"
        )
    if not len(images):
        raise DataError(f"{arrays.images_at}: contains no images")
    if unknown := sorted(set(labels.tolist()) - set(classes.tolist())):
        raise DataError(f"{arrays.labels_at}: {unknown[0]!r} is not a class of the training images")
    numbers = torch.from_numpy(np.searchsorted(classes, labels).astype(np.int64))
    return Split(name, torch.from_numpy(np.ascontiguousarray(images).astype(np.uint8)), numbers)


def save_npz(dataset: Dataset, path: Path) -> None:
    """Write a data set as an ``.npz`` that :func:`load_user_images` reads, complete or not at all.

    Raises:
        DataError: The name does not end in ``.npz``.
        OutputError: The file cannot be written.
    """
    if path.suffix != ".npz":
        raise DataError(f"{path}: the name must end in .npz; use {path.with_suffix('.npz')}")
    content = io.BytesIO()
    names = np.array(dataset.class_names)
    np.savez_compressed(
        content,
        images=dataset.train.images.numpy(),
        labels=names[dataset.train.labels.numpy()],
        test_images=dataset.held_out.images.numpy(),
        test_labels=names[dataset.held_out.labels.numpy()],
    )
    write_output(path, content.getvalue())
