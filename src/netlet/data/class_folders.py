"""Read images from folders, one for each class; list what is left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from netlet.data.dataset import Dataset
from netlet.data.image_files import FORMATS_TEXT, SUFFIXES, has_sixteen_bits, open_image
from netlet.data.split import Split
from netlet.errors import DataError
from netlet.text import format_shape

MAX_SIDE_PX = 64
MAX_CLASSES = 1_000
_MAX_BYTES = 1 << 24  # of a file
_TRAIN_FOLDERS, _TEST_FOLDERS, _VAL_FOLDERS = (
    ("train", "training"),
    ("test", "testing"),
    ("val", "valid", "validation"),
)
_LISTED = 3  # names to show of each kind of entry that is left out


@dataclass(frozen=True)
class _LeftOut:
    """What a folder contains besides the images that are read."""

    root: Path
    names: dict[str, list[str]] = field(default_factory=dict)  # of entries, by the reason

    def add(self, path: Path, reason: str) -> None:
        self.names.setdefault(reason, []).append(str(path.relative_to(self.root)))

    def describe(self) -> tuple[str, ...]:
        """Return a text for each reason, with the number of entries and the first names."""
        lines = []
        for reason, names in sorted(self.names.items()):
            names = sorted(names)
            more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
            lines.append(f"{reason}: {len(names):,} ({', '.join(names[:_LISTED])}{more})")
        return tuple(lines)


def load_class_folders(path: Path, *, read_test: bool = True) -> Dataset:
    """Read a folder with a subfolder for each class, or with such folders for each split.

    Args:
        path: The path of the folder.
        read_test: Whether to read the images of ``test`` or ``val``, if there are any.

    Returns:
        A data set without checksums; ``held_out`` is empty if there is only ``train``.

    Raises:
        DataError: With the folder or file, and what is wrong with it.
    """
    folders = _find_split_folders(path)
    left_out = _LeftOut(path)
    _list_unused_folders(path, folders, left_out)
    names = _class_names(path, folders.values())
    if not read_test:
        folders = {"train": folders["train"]}
    images, labels = {}, {}
    for split, folder in folders.items():
        images[split], labels[split] = _read_class_folders(folder, names, left_out)
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
    return Dataset(
        f"{path.resolve().name}/",
        splits["train"],
        held_out,
        tuple(names),
        left_out=left_out.describe(),
    )


def _class_names(path: Path, folders: Iterable[Path]) -> list[str]:
    """Return the names of the classes in all splits, sorted.

    Raises:
        DataError: There are none, or two names or folders cannot be told apart.
    """
    found = [child for folder in folders for child in _class_folders(folder)]
    names = sorted({child.name for child in found}, key=_natural_key)
    if not names:
        raise DataError(
            f"{path}: has no subfolders of images; make one for each class and put its images in"
        )
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"{path}: found {len(names):,} classes, more than {MAX_CLASSES:,}; "
            "put the images of one class into one folder"
        )
    # On many systems these are one folder, and in a table they look alike.
    alike: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFKC", name).casefold().strip()
        if other := alike.get(key):
            raise DataError(
                f"{path}: the class folders {other!r} and {name!r} differ only in case, spaces or "
                "the encoding of letters; merge them or rename one"
            )
        alike[key] = name
    places: dict[Path, Path] = {}
    for child in found:
        place = child.resolve()
        if place in places:
            raise DataError(
                f"{child}: is the same folder as {places[place]}; remove one of the links"
            )
        places[place] = child
    return names


def _list_unused_folders(path: Path, used: Mapping[str, Path], left_out: _LeftOut) -> None:
    """List what lies beside the folders of the splits, and beside the classes in them."""
    for folder in {path, *used.values()}:
        classes = set() if folder not in used.values() else set(_class_folders(folder))
        for child in _entries(folder):
            if child in classes or child in used.values():
                continue
            if child.name.startswith((".", "__")):
                left_out.add(child, "hidden entries")
            elif child.is_dir():
                left_out.add(child, "folders that belong to no split")
            else:
                left_out.add(child, "files outside of class folders")


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
    folder: Path, names: Sequence[str], left_out: _LeftOut
) -> tuple[list[NDArray[np.uint8]], torch.Tensor]:
    """Return the images of a split as arrays, and their labels."""
    files = []
    for k, name in enumerate(names):
        found = _image_files(folder / name, left_out)
        if not found:
            raise DataError(
                f"{folder / name}: contains no images (PNG, JPEG, ...); "
                "add some, or remove the class"
            )
        files += [(file, k) for file in found]
    images = [_read_image(file) for file, _ in files]
    _check_same_size(images, [file for file, _ in files])
    return images, torch.tensor([k for _, k in files], dtype=torch.int64)


def _find_split_folder(path: Path, names: Sequence[str]) -> Path | None:
    """Return the folder of a split, if there is one.

    A class folder may have such a name, too; it contains images and no folders.
    """
    return next(
        (path / name for name in names if (path / name).is_dir() and _class_folders(path / name)),
        None,
    )


def _class_folders(path: Path) -> list[Path]:
    return [
        child
        for child in _entries(path)
        if not child.name.startswith((".", "__")) and child.is_dir()
    ]


def _entries(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error


def _image_files(folder: Path, left_out: _LeftOut) -> list[Path]:
    """Return the images of a class in the order of their names; list what else is there."""
    files = []
    for file in _entries(folder) if folder.is_dir() else []:
        if file.name.startswith("."):
            left_out.add(file, "hidden entries")
        elif file.is_dir():
            left_out.add(file, "folders inside class folders")
        elif file.suffix.lower() not in SUFFIXES:
            left_out.add(file, "files of other types")
        elif not file.is_file():
            left_out.add(file, "entries that are not files")
        else:
            files.append(file)
    return sorted(files, key=lambda file: _natural_key(file.name))


def _natural_key(name: str) -> tuple[int, str]:
    # Sorts "10" after "9", since classes are often numbers.
    return (int(name), name) if name.isdecimal() else (1 << 62, name)


def _read_image(file: Path) -> NDArray[np.uint8]:
    """Return ``H W`` for a gray image, ``H W 3`` for one in color."""
    try:
        with open_image(file, _MAX_BYTES) as opened:
            # Checked before the pixels are read: a small file may announce a gigantic image.
            w, h = opened.size
            if max(w, h) > MAX_SIDE_PX:
                raise _too_large_error(file, f"{h}x{w} is")
            _check_levels(file, opened)
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):
                return (np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)
            if picture.has_transparency_data:
                # Transparent areas show the paper below.
                paper = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")
            if picture.mode in ("1", "L"):
                return np.asarray(picture.convert("L"))
            pixels = np.asarray(picture.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise _too_large_error(file, "it is far") from error
    except UnidentifiedImageError as error:
        reason = "it is empty" if file.stat().st_size == 0 else "cannot identify its format"
        raise DataError(
            f"{file}: cannot be read as an image ({reason}); use a {FORMATS_TEXT}, or remove it"
        ) from error
    gray = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0] if gray else pixels


def _too_large_error(file: Path, what: str) -> DataError:
    return DataError(
        f"{file}: {what} too large; scale all images to at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"
    )


def _check_levels(file: Path, picture: Image.Image) -> None:
    """Refuse an image whose levels have no known range, or that is more than one image."""
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise DataError(
            f"{file}: has more than one frame; save each of them as an image of its own"
        )
    deep = picture.mode.startswith("I")
    if picture.mode == "F" or (deep and not has_sixteen_bits(picture)):
        raise DataError(
            f"{file}: has pixels of mode {picture.mode}, whose black and white are unknown; "
            "save it with 8 bits for each channel"
        )
    if deep and picture.has_transparency_data:
        raise DataError(f"{file}: has 16 bits and transparency; save it with 8 bits instead")


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
