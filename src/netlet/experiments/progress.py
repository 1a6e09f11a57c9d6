"""The progress bar of a study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from netlet.experiments.events import WorkerEvent
from netlet.progress import open_bar, show_line, shows_progress
from netlet.text import count_noun, escape_controls

if TYPE_CHECKING:
    from tqdm import tqdm

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"


class SeedsBar:
    """A bar over the seeds of a study; it moves with every epoch of every worker.

    Args:
        name: The name of the experiment.
        seeds: The number of seeds of the study.
        left: The number of seeds that are not finished yet.
    """

    def __init__(self, name: str, seeds: int, left: int) -> None:
        self._name, self._seeds, self._left = name, seeds, left
        self._finished, self._failed = 0, 0
        self._running: dict[int, float] = {}  # seed -> share of its epochs
        self._bar: tqdm[Any] = open_bar(self._label(), left, "seed", _FORMAT)

    def __call__(self, event: WorkerEvent) -> None:
        """Show an event of a worker."""
        if event.finished or event.error:
            self._running.pop(event.seed, None)
            self._finished += event.finished
            self._failed += not event.finished
        elif event.total_epochs:
            self._running[event.seed] = (event.epochs + event.epoch_share) / event.total_epochs
        state = event.error or event.score
        if state:
            self._bar.set_postfix_str(escape_controls(f"seed {event.seed}: {state}"), refresh=False)
        self._bar.set_description_str(self._label(), refresh=False)
        done = self._finished + self._failed + sum(self._running.values())
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Remove the bar and write a line with the number of finished seeds."""
        self._bar.close()
        show_line(self._label())

    def _label(self) -> str:
        finished = self._seeds - self._left + self._finished
        failed = f", {self._failed} failed" if self._failed else ""
        return escape_controls(
            f"study {self._name}: {finished} of {count_noun(self._seeds, 'seed')} finished{failed}"
        )


@contextmanager
def show_seeds(
    name: str, seeds: int, left: int, progress: bool | None
) -> Iterator[SeedsBar | None]:
    """Show a bar while the block trains the seeds of a study.

    Args:
        name: The name of the experiment.
        seeds: The number of seeds of the study.
        left: The number of seeds that are not finished yet; without any there is no bar.
        progress: Whether to show the bar; None: in a terminal and in a notebook.

    Yields:
        A callback for the events of the workers, or None without a bar.
    """
    if not left or not shows_progress(progress):
        yield None
        return
    bar = SeedsBar(name, seeds, left)
    try:
        yield bar
    finally:
        bar.close()
