"""Read and write images and labels as an ``.npz`` of arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from netlet.data.dataset import Dataset
from netlet.data.split import Split
from netlet.errors import DataError
from netlet.files import open_regular
from netlet.outputs import write_output
from netlet.text import format_shape

# Names of images and labels in an .npz: the plain ones, and those of Keras and MedMNIST.
_NPZ_TRAIN = (
    ("images", "labels"),
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("x", "y"),
)
_NPZ_TEST = (("test_images", "test_labels"), ("x_test", "y_test"))
_MAX_BYTES = 1 << 30  # of the file, and of an array in it
# A larger array than this is not read if it takes less than one byte in 500 of the file.
_MAX_SUSPICIOUS_BYTES, _MAX_RATIO = 1 << 27, 500
_MAX_LETTERS = 200  # of a class name
_LISTED = 10  # names of arrays to list


def load_npz(path: Path, *, read_test: bool = True) -> Dataset:
    """Read an ``.npz`` with images and labels, and optionally test images and labels.

    Only these arrays are read, and only after their headers were checked.

    Args:
        path: The path of the file.
        read_test: Whether to read test images, if there are any.

    Returns:
        A data set without checksums; ``held_out`` is empty if there are no test images.

    Raises:
        DataError: With the file or array, what was expected and what was found.
    """
    with open_regular(path, _MAX_BYTES, DataError) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = _list_entries(path, archive)
                train = _read_pair(path, archive, entries, _NPZ_TRAIN)
                test = _read_pair(path, archive, entries, _NPZ_TEST) if read_test else None
        except DataError:
            raise
        except Exception as error:  # a broken zip, a broken array, or no zip at all
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            raise DataError(
                f"{path}: cannot be read as an .npz of arrays ({reason}); save it again"
            ) from error
    if train is None:
        names = list(entries)
        more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
        found = ", ".join(names[:_LISTED]) + more or "nothing"
        raise DataError(
            f"{path}: expected 'images' and 'labels' (or x_train and y_train), found {found}; save "
            "the arrays under these names"
        )
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


def _list_entries(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's entries by the name of their array.

    Raises:
        DataError: Two entries have the same name: which one counts differs between programs.
    """
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        if name in entries:
            raise DataError(f"{path}: contains {name!r} twice; save it again")
        entries[name] = entry
    return entries


def _read_pair(
    path: Path,
    archive: zipfile.ZipFile,
    entries: Mapping[str, zipfile.ZipInfo],
    names: Sequence[tuple[str, str]],
) -> _Arrays | None:
    """Return the first pair of arrays that have one of the pairs of names."""
    for images, labels in names:
        if images in entries and labels in entries:
            at = (f"{path}[{images!r}]", f"{path}[{labels!r}]")
            # Labels first: they are small, and without them the images are of no use.
            found = _read_array(archive, entries[labels], at[1])
            return _Arrays(_read_array(archive, entries[images], at[0]), found, *at)
    return None


def _read_array(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str
) -> NDArray[np.generic]:
    """Read an array after comparing its size with its header and with the archive's.

    Raises:
        DataError: The sizes differ, the array is too large, or it holds Python objects.
    """
    size, packed = entry.file_size, max(entry.compress_size, 1)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: is compressed in a way NumPy does not use; save it again")
    if size > _MAX_BYTES:
        raise DataError(
            f"{where}: has {size:,} bytes, more than {_MAX_BYTES:,}; save fewer or smaller images"
        )
    if size > _MAX_SUSPICIOUS_BYTES and size > _MAX_RATIO * packed:
        raise DataError(
            f"{where}: unpacks from {packed:,} to {size:,} bytes, more than {_MAX_RATIO} times as "
            "many; save it without compression, as with np.savez"
        )
    with archive.open(entry) as file:
        shape, dtype = _read_header(file)
        if dtype.hasobject:
            raise ValueError("an array of Python objects")
        expected = file.tell() + prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != expected:
        raise DataError(
            f"{where}: has {size:,} bytes, but its header announces {expected:,} for {dtype} "
            f"{format_shape(shape)}; save it again"
        )
    with archive.open(entry) as file:
        values: NDArray[np.generic] = npy.read_array(file, allow_pickle=False)
    return values


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Return shape and type of the array in an ``.npy`` file."""
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    return shape, dtype


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
            f"found {format_shape(images.shape)}; save it in one of these shapes"
        )
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or len(labels) != len(images):
        raise DataError(
            f"{arrays.labels_at}: expected one whole number or word for each of "
            f"{len(images):,} images, found {labels.dtype} {format_shape(labels.shape)}; save one "
            "for each"
        )
    if labels.dtype.kind not in "iuUb":
        kind = "str" if labels.dtype.kind == "S" else "int64"
        raise DataError(
            f"{arrays.labels_at}: expected whole numbers or words, found {labels.dtype}; convert "
            f'them with labels.astype("{kind}") and save them again'
        )
    if labels.dtype.kind == "U" and labels.dtype.itemsize > 4 * _MAX_LETTERS:
        raise DataError(
            f"{arrays.labels_at}: its labels have up to {labels.dtype.itemsize // 4:,} characters; "
            f"use names of at most {_MAX_LETTERS}"
        )
    if not len(images):
        raise DataError(f"{arrays.images_at}: contains no images; add some")
    if unknown := sorted(set(labels.tolist()) - set(classes.tolist())):
        raise DataError(
            f"{arrays.labels_at}: {unknown[0]!r} is not a class of the training images; add "
            "training images of it, or remove its test images"
        )
    numbers = torch.from_numpy(np.searchsorted(classes, labels).astype(np.int64))
    return Split(name, torch.from_numpy(np.ascontiguousarray(images, np.uint8)), numbers)


def save_npz(dataset: Dataset, path: Path | str) -> None:
    """Write a data set as an ``.npz`` that :func:`load_user_images` reads, complete or not at all.

    Raises:
        DataError: The name does not end in ``.npz``.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        named = path.with_suffix(".npz") if path.name else "few.npz"
        raise DataError(f"{path}: the name must end in .npz; use {named}")
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
