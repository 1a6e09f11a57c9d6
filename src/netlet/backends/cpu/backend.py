"""On a CPU: the step compiled for the very net, where the net is a chain of convolutions."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from netlet.backends.cpu import CompilationError, CompiledStep
from netlet.data import Dataset
from netlet.recipes import Recipe

_EVALUATION_BATCH = 512


class CompiledBackend:
    """The engine's side of :class:`~netlet.backends.cpu.CompiledStep`.

    Raises:
        CompilationError: That cannot be done.
    """

    kind = "compiled"

    def __init__(
        self,
        net: nn.Module,
        data: Dataset,
        recipe: Recipe,
        precision: str,
        masks: np.random.BitGenerator,
    ) -> None:
        # One more than a batch: a lone last image joins the batch before.
        self._step = CompiledStep(net, data.shape, recipe.batch_size + 1, half=precision == "bf16")
        self._shape = data.shape
        self._smoothing, self._masks = recipe.label_smoothing, masks
        self._losses: list[float] = []
        self._right = 0

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """See :class:`~netlet.backends.Backend`."""
        seed = int(self._masks.random_raw())
        loss, right = self._step.gradients(images, labels, self._smoothing, seed)
        self._losses.append(loss)
        self._right += right

    def evaluation_net(self, net: nn.Module) -> nn.Module:
        """See :class:`~netlet.backends.Backend`."""
        try:
            return _CompiledScores(CompiledStep(net, self._shape, _EVALUATION_BATCH, half=False))
        except CompilationError:
            return net

    def read(self) -> tuple[list[float], int]:
        """See :class:`~netlet.backends.Backend`."""
        found = self._losses, self._right
        self._losses, self._right = [], 0
        return found


class _CompiledScores(nn.Module):
    """A net's scores in float32, compiled, where a net is asked for."""

    def __init__(self, step: CompiledStep) -> None:
        super().__init__()
        self._step = step

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [self._step.scores(part.contiguous()) for part in images.split(_EVALUATION_BATCH)]
        )
