"""Optimisers as a recipe asks for them, over long tensors: the same steps as ``torch.optim``'s in fewer calls.

``torch.optim`` spends more on its calls than a tiny net's arithmetic takes, and a second on importing torch's compiler.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from netlet.recipes import Recipe
from netlet.training.flat import Flat, Trained

_EPSILON = 1e-8  # as torch.optim.AdamW's


class Optimiser(ABC):
    """Steps all trained weights of a net.

    Weight decay falls on weights of two and more dimensions only, unless the recipe asks for all: norms and biases
    have one, and shrinking them limits what the net can express without making it simpler.
    """

    moments = 1  # tensors that it keeps for each it steps

    def __init__(self, flat: Flat, recipe: Recipe) -> None:
        self._trained = flat.trained
        self._recipe = recipe
        self.taken = 0  # steps
        self.state = [[torch.zeros_like(one.weights) for _ in range(self.moments)] for one in flat.trained]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the weights along their gradients.

        Args:
            rate: The learning rate.
        """
        self.taken += 1
        for trained, state in zip(self._trained, self.state, strict=True):
            self._step(trained, state, rate)

    @abstractmethod
    def _step(self, trained: Trained, state: Sequence[torch.Tensor], rate: float) -> None: ...

    def _decayed(self, trained: Trained, values: torch.Tensor) -> torch.Tensor:
        """Of values for each weight, those of the weights that decay."""
        every = self._recipe.decay_norms_and_biases or trained.matrices == values.numel()
        return values if every else values[: trained.matrices]


class SGD(Optimiser):
    """As ``torch.optim.SGD``: momentum, Nesterov's or the plain one; decay is added to the gradient."""

    def _step(self, trained: Trained, state: Sequence[torch.Tensor], rate: float) -> None:
        recipe, gradient, (velocity,) = self._recipe, trained.gradient, state
        if recipe.weight_decay:
            gradient = gradient.clone()
            self._decayed(trained, gradient).add_(self._decayed(trained, trained.weights), alpha=recipe.weight_decay)
        velocity.mul_(recipe.momentum).add_(gradient)
        way = gradient.add(velocity, alpha=recipe.momentum) if recipe.nesterov else velocity
        trained.weights.add_(way, alpha=-rate)


class AdamW(Optimiser):
    """As ``torch.optim.AdamW`` (Loshchilov and Hutter, arXiv:1711.05101): decay shrinks the weights themselves."""

    moments = 2

    def _step(self, trained: Trained, state: Sequence[torch.Tensor], rate: float) -> None:
        recipe, gradient, (mean, square) = self._recipe, trained.gradient, state
        if recipe.weight_decay:
            self._decayed(trained, trained.weights).mul_(1 - rate * recipe.weight_decay)
        mean.lerp_(gradient, 1 - recipe.momentum)
        square.mul_(recipe.beta2).addcmul_(gradient, gradient, value=1 - recipe.beta2)
        # Both moments begin at zero, and are the larger for it.
        scale = (1 - recipe.beta2**self.taken) ** 0.5
        size = square.sqrt().div_(scale).add_(_EPSILON)
        trained.weights.addcdiv_(mean, size, value=-rate / (1 - recipe.momentum**self.taken))


def optimiser(flat: Flat, recipe: Recipe) -> Optimiser:
    """A recipe's optimiser for a net."""
    return {"sgd": SGD, "adamw": AdamW}[recipe.optimiser](flat, recipe)
