"""The progress bar of ``fit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from netlet.progress import open_bar, show_line
from netlet.records import Epoch, Run
from netlet.text import count_noun
from netlet.training.callbacks import Callback, Plan, Progress

if TYPE_CHECKING:
    from tqdm import tqdm


class ProgressBar(Callback):
    """A callback that shows one bar for the whole training, and a line when it ends.

    The bar has the epoch, the mean training loss and the held-out accuracy of the last complete
    epoch, and the time left.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._plan: Plan | None = None
        self._epochs = 0  # completed
        self._finished = False

    def on_teacher(self, plan: Plan, epochs: Sequence[Epoch]) -> None:
        """Show a bar of its own for the teacher."""
        if self._bar is None:
            name = f"training the teacher {plan.name}"
            self._bar = open_bar(name, plan.recipe.epochs, "epoch")
        self._bar.update(len(epochs) - self._bar.n)
        if len(epochs) == plan.recipe.epochs:
            self._close()

    def on_random_start(self, number: int, count: int, plan: Plan, epochs: Sequence[Epoch]) -> None:
        """Show one bar for all random starts."""
        if self._bar is None:
            total = count * plan.recipe.epochs
            self._bar = open_bar(f"{count} random starts of {plan.name}", total, "epoch")
        done = (number - 1) * plan.recipe.epochs + len(epochs)
        self._bar.update(done - self._bar.n)
        if done == self._bar.total:
            self._close()

    def on_start(self, plan: Plan) -> None:
        """Show the empty bar."""
        self._plan = plan
        total = plan.recipe.epochs * plan.train_images
        self._bar = open_bar(f"training {plan.name}", total, "img")

    def on_step(self, progress: Progress) -> None:
        """Move the bar."""
        assert self._plan is not None
        assert self._bar is not None
        before = (progress.epoch - 1) * self._plan.train_images
        if not self._bar.n and before:  # resumed: what others trained says nothing about the speed
            self._bar.n = self._bar.initial = self._bar.last_print_n = before
        self._bar.set_description_str(
            f"epoch {progress.epoch}/{self._plan.recipe.epochs}", refresh=False
        )
        if progress.epoch == 1:
            self._bar.set_postfix_str(f"loss {progress.loss:.4f}", refresh=False)
        self._bar.update(before + progress.images - self._bar.n)

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Show the epoch's loss and its held-out accuracy."""
        assert self._bar is not None
        epoch, self._epochs = epochs[-1], len(epochs)
        self._bar.set_postfix_str(
            f"loss {epoch.train_loss:.4f}, {epoch.held_out.split} {epoch.held_out.percent:.2f}%"
        )

    def on_finish(self, run: Run, net: nn.Module) -> None:
        """Write a line with the result."""
        self._finished = True
        self._close()
        verdict = f"; {run.verdict.label}: {run.verdict.state}" if run.verdict else ""
        show_line(
            f"trained {run.name} for {count_noun(len(run.epochs), 'epoch')} in "
            f"{run.times['total_s']:.1f} s: {run.last_epoch.score}{verdict}"
        )

    def on_end(self) -> None:
        """Remove the bar; write a line if the training did not finish."""
        started = self._bar is not None
        self._close()
        if started and not self._finished and self._plan:
            show_line(
                f"training {self._plan.name} stopped after {self._epochs} of "
                f"{count_noun(self._plan.recipe.epochs, 'epoch')}"
            )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
