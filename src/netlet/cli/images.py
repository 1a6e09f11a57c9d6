"""Which images a verb works on, and telling a person how a download of them comes along."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from netlet.cli.results import say
from netlet.errors import MissingDataError

if TYPE_CHECKING:
    from netlet.data import Dataset, Fetching

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME|PATH",
        help="mnist, fashion_mnist, kmnist, qmnist, scribble; or your own: a folder of class folders, or an .npz.",
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where the files of a public data set lie."),
]
Channels = Annotated[
    int | None,
    typer.Option(
        "--channels", metavar="N", min=1, help="Repeat gray images for a net that takes N."
    ),
]


class Bar:
    """Hears of a download: a bar for each file on a terminal, a line for each elsewhere, and each mirror's trouble.

    Args:
        troubles: Whether to tell of them.
    """

    def __init__(self, troubles: bool = True) -> None:
        self._troubles = troubles
        self._bar: tqdm[Any] | None = None
        self._file = ""

    def __call__(self, fetching: Fetching) -> None:
        """Show where a download stands."""
        if fetching.trouble:
            self.close()
            if self._troubles:
                say(f"{fetching.file}: {fetching.mirror}: {fetching.trouble}")
            return
        if self._file != f"{fetching.mirror}{fetching.file}":
            self.close()
            self._file = f"{fetching.mirror}{fetching.file}"
            if not sys.stderr.isatty():
                say(f"downloading {fetching.file} from {fetching.mirror}")
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(
                    total=fetching.total,
                    unit="B",
                    unit_scale=True,
                    desc=fetching.file,
                    leave=False,
                    file=sys.stderr,
                )
            self._bar.update(fetching.received - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        self._file = ""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def chosen_images(
    dataset: str, folder: Path | None, channels: int | None = None, *, troubles: bool = True
) -> Dataset:
    """The data set that a person asks for, downloaded if need be.

    Args:
        dataset: A name or a path.
        folder: Where the files of a public one lie, if that was said.
        channels: Repeat gray images to so many.
        troubles: Whether to tell of each mirror's.

    Raises:
        DataError: What was asked for is missing or damaged.
    """
    from netlet import data

    bar = Bar(troubles)
    try:
        loaded = data.load(dataset, folder, heard=bar)
    finally:
        bar.close()
    return loaded.with_channels(channels) if channels else loaded


def images_to_train_on(dataset: str | None, folder: Path | None, channels: int | None) -> Dataset:
    """The data set that a person asks for; without a choice MNIST, or, where that cannot be had, ``scribble``.

    Raises:
        DataError: What was asked for is missing or damaged, or MNIST is damaged.
    """
    if dataset or folder:
        return chosen_images(dataset or "mnist", folder, channels)
    try:
        return chosen_images("mnist", None, channels, troubles=False)
    except MissingDataError:
        say(
            "netlet: warning: MNIST is neither on this machine nor reachable; going on with scribble, digits drawn "
            "by a program ('netlet data get mnist' says why)"
        )
        return chosen_images("scribble", None, channels)
