"""Averages of the weights along the way, which score better than the last step's."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from netlet.backends.flat_parameters import FlatParameters
from netlet.recipes import Recipe


class WeightAverage:
    """Follows a net in training; ``net`` is what to score and keep.

    ``ema`` forgets exponentially, ``tail`` takes the even mean of the last steps (Izmailov et al.,
    arXiv:1803.05407). Running statistics of batch norm are averaged with the weights.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, steps: int) -> None:
        self._raw = net
        self._decay = recipe.ema_decay if recipe.averaging == "ema" else None
        self._first = 0 if recipe.averaging == "ema" else int((1 - recipe.tail_share) * steps)
        # Torch's container, for its copy and its count; the arithmetic is done here, over long
        # tensors.
        self._averaged = AveragedModel(net) if recipe.averaging != "none" else None
        self._flat = FlatParameters(self._averaged.module) if self._averaged else None
        self._taken: int | None = None

    @torch.no_grad()
    def follow(self, raw: FlatParameters, step: int) -> None:
        """Take in the net's weights after ``step``, counted from 0."""
        if self._averaged is None or self._flat is None or step < self._first:
            return
        if self._taken is None:
            self._taken = int(self._averaged.n_averaged)  # of a training that is taken up again
        if self._taken == 0:
            share = 1.0
        elif self._decay is None:
            share = 1 / (self._taken + 1)
        else:
            # Forgets faster at first: else the first weights would weigh in for hundreds of steps.
            share = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._flat.floats, raw.floats, share)
        for ours, theirs in zip(self._flat.others(), raw.others(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, share)
            else:
                ours.copy_(theirs)
        for ours, theirs in zip(self._flat.counts, raw.counts, strict=True):
            ours.copy_(theirs)
        self._taken += 1
        self._averaged.n_averaged.fill_(self._taken)

    @property
    def net(self) -> nn.Module:
        """The averaged net, or the raw one where there is no average yet."""
        if self._averaged is None or int(self._averaged.n_averaged) == 0:
            return self._raw
        module: nn.Module = self._averaged.module
        return module

    @property
    def follower(self) -> nn.Module | None:
        """What keeps the average, its counters included; None where the recipe does not average."""
        return self._averaged
