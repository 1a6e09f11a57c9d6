"""Train a net before the one that a run records, on the same training images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence

import torch
from torch import nn

from netlet.data import Dataset
from netlet.recipes import Recipe
from netlet.records import Epoch, Run
from netlet.training.callbacks import Callback, Plan

_SCORED_IMAGES = 1_000  # training images that show how well the net has learned

Tell = Callable[[Callback, Plan, Sequence[Epoch]], None]


def train_beforehand(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    name: str,
    device: torch.device,
    callbacks: Sequence[Callback],
    tell: Tell,
) -> Generator[None, None, Run]:
    """Train a net on the training images alone, never on those that are held out, or ``test``.

    Args:
        net: The net; it is trained in place.
        data: The data set of the run that is recorded.
        recipe: How to train.
        seed: The seed of the training.
        name: What the net is called.
        device: The device to train on.
        callbacks: The callbacks of the run that is recorded.
        tell: Tells one of them of the plan before the first epoch, and of all epochs after each.

    Yields:
        Nothing, each time when the device has steps to do.

    Returns:
        The record of the training; its scores are those of training images.
    """
    from netlet.training.train_net import iterate_fit  # which trains nets beforehand

    return (
        yield from iterate_fit(
            net,
            _training_images_only(data),
            recipe,
            seed=seed,
            name=name,
            net_name=name,
            callbacks=[_Relay(callbacks, tell)],
            device=device,
            progress=False,
            warns=False,
        )
    )


def _training_images_only(data: Dataset) -> Dataset:
    """Return a data set without held-out images; some of the training images are scored instead."""
    scored = data.train.take(torch.arange(min(_SCORED_IMAGES, len(data.train))))
    return dataclasses.replace(data, held_out=scored, before_hold_out=None)


class _Relay(Callback):
    """Tells the callbacks of a run of the epochs of a net that is trained beforehand."""

    def __init__(self, callbacks: Sequence[Callback], tell: Tell) -> None:
        self._callbacks, self._tell = callbacks, tell
        self._plan: Plan | None = None

    def on_teacher(self, plan: Plan, epochs: Sequence[Epoch]) -> None:
        for callback in self._callbacks:
            callback.on_teacher(plan, epochs)

    def on_start(self, plan: Plan) -> None:
        self._plan = plan
        self._tell_all(())

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        self._tell_all(epochs)

    def _tell_all(self, epochs: Sequence[Epoch]) -> None:
        assert self._plan is not None
        for callback in self._callbacks:
            self._tell(callback, self._plan, epochs)
