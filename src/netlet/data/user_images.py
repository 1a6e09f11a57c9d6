"""A person's own images: a folder of class folders, or an ``.npz`` of arrays."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from netlet.data.dataset import Dataset, Split
from netlet.errors import DataError
from netlet.files import write_whole

MAX_SIDE_PX = 64  # pixels along a side
_VAL_SHARE = 6  # where there are no images to test on, one in so many is held out of train
# The names under which the makers of such files keep images and labels: Keras and MedMNIST, and the
# plain ones.
_NPZ_TRAIN = (
    ("images", "labels"),
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("x", "y"),
)
_NPZ_TEST = (("test_images", "test_labels"), ("x_test", "y_test"))
_TRAIN_FOLDERS, _TEST_FOLDERS, _VAL_FOLDERS = (
    ("train", "training"),
    ("test", "testing"),
    ("val", "valid", "validation"),
)


def load_user_images(path: Path) -> Dataset:
    """Images of one's own, all of one size up to 64x64, gray or color, of any number of classes.

    Args:
        path: A folder with one folder of images for each class, or with ``train`` and ``test`` that
            hold such folders each; or an ``.npz`` with ``images`` (uint8 ``N H W``, ``N H W C`` or
            ``N C H W``, C 1 or 3) and ``labels``, and perhaps ``test_images`` and ``test_labels``
            (Keras's and MedMNIST's names are known too).

    Returns:
        A data set that is scored on its ``test``, or, where it has none, on its ``val``, or on a
        sixth held out of ``train``. Gray images have one channel; as soon as one is in color, all
        have three.

    Raises:
        DataError: With the file or entry at fault, what was expected and what was found.
    """
    if path.is_dir():
        dataset = _from_folder(path)
    elif path.suffix == ".npz":
        dataset = _from_npz(path)
    else:
        raise DataError(
            f"{path}: expected a folder of class folders, or an .npz with images and labels"
        )
    if dataset.classes < 2:
        raise DataError(
            f"{path}: found {dataset.classes} class; a net needs at least 2 to tell apart"
        )
    for split in (dataset.train, dataset.held_out):
        h, w = split.images.shape[2:]
        if max(h, w) > MAX_SIDE_PX:
            raise DataError(
                f"{path}: images of {h}x{w} are too large; scale them to at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"
            )
    if dataset.train.images.shape[1:] != dataset.held_out.images.shape[1:]:
        raise DataError(
            f"{path}: train has images of {_chw(dataset.train)}, test of {_chw(dataset.held_out)}; make them alike"
        )
    checksums = {
        split.name: split.sha256() for split in (dataset.train, dataset.held_out) if len(split)
    }
    checksums["class names"] = hashlib.sha256("\n".join(dataset.class_names).encode()).hexdigest()
    whole = Dataset(dataset.name, dataset.train, dataset.held_out, dataset.class_names, checksums)
    return whole if len(whole.held_out) else _with_val(whole, path)


def _with_val(dataset: Dataset, path: Path) -> Dataset:
    fewest = int(torch.bincount(dataset.train.labels, minlength=dataset.classes).min())
    if fewest < 2:
        raise DataError(
            f"{path}: a class has {fewest} image; give each at least 2, or a test set beside the train set"
        )
    return dataset.hold_out(max(dataset.classes, len(dataset.train) // _VAL_SHARE))


def save_npz(dataset: Dataset, path: Path) -> None:
    """Write a data set as an ``.npz`` that :func:`load_own` reads, whole or not at all.

    Raises:
        DataError: The name does not end in ``.npz``, or the file cannot be written.
    """
    if path.suffix != ".npz":
        raise DataError(f"{path}: is to be an .npz; name it {path.with_suffix('.npz')}")
    content = io.BytesIO()
    names = np.array(dataset.class_names)
    np.savez_compressed(
        content,
        images=dataset.train.images.numpy(),
        labels=names[dataset.train.labels.numpy()],
        test_images=dataset.held_out.images.numpy(),
        test_labels=names[dataset.held_out.labels.numpy()],
    )
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); name another with --out"
        ) from error


# --- folders
# -----------------------------------------------------------------------------------------------------


def _from_folder(path: Path) -> Dataset:
    train, test, val = (
        _below(path, names) for names in (_TRAIN_FOLDERS, _TEST_FOLDERS, _VAL_FOLDERS)
    )
    if test and not train:
        raise DataError(
            f"{path}: holds {test.name} but no train; put the images to train on into {path / 'train'}"
        )
    # What a person holds out for choosing stays out of train, and is a judge where there is no
    # other.
    judge = {"test": test} if test else {"val": val} if val and train else {}
    parts = {"train": train or path, **judge}
    names = sorted(
        {folder.name for part in parts.values() for folder in _class_folders(part)}, key=_natural
    )
    if not names:
        raise DataError(
            f"{path}: holds no class folders; make one for each class and put its images in"
        )
    images, labels = {}, {}
    for split, part in parts.items():
        files = [(file, k) for k, name in enumerate(names) for file in _image_files(part / name)]
        images[split] = [_picture(file) for file, _ in files]
        labels[split] = torch.tensor([k for _, k in files], dtype=torch.int64)
        _same_size(images[split], [file for file, _ in files])
        for k, name in enumerate(names):
            if not (labels[split] == k).any():
                raise DataError(
                    f"{part / name}: holds no images (PNG, JPEG, ...); fill it, or take the class out"
                )
    color = any(picture.ndim == 3 for pictures in images.values() for picture in pictures)
    splits = {
        split: Split(
            split, torch.stack([_channels(picture, color) for picture in pictures]), labels[split]
        )
        for split, pictures in images.items()
    }
    held_out = (
        splits.get("test") or splits.get("val") or splits["train"].take(torch.arange(0), "test")
    )
    return Dataset(f"{path.resolve().name}/", splits["train"], held_out, tuple(names))


def _below(path: Path, names: Sequence[str]) -> Path | None:
    """The folder of a split, if there is one; a class may be called so, too, and then holds images and no folders."""
    return next(
        (path / name for name in names if (path / name).is_dir() and _class_folders(path / name)),
        None,
    )


def _class_folders(path: Path) -> list[Path]:
    try:
        return [
            child
            for child in path.iterdir()
            if child.is_dir() and not child.name.startswith((".", "__"))
        ]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    known = {
        suffix
        for suffix, image_format in Image.registered_extensions().items()
        if image_format in _safe_formats()
    }
    files = (file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted(
        (file for file in files if file.suffix.lower() in known),
        key=lambda file: _natural(file.name),
    )


@functools.cache
def _safe_formats() -> tuple[str, ...]:
    """Return the formats that Pillow reads by itself; for EPS it would start Ghostscript on a stranger's file."""
    Image.init()
    return tuple(image_format for image_format in Image.OPEN if image_format != "EPS")


def _natural(name: str) -> tuple[int, str]:
    # "10" after "9": classes are often numbers.
    return (int(name), name) if name.isdecimal() else (1 << 62, name)


def _picture(file: Path) -> NDArray[np.uint8]:
    """``H W`` for a gray image, ``H W 3`` for one in color."""
    try:
        with Image.open(file, formats=_safe_formats()) as opened:
            # Before its pixels are read: the head of a small file may promise a gigantic image.
            if max(opened.size) > MAX_SIDE_PX:
                w, h = opened.size
                raise DataError(
                    f"{file}: {h}x{w} is too large; scale all images to at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"
                )
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I;16") or picture.mode == "I":
                return (np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)
            if picture.has_transparency_data:
                # Transparent is what lies under it: paper.
                paper = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")
            if picture.mode in ("1", "L"):
                return np.asarray(picture.convert("L"))
            pixels = np.asarray(picture.convert("RGB"))
    except DataError:
        raise
    except Exception as error:  # what image readers raise on rubbish is anybody's guess
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{file}: cannot be read as an image ({reason}); mend or remove it"
        ) from error
    gray = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0] if gray else pixels


def _same_size(pictures: Sequence[NDArray[np.uint8]], files: Sequence[Path]) -> None:
    for picture, file in zip(pictures, files, strict=True):
        if picture.shape[:2] != pictures[0].shape[:2]:
            h, w = picture.shape[:2]
            first = "x".join(map(str, pictures[0].shape[:2]))
            raise DataError(
                f"{file}: is {h}x{w} where {files[0].name} is {first}; scale all images to one size"
            )


def _channels(picture: NDArray[np.uint8], color: bool) -> torch.Tensor:
    if color and picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    pixels = torch.from_numpy(np.array(picture))
    return pixels.permute(2, 0, 1).contiguous() if picture.ndim == 3 else pixels.unsqueeze(0)


# --- arrays
# ------------------------------------------------------------------------------------------------------


def _from_npz(path: Path) -> Dataset:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except Exception as error:  # from a broken zip, a broken array, or no zip at all
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = "an array of Python objects" if "pickle" in reason else reason
        raise DataError(f"{path}: cannot be read as an .npz of arrays ({reason})") from error
    train = _pair(arrays, _NPZ_TRAIN)
    if train is None:
        there = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path}: expected 'images' and 'labels' (or x_train and y_train), found {there}"
        )
    test = _pair(arrays, _NPZ_TEST)
    known = np.unique(arrays[train[1]])
    first = _array_split(path, "train", arrays, train, known)
    second = (
        _array_split(path, "test", arrays, test, known)
        if test
        else first.take(torch.arange(0), "test")
    )
    return Dataset(path.name, first, second, tuple(map(str, known.tolist())))


def _pair(
    arrays: dict[str, NDArray[np.generic]], names: Sequence[tuple[str, str]]
) -> tuple[str, str] | None:
    return next((pair for pair in names if pair[0] in arrays and pair[1] in arrays), None)


def _array_split(
    path: Path,
    name: str,
    arrays: dict[str, NDArray[np.generic]],
    pair: tuple[str, str],
    known: NDArray[np.generic],
) -> Split:
    images, labels = arrays[pair[0]], arrays[pair[1]]
    at = f"{path}[{pair[0]!r}]"
    if images.dtype != np.uint8:
        raise DataError(
            f"{at}: expected uint8 gray levels 0 to 255, found {images.dtype}; convert and save it anew"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    elif images.ndim != 4 or images.shape[1] not in (1, 3):
        found = "x".join(map(str, images.shape))
        raise DataError(
            f"{at}: expected N H W, N H W C or N C H W with one or three channels, found {found}"
        )
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iuUb" or len(labels) != len(images):
        found = f"{labels.dtype} {'x'.join(map(str, labels.shape))}"
        raise DataError(
            f"{path}[{pair[1]!r}]: expected one whole number or word for each of {len(images):,} images, found {found}"
        )
    if not len(images):
        raise DataError(f"{at}: holds no images")
    if strange := sorted(set(labels.tolist()) - set(known.tolist())):
        raise DataError(f"{path}[{pair[1]!r}]: {strange[0]!r} is no class of the training images")
    numbers = torch.from_numpy(np.searchsorted(known, labels).astype(np.int64))
    return Split(name, torch.from_numpy(np.ascontiguousarray(images).astype(np.uint8)), numbers)


def _chw(split: Split) -> str:
    return "x".join(map(str, split.images.shape[1:]))
