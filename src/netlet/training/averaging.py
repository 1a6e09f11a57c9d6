"""Averages of the weights along the way, which score better than the last step's."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from netlet.recipes import Recipe


class Average:
    """Follows a net in training; ``net`` is what to score and keep.

    ``ema`` forgets exponentially, ``tail`` takes the even mean of the last steps (Izmailov et al., arXiv:1803.05407).
    Running statistics of batch norm are averaged with the weights.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, steps: int) -> None:
        self._raw = net
        self._first = 0 if recipe.averaging == "ema" else int((1 - recipe.tail_share) * steps)
        self._averaged: AveragedModel | None = None
        if recipe.averaging == "ema":
            self._averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)
        elif recipe.averaging == "tail":
            self._averaged = AveragedModel(net, use_buffers=True)

    def follow(self, step: int) -> None:
        """Take in the weights after ``step``, counted from 0."""
        if self._averaged is not None and step >= self._first:
            self._averaged.update_parameters(self._raw)

    @property
    def net(self) -> nn.Module:
        """The averaged net, or the raw one where there is no average yet."""
        if self._averaged is None or int(self._averaged.n_averaged) == 0:
            return self._raw
        module: nn.Module = self._averaged.module
        return module
