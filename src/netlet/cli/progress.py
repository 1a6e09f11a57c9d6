"""Telling a person how a training goes: a bar on a terminal, one line for each epoch elsewhere; all on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from tqdm import tqdm

from netlet.cli.results import say
from netlet.records import Epoch
from netlet.training import CHECKPOINT, Listener, Plan, Progress, Recorder


class Narrator(Listener):
    """Shows loss, running accuracy, images per second and learning rate, and the held-out score of every epoch."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._plan: Plan | None = None

    def started(self, plan: Plan) -> None:
        """Say what is about to happen."""
        self._plan = plan
        say(
            f"\ntraining {plan.name} on {plan.data}: recipe {plan.recipe.name}, {plan.recipe.epochs} epochs of "
            f"{plan.train_images:,} images, batch {plan.recipe.batch_size}, seed {plan.seed}, {plan.device} {plan.precision}"
        )

    def stepped(self, progress: Progress) -> None:
        """Move the bar."""
        if not sys.stderr.isatty():
            return
        assert self._plan is not None
        bar = self._bar
        if bar is None:
            images = self._plan.train_images
            bar = self._bar = tqdm(
                total=images, unit="img", unit_scale=True, leave=False, file=sys.stderr
            )
        bar.set_description_str(
            f"Epoch={progress.epoch}/{self._plan.recipe.epochs} Batch={progress.step} loss={progress.loss:.4f} "
            f"Accuracy={100 * progress.correct / progress.images:.2f}% lr={progress.lr:.4f}",
            refresh=False,
        )
        bar.update(progress.images - bar.n)

    def epoch_ended(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """One line for the epoch."""
        assert self._plan is not None
        self.close()
        epoch = epochs[-1]
        speed = epoch.train.total / epoch.train_s
        say(
            f"epoch {epoch.epoch:>{len(str(self._plan.recipe.epochs))}}/{self._plan.recipe.epochs}  "
            f"{epoch.held_out.split} {epoch.held_out.correct:,}/{epoch.held_out.total:,} "
            f"({epoch.held_out.percent:.2f} %)  "
            f"train {epoch.train.percent:.2f} %  loss {epoch.train_loss:.4f}  lr {epoch.lr:.2g}  "
            f"{speed:,.0f} images/s  {epoch.train_s + epoch.score_s:.1f} s"
        )

    @contextmanager
    def telling_how_to_resume(self, recorder: Recorder) -> Iterator[None]:
        """Take the bar away in the end; if a person stops the run, say how it goes on."""
        try:
            yield
        except KeyboardInterrupt:
            self.close()
            if (recorder.folder / CHECKPOINT).is_file():
                say(
                    f"interrupted; 'netlet train --resume {recorder.folder}' goes on after the last whole epoch"
                )
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
