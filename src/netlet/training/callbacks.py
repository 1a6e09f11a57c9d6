"""Callbacks: how other code follows a training. The trainer itself prints and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from netlet.budgets import Budget
from netlet.display import Displayed
from netlet.recipes import Recipe
from netlet.records import Epoch, Run
from netlet.records.values import TeacherValues
from netlet.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Plan(Displayed):
    """What a training will do, known before its first step."""

    name: str  # of the experiment
    recipe: Recipe
    budget: Budget | None
    seed: int
    data: str  # name of the data set
    steps_per_epoch: int
    train_images: int
    held_out: str  # name of the split that gives the score
    held_out_images: int
    device: str
    precision: str
    training_parameters: int = 0  # of the form in which the net is trained; 0: it is the net itself
    teacher: TeacherValues | None = None  # on whose logits the net is trained
    dropout: str = ""  # which rates of the net the recipe changes, in words; empty if none
    initial_weights_digest: str = ""  # empty if the seed initialized the weights
    net_digest: str = ""  # of its layers, sizes and receptive fields
    source_digest: str = ""  # of its code; empty if that is not known
    net: str = ""  # its name or address, for the record

    def only_for_training(self) -> dict[str, Any]:
        """Return what the training uses besides the net, as records state it."""
        found: dict[str, Any] = {}
        if self.training_parameters:
            found["training_parameters"] = self.training_parameters
        if self.teacher:
            found["teacher"] = self.teacher
        return found


@dataclass(frozen=True)
class Progress(Displayed):
    """The state of the running epoch."""

    epoch: int  # from 1
    step: int  # within the epoch, from 1
    images: int  # in this epoch so far
    loss: float  # of the last batch
    correct: int  # among the images so far
    lr: float


class Callback(Displayed):
    """Base class of callbacks; each event does nothing unless it is overridden.

    Callbacks run in the order in which they were passed to ``fit``.
    """

    def on_teacher(self, plan: Plan, epochs: Sequence[Epoch]) -> None:
        """Run before the first epoch of a teacher and after each, if one is trained beforehand.

        Args:
            plan: The plan of its training.
            epochs: Its epochs so far; they are scored on some of the training images.
        """

    def on_random_start(self, number: int, count: int, plan: Plan, epochs: Sequence[Epoch]) -> None:
        """Run before the first epoch of a random start and after each, if the recipe has any.

        Args:
            number: Which of them it is, from 1.
            count: How many there are.
            plan: The plan of its training.
            epochs: Its epochs so far; they are scored on some of the training images.
        """

    def on_start(self, plan: Plan) -> None:
        """Run before the first step."""

    def on_step(self, progress: Progress) -> None:
        """Run every few steps, and after the last step of each epoch."""

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Run after each epoch.

        Args:
            epochs: All epochs so far.
            net: The net that was scored; with averaged weights if the recipe averages.
        """

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Run before the first epoch and after each epoch.

        Args:
            checkpoint: A checkpoint from which ``fit`` can resume.
        """

    def on_finish(self, run: Run, net: nn.Module) -> None:
        """Run after the last epoch.

        Args:
            run: The complete record.
            net: The net with its final weights.
        """

    def on_end(self) -> None:
        """Run when the training ends, also if it fails or is interrupted."""
