"""Everything that a training step changes, in one value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from netlet.backends.flat_parameters import FlatParameters, flatten_parameters
from netlet.recipes import Recipe
from netlet.training.averaging import WeightAverage
from netlet.training.optimizers import Number, Optimizer, StepNumbers, make_optimizer


@dataclass(frozen=True)
class TrainingState:
    """A net in training, and what follows its weights from step to step."""

    net: nn.Module
    parameters: FlatParameters  # the tensors of the net
    optimizer: Optimizer
    average: WeightAverage

    def update(self, lr: float, step: int) -> None:
        """Apply one step of the optimizer and add the new weights to the average.

        Args:
            lr: The learning rate.
            step: The step, counted from 0 over the whole training.
        """
        self.apply(*self.advance(lr, step))

    def advance(self, lr: float, step: int) -> tuple[str, tuple[float, ...]]:
        """Count a step and return its kind and its numbers; :meth:`apply` takes them."""
        kind, numbers = self.optimizer.advance(lr)
        return kind, (*numbers, self.average.advance(step))

    @property
    def numbers(self) -> int:
        """How many numbers :meth:`advance` returns."""
        return len(StepNumbers._fields) + 1

    def apply(self, kind: str, numbers: Sequence[Number]) -> None:
        """Move weights and average.

        Args:
            kind: From :meth:`advance`.
            numbers: From :meth:`advance`, or the same as scalar tensors on the device.
        """
        *own, share = numbers
        self.optimizer.apply(kind, StepNumbers(*own))
        self.average.apply(self.parameters, share)

    def tensors(self) -> list[torch.Tensor]:
        """Return everything that a step writes, but for the gradients."""
        own = self.parameters
        moments = [tensor for state in self.optimizer.state for tensor in state]
        weights = [*own.floats, *own.counters, *own.other_tensors()]
        return [*weights, *moments, *self.average.tensors()]


@contextmanager
def start_training(net: nn.Module, recipe: Recipe, steps: int) -> Iterator[TrainingState]:
    """Yield the state of a new training; the net's tensors are flattened within the block.

    Args:
        net: The net, on the device where it is trained.
        recipe: The recipe, which has optimizer and weight averaging.
        steps: Number of optimizer steps in the whole training.
    """
    average = WeightAverage(net, recipe, steps)
    with flatten_parameters(net) as parameters:
        yield TrainingState(net, parameters, make_optimizer(parameters, recipe), average)
