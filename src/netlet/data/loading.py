"""The one door to all images: a public data set by name, ``scribble``, or a path to one's own."""

from __future__ import annotations

from pathlib import Path

from netlet.data.dataset import Dataset
from netlet.data.download import OnProgress, fetch
from netlet.data.source_files import cache_folder, find_source, read_source
from netlet.data.user_images import load_user_images
from netlet.data.scribble import load_scribble
from netlet.data.sources import SOURCES
from netlet.errors import DataError, MissingDataError, did_you_mean

SCRIBBLE = "scribble"
DATASET_NAMES = (*SOURCES, SCRIBBLE)


def load(
    name: str | Path = "mnist",
    folder: Path | str | None = None,
    *,
    download: bool = True,
    on_progress: OnProgress = lambda _: None,
) -> Dataset:
    """Load a data set whole and checked, or not at all.

    Args:
        name: ``mnist``, ``fashion_mnist``, ``kmnist``, ``qmnist``; ``scribble``, made by a program
            and kept in the user's cache folder; or the path of one's own images (see
            :func:`netlet.data.load_own`).
        folder: Where a public data set's files lie. If not given: ``NETLET_DATA``, the user's cache
            folder, torchvision's usual ``data`` folder (see :func:`netlet.data.find`).
        download: Fetch a public data set into the cache folder if it lies nowhere and no folder is
            given.
        on_progress: Hears how a download comes along.

    Raises:
        MissingDataError: A public data set that lies nowhere and cannot be fetched.
        DataError: The name is unknown, or something is not what it must be.
    """
    known = str(name)
    if known not in DATASET_NAMES and (
        isinstance(name, Path) or Path(known).exists() or "/" in known or "." in known
    ):
        if folder is not None:
            raise DataError(f"{name}: is a path already; leave away {folder}")
        if not Path(name).exists():
            raise DataError(
                f"{name}: no such folder or file; public data sets are: {', '.join(DATASET_NAMES)}"
            )
        return load_user_images(Path(name))
    if known not in DATASET_NAMES:
        raise DataError(
            f"no data set {known!r}; {did_you_mean(known, DATASET_NAMES)}there are: {', '.join(DATASET_NAMES)}, "
            "or the path of a folder of class folders or of an .npz"
        )
    if known == SCRIBBLE:
        if folder is not None:
            raise DataError(f"{SCRIBBLE} is made here and lies in no folder; leave away {folder}")
        return load_scribble(cache_folder())
    source = SOURCES[known]
    try:
        return read_source(source, find_source(source, Path(folder) if folder is not None else None))
    except MissingDataError:
        if folder is not None or not download:
            raise
    return read_source(source, fetch(source, cache_folder() / source.name, on_progress))
