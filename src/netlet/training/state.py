"""Everything that a training step changes, in one value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from netlet.backends.flat_parameters import FlatParameters, flatten_parameters
from netlet.recipes import Recipe
from netlet.training.averaging import WeightAverage
from netlet.training.optimizers import Optimizer, make_optimizer


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
        self.optimizer.step(lr)
        self.average.update(self.parameters, step)


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
