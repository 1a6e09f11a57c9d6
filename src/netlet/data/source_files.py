"""Public data sets on this machine: the folders in which they may lie, and reading them whole and checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray

from netlet.data.dataset import Dataset, Split
from netlet.data.idx import read_file, parse_idx, decompress
from netlet.data.sources import SOURCES, File, Part, Source
from netlet.errors import DataError, MissingDataError


def cache_folder() -> Path:
    """The user's cache folder for data sets, by the platform's conventions."""
    return Path(platformdirs.user_cache_dir("netlet", appauthor=False))


def find_source(source: Source, folder: Path | None = None) -> Path:
    """The folder that holds a source's four files.

    Looked into: ``folder`` alone if it is given; else ``NETLET_DATA``, then the user's cache
    folder, then torchvision's usual ``data``. In each, the files may lie in the folder itself, in
    one named like the data set, or as torchvision lays them out (``MNIST/raw``), plain or gzipped.

    Raises:
        MissingDataError: No folder holds any of them.
        DataError: One holds some but not all.
    """
    set_by_hand = os.environ.get("NETLET_DATA")
    roots = (
        [folder]
        if folder
        else [*([Path(set_by_hand)] if set_by_hand else []), cache_folder(), Path("data")]
    )
    for place in (place for root in roots for place in _layouts(source, root)):
        missing = [file.name for file in source.files if find_file(place, file) is None]
        if not missing and not _holds_another(source, place):
            return place
        if (
            0 < len(missing) < len(source.files)
            and place.resolve() != (cache_folder() / source.name).resolve()
        ):
            # In the cache it is a download that was interrupted and can go on.
            raise DataError(
                f"{place}: holds part of {source.name}; missing: {', '.join(missing)} (plain or .gz)"
            )
    looked = ", ".join(str(root) for root in roots)
    raise MissingDataError(
        f"{source.name} not found in {looked}; 'netlet data get {source.name}' downloads it; or put its four IDX files "
        f"({source.files[0].name}, ..., plain or .gz) into {folder or cache_folder() / source.name}, "
        "or name their folder with --data DIR or NETLET_DATA"
    )


def read_source(source: Source, folder: Path) -> Dataset:
    """Read and check the four files of a source.

    Raises:
        DataError: A file is not the known one, or its array is not of the promised shape; names the
            file, what was expected and what was found.
    """
    checksums: dict[str, str] = {}
    return Dataset(
        name=source.name,
        train=_split(source, source.train, folder, checksums),
        held_out=_split(source, source.test, folder, checksums),
        class_names=source.class_names,
        checksums=checksums,
    )


def verify_checksum(file: File, content: bytes, path: Path, raw: bytes | None = None) -> str:
    """Hold a file's content, packed or not, against its checksum; ``path`` is for the messages.

    Args:
        file: What it should be.
        content: As it lies on the disk.
        path: Where.
        raw: The same unpacked, if that was done already.

    Returns:
        The MD5 of the raw content.

    Raises:
        DataError: It is another file; or nobody knows its raw content's checksum and it is not
            packed.
    """
    raw = decompress(content, path) if raw is None else raw
    found = md5 = _md5(raw)
    expected, of = file.md5, "raw content"
    if expected is None:
        if raw is content:
            raise DataError(
                f"{path}: cannot be verified unpacked, no checksum is known; keep the .gz as downloaded"
            )
        expected, of, found = file.gz_md5, ".gz", _md5(content)
    if found != expected:
        raise DataError(f"{path}: expected MD5 {expected} of the {of}, found {found}; get it anew")
    return md5


def make_split(
    name: str, images: NDArray[np.uint8], labels: NDArray[np.generic], classes: int, path: Path
) -> Split:
    """Images ``N H W`` and their labels ``N`` as a split; ``path`` is for the messages.

    Raises:
        DataError: They differ in number, or a label is out of range.
    """
    if len(images) != len(labels):
        raise DataError(
            f"{path}: expected {len(images):,} labels for {len(images):,} images, found {len(labels):,}"
        )
    numbers = labels.astype(np.int64)
    if len(numbers) and (numbers.max() >= classes or numbers.min() < 0):
        at = int(((numbers >= classes) | (numbers < 0)).argmax())
        raise DataError(
            f"{path}: expected labels 0 to {classes - 1}, found {numbers[at]} at index {at}"
        )
    return Split(name, torch.from_numpy(images).unsqueeze(1), torch.from_numpy(numbers))


def find_file(folder: Path, file: File) -> Path | None:
    """Where a folder holds a file, if it does."""
    # The .gz first: it can always be verified, and it is what a new download leaves beside a
    # damaged unpacked file.
    for path in (folder / f"{file.name}.gz", folder / file.name):
        if path.is_file():
            return path
    return None


def _split(source: Source, part: Part, folder: Path, checksums: dict[str, str]) -> Split:
    def content(file: File) -> tuple[bytes, Path]:
        path = find_file(folder, file)
        if path is None:
            raise DataError(f"{folder / file.name}: the file has vanished; get {source.name} anew")
        return read_file(path), path

    def array(
        raw: bytes, path: Path, kind: type[np.generic], expected: tuple[int, ...]
    ) -> NDArray[np.generic]:
        values = parse_idx(raw, path)
        if values.dtype != kind or values.ndim != len(expected):
            raise DataError(
                f"{path}: expected {np.dtype(kind)} of {len(expected)} dimensions, "
                f"found {values.dtype} of {values.ndim}; is this another file under its name?"
            )
        if values.shape != expected:
            raise DataError(f"{path}: expected {_shape(expected)}, found {_shape(values.shape)}")
        return values

    packed_images, images_path = content(part.images)
    raw_images = decompress(packed_images, images_path)
    packed_labels, labels_path = content(part.labels)
    raw_labels = decompress(packed_labels, labels_path)
    images = array(raw_images, images_path, np.uint8, (part.count, *source.size)).astype(
        np.uint8, copy=False
    )
    if "idx2" in part.labels.name:
        # QMNIST gives eight numbers an image; the first is the class.
        labels = array(raw_labels, labels_path, np.int32, (part.count, 8))[:, 0]
    else:
        labels = array(raw_labels, labels_path, np.uint8, (part.count,))
    joined = make_split(part.name, images, labels, len(source.class_names), labels_path)
    # Last, since "a label of 12" tells more than "another checksum".
    checksums[part.images.name] = verify_checksum(part.images, packed_images, images_path, raw_images)
    checksums[part.labels.name] = verify_checksum(part.labels, packed_labels, labels_path, raw_labels)
    return joined.take(torch.arange(part.first, part.count)) if part.first else joined


def _layouts(source: Source, root: Path) -> Iterator[Path]:
    # First where nothing else can lie: several data sets use MNIST's file names.
    yield root / source.name
    yield root / source.folder / "raw"
    yield root
    yield root / "raw"


def _holds_another(source: Source, place: Path) -> bool:
    """Whether the files under this source's names are known to be those of another."""
    path = find_file(place, source.test.labels)
    others = [other for other in SOURCES.values() if other.name != source.name]
    if path is None:
        return False
    try:
        content = read_file(path)
        md5s = {_md5(content), _md5(decompress(content, path))}
    except DataError:
        return False  # reading it will say what is wrong
    return any({other.test.labels.md5, other.test.labels.gz_md5} & md5s for other in others)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
