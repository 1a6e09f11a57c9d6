"""Who hears of a training: the engine prints and writes nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from netlet.budgets import Budget
from netlet.recipes import Recipe
from netlet.records import Epoch, Run
from netlet.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Plan:
    """What is about to happen."""

    name: str
    recipe: Recipe
    budget: Budget | None
    seed: int
    data: str  # name of the data set
    steps_per_epoch: int
    train_images: int
    held_out: str  # name of the split that scores
    held_out_images: int
    device: str
    precision: str


@dataclass(frozen=True)
class Progress:
    """Where a running epoch stands."""

    epoch: int  # from 1
    step: int  # of this epoch, from 1
    images: int  # of this epoch so far
    loss: float  # of the last batch
    correct: int  # of the images so far
    lr: float


class Callback:
    """Hears of each event; overrides what it cares for."""

    def on_start(self, plan: Plan) -> None:
        """Before the first step."""

    def on_step(self, progress: Progress) -> None:
        """Every few steps, and after the last of each epoch."""

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """After each epoch: all epochs so far, and the net as it was scored (averaged, if the recipe says so)."""

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Before the first epoch, and after each: the training could go on from here."""

    def on_finish(self, run: Run, net: nn.Module) -> None:
        """After the last epoch, with everything recorded."""
