"""Load any data set: a public one by name, ``scribble``, or the user's own images by path."""

from __future__ import annotations

import os
import re
from pathlib import Path

from netlet.data.dataset import Dataset
from netlet.data.download import OnProgress, fetch
from netlet.data.scribble import OnDraw, load_scribble
from netlet.data.source_files import cache_folder, find_source, read_source
from netlet.data.sources import SOURCES
from netlet.data.user_images import load_user_images
from netlet.errors import DataError, MissingDataError, did_you_mean

SCRIBBLE = "scribble"
DATASET_NAMES = (*SOURCES, SCRIBBLE)
_TAKEN = re.compile(r"(?P<whole>.+), [0-9,]+ training images")  # by Dataset.take


def load(
    name: str | Path = "mnist",
    folder: Path | str | None = None,
    *,
    download: bool = True,
    on_progress: OnProgress = lambda _: None,
    on_draw: OnDraw = lambda done, total: None,
    read_test: bool = True,
) -> Dataset:
    """Load a complete data set and check it.

    Args:
        name: ``mnist``, ``fashion_mnist``, ``kmnist`` or ``qmnist``; ``scribble``, which is
            generated and kept in the user's cache folder; or the path of the user's own images (see
            :func:`netlet.data.load_user_images`).
        folder: The folder of a public data set's files. By default ``NETLET_DATA``, the user's
            cache folder and torchvision's usual ``data`` folder are searched (see
            :func:`netlet.data.find_source`).
        download: Whether to download a public data set into the cache folder if it is not found and
            no folder is given.
        on_progress: A function that is called with the state of a download.
        on_draw: A function that is called with the number of images drawn and the total while
            ``scribble`` is generated.
        read_test: Whether to read the images that are not for training, ``test`` or the user's own
            ``val``. Without them, ``train`` is the same and ``held_out`` is empty.

    Raises:
        MissingDataError: A public data set was not found and cannot be downloaded.
        DataError: The name is unknown, or a file is damaged or is not what its name says.
    """
    check_name(name)
    known = str(name)
    if known not in DATASET_NAMES:
        if folder is not None:
            raise DataError(f"{name}: is a path; leave out --data-dir {folder} (folder in Python)")
        return load_user_images(Path(name), read_test=read_test)
    if known == SCRIBBLE:
        if folder is not None:
            raise DataError(
                f"{SCRIBBLE} is generated, not read from a folder; leave out --data-dir {folder} "
                "(folder in Python)"
            )
        return load_scribble(cache_folder(), on_draw, read_test=read_test)
    source = SOURCES[known]
    try:
        named = Path(folder) if folder is not None else None
        place = find_source(source, named, read_test=read_test)
        return read_source(source, place, read_test=read_test)
    except MissingDataError as error:
        if str(folder) in DATASET_NAMES:
            raise MissingDataError(
                f"{known} not found in the folder {folder}; for the data set {folder}, pass "
                f"--dataset {folder} (netlet.data.load('{folder}') in Python)"
            ) from error
        if folder is not None or not download:
            raise
    place = fetch(source, cache_folder() / source.name, on_progress)
    return read_source(source, place, read_test=read_test)


def public_name(name: str) -> str:
    """Return the name of the public data set whose test images a data set of this name has.

    Args:
        name: The name, which may be that of :meth:`Dataset.take`.

    Returns:
        It; any other name as it is.
    """
    taken = _TAKEN.fullmatch(name)
    return taken["whole"] if taken and taken["whole"] in DATASET_NAMES else name


def check_name(name: str | Path) -> None:
    """Check that a data set can be meant: that its name is known or its path exists.

    Raises:
        DataError: It is neither; with the names that there are.
    """
    known = str(name)
    if known in DATASET_NAMES:
        return
    is_path = isinstance(name, Path) or "/" in known or "." in known
    try:
        if os.path.lexists(known):
            return
    except ValueError as error:  # a null byte
        raise DataError(f"{known!r}: is not the name of a file; check it") from error
    if is_path:
        raise DataError(
            f"{name}: no such folder or file; public data sets are: {', '.join(DATASET_NAMES)}"
        )
    raise DataError(
        f"no data set {known!r}; {did_you_mean(known, DATASET_NAMES)}"
        f"choose one of {', '.join(DATASET_NAMES)}, "
        "or give the path of a folder with one subfolder of images per class, or of an .npz"
    )
