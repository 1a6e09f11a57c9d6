"""The files of public data sets on this machine: find their folder, read and verify them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray

from netlet.data.dataset import Dataset
from netlet.data.idx import decompress, parse_header, parse_idx
from netlet.data.sources import SOURCES, File, Part, Source
from netlet.data.split import Split
from netlet.errors import DataError, MissingDataError
from netlet.files import read_regular
from netlet.text import format_shape, quote_shell

_PACKING_BYTES = 65_536  # gzip makes random bytes longer, but by less than this


def cache_folder() -> Path:
    """Return netlet's cache folder of the user, by the platform's conventions."""
    return Path(platformdirs.user_cache_dir("netlet", appauthor=False))


def find_source(source: Source, folder: Path | None = None, *, read_test: bool = True) -> Path:
    """Return the folder that contains a data set's four files, or those of its training images.

    If ``folder`` is given, only that is searched; otherwise ``NETLET_DATA``, then the user's cache
    folder, then torchvision's usual ``data``. In each, the files may lie in the folder itself, in a
    subfolder named like the data set, or as torchvision stores them (``MNIST/raw``), plain or
    gzipped.

    Args:
        source: The data set.
        folder: The folder to search.
        read_test: Whether the files of the test images are needed.

    Raises:
        MissingDataError: No folder contains any of them.
        DataError: A folder contains some of them but not all.
    """
    needed = source.files if read_test else (source.train.images, source.train.labels)
    from_environment = os.environ.get("NETLET_DATA")
    if folder:
        roots = [folder]
    else:
        roots = [*([Path(from_environment)] if from_environment else [])]
        roots += [cache_folder(), Path("data")]
    for place in (place for root in roots for place in _layouts(source, root)):
        missing = [file.name for file in needed if find_file(place, file) is None]
        if not missing and not _holds_another_source(source, place):
            return place
        # In the cache, some of the files mean an interrupted download, which can be resumed.
        is_cache = place.resolve() == (cache_folder() / source.name).resolve()
        if 0 < len(missing) < len(needed) and not is_cache:
            raise DataError(
                f"{place}: contains only part of {source.name}; "
                f"add the missing files: {', '.join(missing)} (plain or .gz)"
            )
    searched = ", ".join(str(root) for root in roots)
    files = f"its four IDX files ({source.files[0].name}, ..., plain or .gz)"
    get = f"netlet data get {source.name}"
    if folder:
        raise MissingDataError(
            f"{source.name} not found in {searched}; name the folder of {files}, leave out "
            f"--data-dir (folder in Python), or run '{get} --out {quote_shell(folder)}'"
        )
    raise MissingDataError(
        f"{source.name} not found in {searched}; '{get}' downloads it; or put {files} into "
        f"{cache_folder() / source.name}, "
        "or name their folder with --data-dir DIR (in Python folder=DIR) or NETLET_DATA"
    )


def read_source(source: Source, folder: Path, *, read_test: bool = True) -> Dataset:
    """Read and verify the four files of a data set.

    Args:
        source: The data set.
        folder: The folder with its files.
        read_test: Whether to read the test images; without them, ``held_out`` is empty.

    Raises:
        DataError: A file has the wrong checksum, or its array the wrong shape; with the path, the
            expected and the actual value.
    """
    checksums: dict[str, str] = {}
    train = _read_split(source, source.train, folder, checksums)
    return Dataset(
        name=source.name,
        train=train,
        held_out=(
            _read_split(source, source.test, folder, checksums)
            if read_test
            else train.take(torch.arange(0), source.test.name)
        ),
        class_names=source.class_names,
        checksums=checksums,
    )


def verify_checksum(file: File, content: bytes, path: Path, raw: bytes | None = None) -> str:
    """Compare a file's content, gzipped or not, with the known checksum.

    Args:
        file: The file it should be.
        content: The content as stored.
        path: The path of the file, for error messages.
        raw: The decompressed content, if the caller has it already.

    Returns:
        The MD5 of the raw content.

    Raises:
        DataError: The checksum is wrong; or the file is not gzipped and only the checksum of its
            ``.gz`` is known.
    """
    raw = decompress(content, path, file.bytes) if raw is None else raw
    found = md5 = _md5(raw)
    expected, of = file.md5, "raw content"
    if expected is None:
        if raw is content:
            raise DataError(
                f"{path}: cannot be verified, since only the checksum of the .gz is known; "
                "keep the .gz as downloaded"
            )
        expected, of, found = file.gz_md5, ".gz", _md5(content)
    if found != expected:
        raise DataError(
            f"{path}: expected MD5 {expected} of the {of}, found {found}; download it again"
        )
    return md5


def make_split(
    name: str, images: NDArray[np.uint8], labels: NDArray[np.generic], classes: int, path: Path
) -> Split:
    """Combine images and labels into a split.

    Args:
        name: The name of the split.
        images: The images, ``N H W``.
        labels: The labels ``N``, whole numbers of any type.
        classes: The number of classes.
        path: The path of the file of labels, for error messages.

    Raises:
        DataError: Images and labels differ in number, or a label is out of range.
    """
    if len(images) != len(labels):
        raise DataError(
            f"{path}: expected {len(images):,} labels for {len(images):,} images, "
            f"found {len(labels):,}; download it again"
        )
    numbers = labels.astype(np.int64)
    if len(numbers) and (numbers.max() >= classes or numbers.min() < 0):
        at = int(((numbers >= classes) | (numbers < 0)).argmax())
        raise DataError(
            f"{path}: expected labels 0 to {classes - 1}, found {numbers[at]} at index {at}; "
            "download it again"
        )
    return Split(name, torch.from_numpy(images).unsqueeze(1), torch.from_numpy(numbers))


def find_file(folder: Path, file: File) -> Path | None:
    """Return the path of a file in a folder, gzipped or plain, or None if it is not there."""
    # The .gz comes first: it can always be verified, and a new download leaves it beside a damaged
    # plain file.
    for path in (folder / f"{file.name}.gz", folder / file.name):
        if path.is_file():
            return path
    return None


def _read_split(source: Source, part: Part, folder: Path, checksums: dict[str, str]) -> Split:
    """Read the images and labels of a split; enter their checksums into ``checksums``."""
    stored_images, images_path = _read_stored(source, part.images, folder)
    raw_images = decompress(stored_images, images_path, part.images.bytes)
    stored_labels, labels_path = _read_stored(source, part.labels, folder)
    raw_labels = decompress(stored_labels, labels_path, part.labels.bytes)
    images = _parse_array(
        raw_images, images_path, np.uint8, expected=(part.count, *source.size)
    ).astype(np.uint8, copy=False)
    if "idx2" in part.labels.name:
        # QMNIST has eight numbers for each image; the first is the class.
        labels = _parse_array(raw_labels, labels_path, np.int32, expected=(part.count, 8))[:, 0]
    else:
        labels = _parse_array(raw_labels, labels_path, np.uint8, expected=(part.count,))
    split = make_split(part.name, images, labels, len(source.class_names), labels_path)
    # Checksums come last: "found a label of 12" is more helpful than "wrong checksum".
    checksums[part.images.name] = verify_checksum(
        part.images, stored_images, images_path, raw_images
    )
    checksums[part.labels.name] = verify_checksum(
        part.labels, stored_labels, labels_path, raw_labels
    )
    return split.take(torch.arange(part.first, part.count)) if part.first else split


def _read_stored(source: Source, file: File, folder: Path) -> tuple[bytes, Path]:
    path = find_file(folder, file)
    if path is None:
        raise DataError(
            f"{folder / file.name}: the file has disappeared; download {source.name} again"
        )
    return read_stored(file, path), path


def read_stored(file: File, path: Path) -> bytes:
    """Return the content of a file, gzipped or not, if it can be the file it should be.

    Raises:
        DataError: It cannot be read, or is too large.
    """
    return read_regular(path, file.bytes + _PACKING_BYTES, DataError)


def _parse_array(
    raw: bytes, path: Path, kind: type[np.generic], expected: tuple[int, ...]
) -> NDArray[np.generic]:
    shape, dtype = parse_header(raw, path)
    dtype = dtype.newbyteorder("=")
    if dtype != kind or len(shape) != len(expected):
        raise DataError(
            f"{path}: expected {np.dtype(kind)} of {len(expected)} dimensions, "
            f"found {dtype} of {len(shape)}; download it again"
        )
    if shape != expected:
        raise DataError(
            f"{path}: expected {format_shape(expected)}, found {format_shape(shape)}; "
            "download it again"
        )
    return parse_idx(raw, path)


def _layouts(source: Source, root: Path) -> Iterator[Path]:
    # Unambiguous folders come first, since several data sets use MNIST's file names.
    yield root / source.name
    yield root / source.folder / "raw"
    yield root
    yield root / "raw"


def _holds_another_source(source: Source, place: Path) -> bool:
    """Return whether the files are known to belong to another data set with the same file names."""
    path = find_file(place, source.train.labels)
    others = [other for other in SOURCES.values() if other.name != source.name]
    if path is None:
        return False
    try:
        content = read_stored(source.train.labels, path)
        md5s = {_md5(content), _md5(decompress(content, path, source.train.labels.bytes))}
    except DataError:
        return False  # reading the file will report what is wrong
    return any({other.train.labels.md5, other.train.labels.gz_md5} & md5s for other in others)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
