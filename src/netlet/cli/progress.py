"""Progress on stderr: bars on a terminal; elsewhere only lines for what takes minutes.

Everything here works without torch. What trains has :mod:`netlet.cli.training_progress`. tqdm is
imported with the first bar, since it reads the metadata of all installed packages.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlet.cli.interruption import say_interrupted
from netlet.cli.results import say
from netlet.progress import is_terminal
from netlet.text import escape_controls

if TYPE_CHECKING:
    from tqdm import tqdm

    from netlet.data import DownloadProgress
    from netlet.experiments import WorkerEvent
    from netlet.experiments.progress import SeedsBar

DELAY_S = 0.5  # a bar that would be gone at once is not shown


class Bar:
    """A progress bar on a terminal, nothing elsewhere.

    It is a callback, too: ``bar(done, total)`` is what ``evaluate``, ``make_scribble`` and the
    exports call as they go.

    Args:
        label: The text before the bar, until ``update`` changes it.
        unit: The unit of what is counted.
        delay: Seconds before the bar appears; ``DELAY_S`` if not given.
    """

    def __init__(self, label: str = "", unit: str = "img", delay: float | None = None) -> None:
        self._label, self._unit = label, unit
        self._delay = DELAY_S if delay is None else delay
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        self.update(done, total, self._label)

    def update(self, done: int, total: int | None, label: str) -> None:
        """Show progress under another label; a count that falls begins a new bar."""
        if not is_terminal():
            return
        label = escape_controls(label)
        if self._bar is not None and done < self._bar.n:
            self.close()
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=label,
                total=total,
                unit=self._unit,
                unit_scale=True,
                delay=self._delay,
                leave=False,
                file=sys.stderr,
            )
        self._bar.set_description_str(label, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def show_progress(label: str, unit: str = "img") -> Iterator[Bar]:
    """Show a bar while the block runs; the block passes it on as a callback."""
    bar = Bar(label, unit)
    try:
        yield bar
    finally:
        bar.close()


@contextmanager
def show_phases() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done while the block runs.

    Yields:
        A callback that takes the name of each phase, as the exports call it.
    """
    line = None
    if is_terminal():
        from tqdm import tqdm

        line = tqdm(bar_format="{desc} ({elapsed})", leave=False, file=sys.stderr)

    def show(phase: str) -> None:
        if line is not None:
            line.set_description_str(escape_controls(phase))

    try:
        yield show
    finally:
        if line is not None:
            line.close()


class DownloadBar:
    """Show a download: a bar per file on a terminal, a line per file elsewhere, and what failed.

    Args:
        failures: Whether to print which mirrors failed.
    """

    def __init__(self, *, failures: bool = True) -> None:
        self._failures = failures
        self._bar = Bar(unit="B")
        self._file = ""

    def __call__(self, event: DownloadProgress) -> None:
        """Show an event of the download."""
        if event.error:
            self.close()
            if self._failures:
                say(f"{event.file}: {event.mirror}: {event.error}")
            return
        if self._file != f"{event.mirror}{event.file}":
            self.close()
            self._file = f"{event.mirror}{event.file}"
            if not is_terminal():
                say(f"downloading {event.file} from {event.mirror}")
        self._bar.update(event.received, event.total, event.file)

    def close(self) -> None:
        """Remove the bar."""
        self._file = ""
        self._bar.close()


class WorkerLines:
    """Show studies: a line for each finished seed; on a terminal also a bar and all workers."""

    def __init__(self) -> None:
        self._bars: dict[int, tqdm[Any]] = {}
        self._total: SeedsBar | None = None

    def begin(self, name: str, seeds: int, left: int) -> None:
        """Show on a terminal that a study begins.

        Args:
            name: The name of the experiment.
            seeds: The number of seeds of the study.
            left: The number of seeds that are not finished yet.
        """
        from netlet.experiments.progress import SeedsBar

        self.close()
        if left and is_terminal():
            self._total = SeedsBar(name, seeds, left)

    def __call__(self, event: WorkerEvent) -> None:
        """Show an event of a worker."""
        worker = f"worker {event.worker + 1}: seed {event.seed}"
        ended, line = event.finished or event.error, f"{worker}: {event.error or event.score}"
        if not is_terminal():
            if ended:  # without tqdm, which loses a Ctrl-C that comes while it makes its lock
                say(line)
            return
        from tqdm import tqdm

        if ended:
            with tqdm.external_write_mode(sys.stderr):  # above the bars
                say(line)
        if self._total is not None:
            self._total(event)
        if event.worker not in self._bars:
            self._bars[event.worker] = tqdm(
                position=event.worker + (self._total is not None),
                bar_format="{desc}",
                leave=False,
                file=sys.stderr,
            )
        state = event.error or _describe_epoch(event)
        self._bars[event.worker].set_description_str(escape_controls(f"{worker}: {state}"))

    def close(self) -> None:
        """Remove the lines; say how many seeds are finished where there was a bar."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()
        if self._total is not None:
            self._total.close()
            self._total = None


def _describe_epoch(event: WorkerEvent) -> str:
    """Return how far a seed is: like ``epoch 3/5 (40%) loss 0.1234, 98 of 100 test images``."""
    if event.loss is None:
        return f"epoch {event.epochs}/{event.total_epochs} {event.score}"
    score = f", {event.score}" if event.score else ""
    return (
        f"epoch {event.epochs + 1}/{event.total_epochs} ({100 * event.epoch_share:.0f}%) "
        f"loss {event.loss:.4f}{score}"
    )


@contextmanager
def show_workers(folder: Path) -> Iterator[WorkerLines]:
    """Show workers while the block runs; on Ctrl-C, say what is kept.

    Args:
        folder: The folder where finished seeds are recorded.
    """
    lines = WorkerLines()
    try:
        yield lines
    except KeyboardInterrupt:
        lines.close()
        kept = f"finished seeds and checkpoints are kept in {folder}"
        say_interrupted(
            f"interrupted; {kept if folder.exists() else 'nothing has been trained yet'}, run the "
            "same command for the rest"
        )
        raise
    finally:
        lines.close()
