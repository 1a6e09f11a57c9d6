"""Optimizers over flat tensors: the same updates as in ``torch.optim``, in fewer calls.

For a tiny net, ``torch.optim`` spends more time in its calls than in the arithmetic, and importing
it takes a second for torch's compiler.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import torch

from netlet.backends.flat_parameters import FlatParameters, ParameterGroup
from netlet.recipes import Recipe
from netlet.training.eigenbases import Eigenbases
from netlet.training.orthogonalization import Orthogonalization

_EPSILON = 1e-8  # as in torch.optim.AdamW
_STEPS_PER_BASIS = 10  # SOAP updates its basis after this many steps
_MAX_PRECONDITIONED_SIDE = 2_048  # SOAP leaves wider sides of a matrix as they are


Number = float | torch.Tensor  # a tensor without dimensions, if a recorded step reads it
AnyNumber = TypeVar("AnyNumber", bound=Number, covariant=True)


class StepNumbers(NamedTuple, Generic[AnyNumber]):
    """What changes from step to step in the arithmetic of an update.

    They are numbers, or scalar tensors on the device for a step that is recorded once and replayed.
    """

    lr: AnyNumber
    kept: AnyNumber  # share of a weight that weight decay leaves
    corrected_lr: AnyNumber  # the learning rate over AdamW's correction of the first moment
    square_scale: AnyNumber  # AdamW's correction of the root of the second moment
    matrix_lr: AnyNumber  # both corrections as SOAP needs them for matrices: a step behind
    matrix_square_scale: AnyNumber


class Optimizer(ABC):
    """Updates all trainable parameters of a net.

    Weight decay applies to parameters with two or more dimensions only, unless the recipe asks for
    all. Norms and biases have one dimension; decay limits what the net can express without making
    it simpler.

    Args:
        parameters: The tensors of the net.
        recipe: The recipe, which has momentum, betas and weight decay.

    Attributes:
        steps: Number of steps so far.
        state: Moments and other tensors of each parameter group.
    """

    moments = 1  # state tensors for each parameter group, as long as the group

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        self._groups = parameters.groups
        self._recipe = recipe
        self.steps = 0
        self.state = [
            [torch.zeros_like(group.weights) for _ in range(self.moments)] for group in self._groups
        ]

    def step(self, lr: float) -> None:
        """Update the weights from their gradients.

        Args:
            lr: The learning rate.
        """
        self.apply(*self.advance(lr))

    def advance(self, lr: float) -> tuple[str, StepNumbers[float]]:
        """Count a step.

        Args:
            lr: The learning rate.

        Returns:
            The kind of the step, empty for the usual one, and its numbers. Steps of a kind run the
            same operations.
        """
        self.steps += 1
        recipe = self._recipe
        lr_of = [lr / _unless_zero(1 - recipe.momentum**n) for n in (self.steps, self.steps - 1)]
        square = [1 - recipe.beta2**n for n in (self.steps, self.steps - 1)]
        return self._kind(), StepNumbers(
            lr, 1 - lr * recipe.weight_decay, lr_of[0], square[0] ** 0.5, lr_of[1], square[1]
        )

    def _kind(self) -> str:
        return ""

    @torch.no_grad()
    def apply(self, kind: str, numbers: StepNumbers[Number]) -> None:
        """Update the weights from their gradients.

        Args:
            kind: From :meth:`advance`.
            numbers: From :meth:`advance`, or the same as scalar tensors.
        """
        for group, state in zip(self._groups, self.state, strict=True):
            self._update(group, state, kind, numbers)

    @abstractmethod
    def _update(
        self,
        group: ParameterGroup,
        state: Sequence[torch.Tensor],
        kind: str,
        numbers: StepNumbers[Number],
    ) -> None: ...

    def _decayed_part(self, group: ParameterGroup, values: torch.Tensor) -> torch.Tensor:
        """Return the part of ``values``, one for each weight, that weight decay applies to."""
        everything = self._recipe.decay_norms_and_biases or group.matrix_size == values.numel()
        return values if everything else values[: group.matrix_size]


class SGD(Optimizer):
    """Like ``torch.optim.SGD``: optional Nesterov momentum, decay added to the gradient."""

    def _update(
        self,
        group: ParameterGroup,
        state: Sequence[torch.Tensor],
        kind: str,
        numbers: StepNumbers[Number],
    ) -> None:
        recipe, gradient, (velocity,) = self._recipe, group.gradient, state
        if recipe.weight_decay:
            gradient = gradient.clone()
            self._decayed_part(group, gradient).add_(
                self._decayed_part(group, group.weights), alpha=recipe.weight_decay
            )
        velocity.mul_(recipe.momentum).add_(gradient)
        direction = gradient.add(velocity, alpha=recipe.momentum) if recipe.nesterov else velocity
        _move(group.weights, direction, numbers.lr)


class AdamW(Optimizer):
    """Like ``torch.optim.AdamW`` (Loshchilov and Hutter, arXiv:1711.05101)."""

    moments = 2

    def _update(
        self,
        group: ParameterGroup,
        state: Sequence[torch.Tensor],
        kind: str,
        numbers: StepNumbers[Number],
    ) -> None:
        recipe, gradient, (mean, square) = self._recipe, group.gradient, state
        if recipe.weight_decay:
            self._decayed_part(group, group.weights).mul_(numbers.kept)
        mean.lerp_(gradient, 1 - recipe.momentum)
        square.mul_(recipe.beta2).addcmul_(gradient, gradient, value=1 - recipe.beta2)
        # Bias correction, since both moments start at zero.
        size = square.sqrt().div_(numbers.square_scale).add_(_EPSILON)
        _move(group.weights, mean, numbers.corrected_lr, over=size)


class Muon(AdamW):
    """Updates matrices along their orthogonalized momentum (Jordan et al., 2024).

    The weight of a convolution is a matrix with one row for each output channel. Updates are scaled
    to the usual size of AdamW's (Liu et al., arXiv:2502.16982), so that one learning rate fits
    both; norms and biases are updated by AdamW.
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self._orthogonalizations = [
            Orthogonalization(
                group.shapes, [0.2 * max(shape) ** 0.5 for shape in group.shapes], group.weights
            )
            for group in self._groups
        ]

    @torch.no_grad()
    def apply(self, kind: str, numbers: StepNumbers[Number]) -> None:
        """Update the weights from their gradients, as :meth:`Optimizer.apply` says."""
        recipe = self._recipe
        for group, state, orthogonalize in zip(
            self._groups, self.state, self._orthogonalizations, strict=True
        ):
            matrices, vectors = group.split_matrices()
            n = group.matrix_size
            if vectors:
                self._update(vectors, [values[n:] for values in state], kind, numbers)
            if not matrices:
                continue
            if recipe.weight_decay:
                matrices.weights.mul_(numbers.kept)
            momentum = state[0][:n]
            momentum.lerp_(matrices.gradient, 1 - recipe.momentum)
            nesterov = matrices.gradient.lerp(momentum, recipe.momentum)
            directions = orthogonalize(nesterov.flatten()).view_as(matrices.weights)
            _move(matrices.weights, directions, numbers.lr)


class SOAP(AdamW):
    """AdamW in the eigenbasis of Shampoo's preconditioner (arXiv:2409.11321).

    Norms and biases are updated by AdamW; sides of a matrix that are too wide keep their own basis.
    The basis is updated after every tenth step. The very first step only initializes it.
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        # For each matrix: the averages of G G' and G' G, and their eigenvectors.
        for group, state in zip(self._groups, self.state, strict=True):
            for rows, columns in group.shapes:
                sides = [n if n <= _MAX_PRECONDITIONED_SIDE else 0 for n in (rows, columns)]
                state += [group.weights.new_zeros(n, n) for n in (*sides, *sides)]
        self._bases = [
            Eigenbases(group, state[2:])
            for group, state in zip(self._groups, self.state, strict=True)
        ]

    @torch.no_grad()
    def apply(self, kind: str, numbers: StepNumbers[Number]) -> None:
        """Update the weights from their gradients, as :meth:`Optimizer.apply` says."""
        for group, state, bases in zip(self._groups, self.state, self._bases, strict=True):
            matrices, vectors = group.split_matrices()
            n = group.matrix_size
            if vectors:
                self._update(vectors, [values[n:] for values in state[:2]], kind, numbers)
            if matrices:
                bases.average_products(matrices.gradient)
                if kind != "first":
                    moments = [values[:n] for values in state[:2]]
                    self._update_in_bases(matrices, bases, moments, numbers)
                if kind:
                    bases.update(initialize=kind == "first")

    def _kind(self) -> str:
        updates = self.steps - 1
        if not updates:
            return "first"
        return "basis" if updates % _STEPS_PER_BASIS == 0 else ""

    def _update_in_bases(
        self,
        matrices: ParameterGroup,
        bases: Eigenbases,
        moments: Sequence[torch.Tensor],
        numbers: StepNumbers[Number],
    ) -> None:
        """Update matrices by AdamW, each in the basis of its rows and columns."""
        recipe, (mean, square) = self._recipe, moments
        if recipe.weight_decay:
            matrices.weights.mul_(numbers.kept)
        mean.lerp_(matrices.gradient, 1 - recipe.momentum)
        projected = bases.project(matrices.gradient)
        square.mul_(recipe.beta2).addcmul_(projected, projected, value=1 - recipe.beta2)
        size = (square / numbers.matrix_square_scale).sqrt_().add_(_EPSILON)
        direction = bases.project_back(bases.project(mean).div_(size))
        _move(matrices.weights, direction, numbers.matrix_lr)


def _move(
    weights: torch.Tensor,
    direction: torch.Tensor,
    rate: Number,
    over: torch.Tensor | None = None,
) -> None:
    """Subtract ``rate * direction`` from weights, or ``rate * direction / over``.

    Only a number can be the factor of a fused operation; its bits are those of recorded runs.
    """
    if isinstance(rate, torch.Tensor):
        weights.addcmul_(direction if over is None else direction / over, rate, value=-1)
    elif over is None:
        weights.add_(direction, alpha=-rate)
    else:
        weights.addcdiv_(direction, over, value=-rate)


def _unless_zero(value: float) -> float:
    """Return a divisor that is 0 only where nobody divides by it: before the first step."""
    return value or 1.0


def make_optimizer(parameters: FlatParameters, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimizer for the tensors of a net."""
    kinds: dict[str, type[Optimizer]] = {"sgd": SGD, "adamw": AdamW, "muon": Muon, "soap": SOAP}
    return kinds[recipe.optimizer](parameters, recipe)
