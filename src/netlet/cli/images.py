"""Which images a verb works on, and telling a person how a download of them comes along."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

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
    Path | None, typer.Option("--data", metavar="DIR", help="Where the files of a public data set lie.")
]
Channels = Annotated[
    int | None, typer.Option("--channels", metavar="N", min=1, help="Repeat grey images for a net that takes N.")
]


class Bar:
    """Hears of a download: a bar for each file on a terminal, a line for each elsewhere, and each mirror's trouble."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._file = ""

    def __call__(self, fetching: Fetching) -> None:
        """Show where a download stands."""
        if fetching.trouble:
            self.close()
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
                    total=fetching.total, unit="B", unit_scale=True, desc=fetching.file, leave=False, file=sys.stderr
                )
            self._bar.update(fetching.received - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        self._file = ""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def chosen_images(dataset: str | None, folder: Path | None, channels: int | None = None) -> Dataset:
    """The data set that a person asks for.

    Without a choice it is MNIST, or ``scribble``, with a warning, where MNIST is neither here nor reachable.

    Raises:
        DataError: What was asked for is missing or damaged.
    """
    from netlet import data

    bar = Bar()
    try:
        # Without a choice, the mirrors' troubles are no news: there is something else to train on.
        loaded = data.load(dataset or "mnist", folder, heard=bar if dataset else lambda _: None)
    except MissingDataError:
        if dataset or folder:
            raise
        say(
            "netlet: warning: MNIST is neither on this machine nor reachable; going on with scribble, digits drawn "
            "by a program ('netlet data get mnist' says why)"
        )
        loaded = data.load(data.SCRIBBLE)
    finally:
        bar.close()
    return loaded.with_channels(channels) if channels else loaded


def say(text: str) -> None:
    """To stderr, where progress goes."""
    print(text, file=sys.stderr, flush=True)
