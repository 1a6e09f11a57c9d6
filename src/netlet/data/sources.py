"""Where data sets come from: a table of what each must be, and the folders in which it may lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray

from netlet.data.dataset import Dataset, Split
from netlet.data.idx import parse_idx, raw_content
from netlet.errors import DataError


@dataclass(frozen=True)
class File:
    """One IDX file of a data set: its name without ``.gz``, and the MD5 of its raw content."""

    name: str
    md5: str


@dataclass(frozen=True)
class Source:
    """A data set in four IDX files, and what they must hold."""

    name: str
    folder: str  # torchvision keeps the files under <root>/<folder>/raw
    classes: int
    size: tuple[int, int]  # H W
    train_images: File
    train_labels: File
    test_images: File
    test_labels: File
    train_count: int
    test_count: int

    @property
    def files(self) -> tuple[File, ...]:
        """All four."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels


MNIST = Source(
    name="mnist",
    folder="MNIST",
    classes=10,
    size=(28, 28),
    train_images=File("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    train_labels=File("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    test_images=File("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    test_labels=File("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
    train_count=60_000,
    test_count=10_000,
)

SOURCES = {source.name: source for source in (MNIST,)}


def load(name: str = "mnist", folder: Path | str | None = None) -> Dataset:
    """Load a data set from disk, whole and checked, or not at all.

    Args:
        name: A name from the table of sources.
        folder: Where its files lie. If not given: ``NETLET_DATA``, then the user's cache folder, then torchvision's
            usual ``data`` folder. In each, the files may lie in the folder itself, in one named like the data set,
            or as torchvision lays them out (``MNIST/raw``), plain or gzipped.

    Raises:
        DataError: The name is unknown, the files are not found, or one of them is not what it must be.
    """
    if name not in SOURCES:
        raise DataError(f"no data set {name!r}; there are: {', '.join(SOURCES)}")
    source = SOURCES[name]
    return read(source, find(source, Path(folder) if folder is not None else None))


def cache_folder() -> Path:
    """The user's cache folder for data sets, by the platform's conventions."""
    return Path(platformdirs.user_cache_dir("netlet", appauthor=False))


def find(source: Source, folder: Path | None = None) -> Path:
    """The folder that holds the four files.

    A folder that was named, by argument or by ``NETLET_DATA``, is the only one looked into: training on other files
    than the named ones would go unnoticed.

    Raises:
        DataError: No folder holds any of them, or one holds some but not all.
    """
    named = [folder] if folder else [Path(os.environ["NETLET_DATA"])] if os.environ.get("NETLET_DATA") else []
    roots = named or [cache_folder(), Path("data")]
    for place in (place for root in roots for place in _layouts(source, root)):
        missing = [file.name for file in source.files if _on_disk(place, file) is None]
        if not missing:
            return place
        if len(missing) < len(source.files):
            raise DataError(f"{place}: holds part of {source.name}; missing: {', '.join(missing)} (plain or .gz)")
    looked = ", ".join(str(root) for root in roots)
    raise DataError(
        f"{source.name} not found in {looked}; put its four IDX files ({source.files[0].name}, ..., plain or .gz) into "
        f"{named[0] if named else cache_folder() / source.name}, or name their folder with --data DIR or NETLET_DATA"
    )


def read(source: Source, folder: Path) -> Dataset:
    """Read and check the four files of a source.

    Raises:
        DataError: A file is not the known one, or its array is not of the promised shape; names the file, what was
            expected and what was found.
    """
    checksums: dict[str, str] = {}

    def array(file: File, expected: tuple[int, ...]) -> tuple[NDArray[np.uint8], Path]:
        path = _on_disk(folder, file)
        if path is None:
            raise DataError(f"{folder / file.name}: the file has vanished; get {source.name} anew")
        content = raw_content(path)
        values = parse_idx(content, path)
        if values.dtype != np.uint8 or values.ndim != len(expected):
            raise DataError(
                f"{path}: expected unsigned bytes of {len(expected)} dimensions, "
                f"found {values.dtype} of {values.ndim}; is this another file under its name?"
            )
        if values.shape != expected:
            raise DataError(f"{path}: expected {_shape(expected)}, found {_shape(values.shape)}")
        checksums[file.name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return values.astype(np.uint8, copy=False), path

    def split(name: str, image_file: File, label_file: File, number: int) -> Split:
        images, images_path = array(image_file, (number, *source.size))
        labels, labels_path = array(label_file, (number,))
        joined = join(name, images, labels, source.classes, labels_path)
        # Last, since "a label of 12" tells more than "another checksum".
        for file, path in ((image_file, images_path), (label_file, labels_path)):
            if checksums[file.name] != file.md5:
                raise DataError(
                    f"{path}: expected MD5 {file.md5} of the raw content, found {checksums[file.name]}; get it anew"
                )
        return joined

    return Dataset(
        name=source.name,
        train=split("train", source.train_images, source.train_labels, source.train_count),
        held_out=split("test", source.test_images, source.test_labels, source.test_count),
        classes=source.classes,
        checksums=checksums,
    )


def join(name: str, images: NDArray[np.uint8], labels: NDArray[np.uint8], classes: int, path: Path) -> Split:
    """Images ``N H W`` and their labels ``N`` as a split; ``path`` is for the messages.

    Raises:
        DataError: They differ in number, or a label is out of range.
    """
    if len(images) != len(labels):
        raise DataError(f"{path}: expected {len(images):,} labels for {len(images):,} images, found {len(labels):,}")
    if len(labels) and int(labels.max()) >= classes:
        at = int((labels >= classes).argmax())
        raise DataError(f"{path}: expected labels 0 to {classes - 1}, found {int(labels[at])} at index {at}")
    return Split(name, torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))


def _layouts(source: Source, root: Path) -> Iterator[Path]:
    yield root
    yield root / source.name
    yield root / source.folder / "raw"
    yield root / "raw"


def _on_disk(folder: Path, file: File) -> Path | None:
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if path.is_file():
            return path
    return None


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
