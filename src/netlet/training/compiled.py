"""On a CPU: the step compiled for the very net, where the net is a chain of convolutions."""

from __future__ import annotations

import torch
from torch import nn

from netlet.data import Dataset
from netlet.native import NativeStep
from netlet.recipes import Recipe
from netlet.training.chance import Chance


class CompiledStep:
    """The engine's side of :class:`~netlet.native.NativeStep`.

    Raises:
        NotNative: That cannot be done.
    """

    kind = "compiled"

    def __init__(self, net: nn.Module, data: Dataset, recipe: Recipe, precision: str, chance: Chance) -> None:
        # One more than a batch: a lone last image joins the batch before.
        self._step = NativeStep(net, data.shape, recipe.batch + 1, half=precision == "bf16")
        self._smoothing, self._chance = recipe.label_smoothing, chance
        self._losses: list[float] = []
        self._right = 0

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """See :class:`~netlet.training.steps.Step`."""
        seed = int(self._chance.masks.random_raw())
        loss, right = self._step.gradients(images, labels, self._smoothing, seed)
        self._losses.append(loss)
        self._right += right

    def read(self) -> tuple[list[float], int]:
        """See :class:`~netlet.training.steps.Step`."""
        found = self._losses, self._right
        self._losses, self._right = [], 0
        return found
