"""The user's own images: a folder with one subfolder per class, or an ``.npz`` of arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from netlet.data.class_folders import MAX_CLASSES, MAX_SIDE_PX, load_class_folders
from netlet.data.dataset import Dataset
from netlet.data.npz import load_npz
from netlet.data.split import Split
from netlet.errors import DataError
from netlet.files import open_regular
from netlet.records.data_contradictions import CLASS_NAMES, checksum_of_class_names
from netlet.text import count_noun, format_shape

_VAL_SHARE = 6  # without test images, one image in six is held out of train


def load_user_images(path: Path | str, *, read_test: bool = True) -> Dataset:
    """Load images of one size up to 64x64 pixels, gray or color, of any number of classes.

    Args:
        path: A folder with one subfolder of images per class, or with ``train`` and ``test``
            folders that contain such subfolders; or an ``.npz`` with ``images`` (uint8 ``N H W``,
            ``N H W C`` or ``N C H W``, C 1 or 3) and ``labels``, and optionally ``test_images`` and
            ``test_labels`` (the names of Keras and MedMNIST work too).
        read_test: Whether to read the images that give the score. Without them, ``train`` is
            complete and ``held_out`` is empty.

    Returns:
        A data set whose ``held_out`` is ``test`` if there is one, else ``val``; without either, a
        sixth of ``train`` is held out as ``val``. Gray images have one channel; if any image is in
        color, all have three.

    Raises:
        DataError: With the file or entry, what was expected and what was found.
    """
    path = Path(path)
    if path.is_dir():
        dataset = load_class_folders(path, read_test=read_test)
    elif path.suffix == ".npz":
        dataset = load_npz(path, read_test=read_test)
    elif path.is_file():
        raise DataError(
            f"{path}: expected a folder with one subfolder of images per class, or an .npz with "
            "images and labels; name one of these"
        )
    else:
        open_regular(path, 0, DataError).close()  # says what it is instead
        raise DataError(
            f"{path}: is not a file; name a folder with one subfolder of images per class, or an "
            ".npz"
        )
    if dataset.classes < 2:
        raise DataError(
            f"{path}: found {dataset.classes} class, and a classifier needs at least 2; add images "
            "of another class"
        )
    if dataset.classes > MAX_CLASSES:
        raise DataError(
            f"{path}: found {dataset.classes:,} classes, more than {MAX_CLASSES:,}; "
            "give all images of a class the same label"
        )
    for split in (dataset.train, dataset.held_out):
        h, w = split.images.shape[2:]
        if min(h, w) < 1:
            raise DataError(f"{path}: images of {h}x{w} have no pixels; save them again")
        if max(h, w) > MAX_SIDE_PX:
            raise DataError(
                f"{path}: images of {h}x{w} are too large; "
                f"scale them to at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"
            )
    if dataset.train.images.shape[1:] != dataset.held_out.images.shape[1:]:
        raise DataError(
            f"{path}: images of train are {_image_shape(dataset.train)}, "
            f"of test {_image_shape(dataset.held_out)}; give all the same shape"
        )
    checksums = {
        split.name: split.sha256() for split in (dataset.train, dataset.held_out) if len(split)
    }
    checksums[CLASS_NAMES] = checksum_of_class_names(dataset.class_names)
    dataset = replace(dataset, checksums=checksums)
    return dataset if len(dataset.held_out) or not read_test else _hold_out_val(dataset, path)


def _hold_out_val(dataset: Dataset, path: Path) -> Dataset:
    fewest = int(torch.bincount(dataset.train.labels, minlength=dataset.classes).min())
    if fewest < 2:
        raise DataError(
            f"{path}: a class has {count_noun(fewest, 'image')}; give each class at least 2, or "
            "add a test set"
        )
    held = dataset.hold_out(max(dataset.classes, len(dataset.train) // _VAL_SHARE))
    return replace(held, held_out_on_loading=True)


def _image_shape(split: Split) -> str:
    return format_shape(split.images.shape[1:])
