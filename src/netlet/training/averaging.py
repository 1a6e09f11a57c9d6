"""Averages of the weights along the way, which score better than the last step's."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from netlet.recipes import Recipe


class Average:
    """Follows a net in training; ``net`` is what to score and keep.

    ``ema`` forgets exponentially, ``tail`` takes the even mean of the last steps (Izmailov et al., arXiv:1803.05407).
    Running statistics of batch norm are averaged with the weights.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, steps: int) -> None:
        self._raw = net
        self._decay = recipe.ema_decay
        self._keep = 0.0
        self._first = 0 if recipe.averaging == "ema" else int((1 - recipe.tail_share) * steps)
        self._averaged: AveragedModel | None = None
        if recipe.averaging == "ema":
            self._averaged = AveragedModel(net, multi_avg_fn=self._forget, use_buffers=True)
        elif recipe.averaging == "tail":
            self._averaged = AveragedModel(net, use_buffers=True)

    def follow(self, step: int) -> None:
        """Take in the weights after ``step``, counted from 0."""
        if self._averaged is not None and step >= self._first:
            # Forgets faster at first: else the first weights would weigh in for hundreds of steps.
            self._keep = min(self._decay, (1 + step) / (10 + step))
            self._averaged.update_parameters(self._raw)

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

    @torch.no_grad()
    def _forget(self, averaged: Any, raw: Any, n_averaged: Any) -> None:
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, raw, 1 - self._keep)
        else:  # counters
            torch._foreach_copy_(averaged, raw)
