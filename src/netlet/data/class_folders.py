"""Read images from folders, one for each class."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from netlet.data.dataset import Dataset, Split
from netlet.errors import DataError
from netlet.text import format_shape

MAX_SIDE_PX = 64
_TRAIN_FOLDERS, _TEST_FOLDERS, _VAL_FOLDERS = (
    ("train", "training"),
    ("test", "testing"),
    ("val", "valid", "validation"),
)


def load_class_folders(path: Path) -> Dataset:
    """Read a folder with a subfolder for each class, or with such folders for each split.

    Returns:
        A data set without checksums; ``held_out`` is empty if there is only ``train``.

    Raises:
        DataError: With the folder or file, and what is wrong with it.
    """
    folders = _find_split_folders(path)
    names = sorted(
        {child.name for folder in folders.values() for child in _class_folders(folder)},
        key=_natural_key,
    )
    if not names:
        raise DataError(
            f"{path}: contains no class folders; make one for each class and put its images in"
        )
    images, labels = {}, {}
    for split, folder in folders.items():
        images[split], labels[split] = _read_class_folders(folder, names)
    color = any(picture.ndim == 3 for pictures in images.values() for picture in pictures)
    splits = {
        split: Split(
            split, torch.stack([_to_tensor(picture, color) for picture in pictures]), labels[split]
        )
        for split, pictures in images.items()
    }
    held_out = (
        splits.get("test") or splits.get("val") or splits["train"].take(torch.arange(0), "test")
    )
    return Dataset(f"{path.resolve().name}/", splits["train"], held_out, tuple(names))


def _find_split_folders(path: Path) -> dict[str, Path]:
    """Return the folders of ``train`` and, if there is one, of ``test`` or else ``val``."""
    train, test, val = (
        _find_split_folder(path, names) for names in (_TRAIN_FOLDERS, _TEST_FOLDERS, _VAL_FOLDERS)
    )
    if test and not train:
        raise DataError(
            f"{path}: contains {test.name} but no train; "
            f"put the images to train on into {path / 'train'}"
        )
    # A val folder is never trained on; without test images it gives the score.
    held_out = {"test": test} if test else {"val": val} if val and train else {}
    return {"train": train or path, **held_out}


def _read_class_folders(
    folder: Path, names: Sequence[str]
) -> tuple[list[NDArray[np.uint8]], torch.Tensor]:
    """Return the images of a split as arrays, and their labels."""
    files = [(file, k) for k, name in enumerate(names) for file in _image_files(folder / name)]
    images = [_read_image(file) for file, _ in files]
    labels = torch.tensor([k for _, k in files], dtype=torch.int64)
    _check_same_size(images, [file for file, _ in files])
    for k, name in enumerate(names):
        if not (labels == k).any():
            raise DataError(
                f"{folder / name}: contains no images (PNG, JPEG, ...); "
                "add some, or remove the class"
            )
    return images, labels


def _find_split_folder(path: Path, names: Sequence[str]) -> Path | None:
    """Return the folder of a split, if there is one.

    A class folder may have such a name, too; it contains images and no folders.
    """
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
        key=lambda file: _natural_key(file.name),
    )


@functools.cache
def _safe_formats() -> tuple[str, ...]:
    """Return the formats that Pillow reads by itself; for EPS it would start Ghostscript."""
    Image.init()
    return tuple(image_format for image_format in Image.OPEN if image_format != "EPS")


def _natural_key(name: str) -> tuple[int, str]:
    # Sorts "10" after "9", since classes are often numbers.
    return (int(name), name) if name.isdecimal() else (1 << 62, name)


def _read_image(file: Path) -> NDArray[np.uint8]:
    """Return ``H W`` for a gray image, ``H W 3`` for one in color."""
    try:
        with Image.open(file, formats=_safe_formats()) as opened:
            # Checked before the pixels are read: a small file may announce a gigantic image.
            if max(opened.size) > MAX_SIDE_PX:
                w, h = opened.size
                raise DataError(
                    f"{file}: {h}x{w} is too large; "
                    f"scale all images to at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"
                )
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I;16") or picture.mode == "I":
                return (np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)
            if picture.has_transparency_data:
                # Transparent areas show the paper below.
                paper = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")
            if picture.mode in ("1", "L"):
                return np.asarray(picture.convert("L"))
            pixels = np.asarray(picture.convert("RGB"))
    except DataError:
        raise
    except Exception as error:  # image readers raise exceptions of many types
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{file}: cannot be read as an image ({reason}); repair or remove it"
        ) from error
    gray = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0] if gray else pixels


def _check_same_size(pictures: Sequence[NDArray[np.uint8]], files: Sequence[Path]) -> None:
    for picture, file in zip(pictures, files, strict=True):
        if picture.shape[:2] != pictures[0].shape[:2]:
            h, w = picture.shape[:2]
            first = format_shape(pictures[0].shape[:2])
            raise DataError(
                f"{file}: is {h}x{w} but {files[0].name} is {first}; scale all images to one size"
            )


def _to_tensor(picture: NDArray[np.uint8], color: bool) -> torch.Tensor:
    """Return an image as ``C H W``."""
    if color and picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    pixels = torch.from_numpy(np.array(picture))
    return pixels.permute(2, 0, 1).contiguous() if picture.ndim == 3 else pixels.unsqueeze(0)
