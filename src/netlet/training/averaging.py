"""Averages of the weights during training, which score better than the weights of the last step."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from netlet.backends.flat_parameters import FlatParameters
from netlet.nets.copying import copy_net
from netlet.recipes import Recipe


class WeightAverage:
    """The average of a net's weights over the steps of a training.

    ``ema`` is an exponential moving average; ``tail`` is the mean over the last steps (Izmailov et
    al., arXiv:1803.05407). The running statistics of batch norm are averaged like the weights.

    Args:
        net: The net in training.
        recipe: The recipe, which has the kind of average and its settings.
        steps: Number of optimizer steps in the whole training.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, steps: int) -> None:
        self._net = net
        self._decay = recipe.ema_decay if recipe.averaging == "ema" else None
        self._first_step = 0 if recipe.averaging == "ema" else int((1 - recipe.tail_share) * steps)
        # PyTorch's class provides the copy of the net and the counter. The arithmetic is done here,
        # on flat tensors.
        self._averaged = AveragedModel(copy_net(net)) if recipe.averaging != "none" else None
        self._parameters = FlatParameters(self._averaged.module) if self._averaged else None
        self._updates: int | None = None

    def update(self, parameters: FlatParameters, step: int) -> None:
        """Add the net's weights after a step to the average.

        Args:
            parameters: The tensors of the net in training.
            step: The step, counted from 0 over the whole training.
        """
        self.apply(parameters, self.advance(step))

    def advance(self, step: int) -> float:
        """Count a step and return the share of its weights in the average; :meth:`apply` takes it.

        Args:
            step: The step, counted from 0 over the whole training.

        Returns:
            Between 0, which leaves the average as it is, and 1.
        """
        if self._averaged is None or step < self._first_step:
            return 0.0
        updates = self._count_updates()
        self._updates = updates + 1
        if updates == 0:
            return 1.0
        if self._decay is None:
            return 1 / (updates + 1)
        # A shorter memory at first; otherwise the initial weights would count for hundreds of
        # steps.
        return 1 - min(self._decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def apply(self, parameters: FlatParameters, share: float | torch.Tensor) -> None:
        """Move the average towards the net's weights.

        Args:
            parameters: The tensors of the net in training.
            share: From :meth:`advance`, or the same as a scalar tensor.
        """
        if self._parameters is None or (isinstance(share, float) and share == 0):
            return
        if isinstance(share, torch.Tensor):
            for average, current in zip(self._parameters.floats, parameters.floats, strict=True):
                average.lerp_(current, share)
        else:
            torch._foreach_lerp_(self._parameters.floats, parameters.floats, share)
        others = zip(self._parameters.other_tensors(), parameters.other_tensors(), strict=True)
        for average, current in others:
            if average.is_floating_point():
                # Where the net has an infinite number, as in a mask, lerp would compute NaN.
                moved = average.lerp(current, share)
                average.copy_(torch.where(current.isfinite(), moved, current))
            else:
                average.copy_(current)
        for average, current in zip(self._parameters.counters, parameters.counters, strict=True):
            average.copy_(current)

    def tensors(self) -> list[torch.Tensor]:
        """Return everything that :meth:`apply` writes."""
        own = self._parameters
        return [*own.floats, *own.counters, *own.other_tensors()] if own else []

    def _count_updates(self) -> int:
        if self._updates is None:
            # Not 0 after resuming. Read once, since reading waits for the device.
            self._updates = int(self._averaged.n_averaged) if self._averaged else 0
        return self._updates

    @property
    def net(self) -> nn.Module:
        """The net with averaged weights; the net in training if there is no average yet."""
        if self._averaged is None or self._count_updates() == 0:
            return self._net
        module: nn.Module = self._averaged.module
        return module

    @property
    def averaged_model(self) -> nn.Module | None:
        """The module with the average and its counter; None if the recipe does not average."""
        if self._averaged is not None and self._updates is not None:
            self._averaged.n_averaged.fill_(self._updates)
        return self._averaged
