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

    @torch.no_grad()
    def update(self, parameters: FlatParameters, step: int) -> None:
        """Add the net's weights after a step to the average.

        Args:
            parameters: The tensors of the net in training.
            step: The step, counted from 0 over the whole training.
        """
        if self._averaged is None or self._parameters is None or step < self._first_step:
            return
        if self._updates is None:
            self._updates = int(self._averaged.n_averaged)  # not 0 after resuming
        if self._updates == 0:
            share = 1.0
        elif self._decay is None:
            share = 1 / (self._updates + 1)
        else:
            # A shorter memory at first; otherwise the initial weights would count for hundreds of
            # steps.
            share = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._parameters.floats, parameters.floats, share)
        others = zip(self._parameters.other_tensors(), parameters.other_tensors(), strict=True)
        for average, current in others:
            if average.is_floating_point():
                average.lerp_(current, share)
            else:
                average.copy_(current)
        for average, current in zip(self._parameters.counters, parameters.counters, strict=True):
            average.copy_(current)
        self._updates += 1
        self._averaged.n_averaged.fill_(self._updates)

    @property
    def net(self) -> nn.Module:
        """The net with averaged weights; the net in training if there is no average yet."""
        if self._averaged is None or int(self._averaged.n_averaged) == 0:
            return self._net
        module: nn.Module = self._averaged.module
        return module

    @property
    def averaged_model(self) -> nn.Module | None:
        """The module with the average and its counter; None if the recipe does not average."""
        return self._averaged
