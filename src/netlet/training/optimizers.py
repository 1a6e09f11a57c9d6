"""Optimizers as a recipe asks for them, over long tensors: the same steps as ``torch.optim``'s in fewer calls.

``torch.optim`` spends more on its calls than a tiny net's arithmetic takes, and a second on
importing torch's compiler.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from netlet.backends.flat_parameters import FlatParameters, ParameterGroup
from netlet.recipes import Recipe

# What turns a matrix's singular values towards 1 when applied five times: x -> a x + b x^3 + c x^5
# (Jordan's Muon).
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_EPSILON = 1e-8  # as torch.optim.AdamW's
_PRECONDITIONER_DECAY = 0.95  # of SOAP's averages of G G' and G' G, at each step
_STEPS_PER_BASIS = 10  # SOAP's basis is used for so many
_MAX_PRECONDITIONED_SIDE = 2_048  # of a matrix that SOAP turns; a basis of more would cost more than it brings


class Optimizer(ABC):
    """Steps all trained weights of a net.

    Weight decay falls on weights of two and more dimensions only, unless the recipe asks for all:
    norms and biases have one, and shrinking them limits what the net can express without making it
    simpler.
    """

    moments = 1  # tensors that it keeps for each it steps

    def __init__(self, flat: FlatParameters, recipe: Recipe) -> None:
        self._trained = flat.trained
        self._recipe = recipe
        self.taken = 0  # steps
        self.state = [
            [torch.zeros_like(one.weights) for _ in range(self.moments)] for one in flat.trained
        ]

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
    def _step(self, trained: ParameterGroup, state: Sequence[torch.Tensor], rate: float) -> None: ...

    def _decayed(self, trained: ParameterGroup, values: torch.Tensor) -> torch.Tensor:
        """Of values for each weight, those of the weights that decay."""
        every = self._recipe.decay_norms_and_biases or trained.matrices == values.numel()
        return values if every else values[: trained.matrices]


class SGD(Optimizer):
    """As ``torch.optim.SGD``: momentum, Nesterov's or the plain one; decay is added to the gradient."""

    def _step(self, trained: ParameterGroup, state: Sequence[torch.Tensor], rate: float) -> None:
        recipe, gradient, (velocity,) = self._recipe, trained.gradient, state
        if recipe.weight_decay:
            gradient = gradient.clone()
            self._decayed(trained, gradient).add_(
                self._decayed(trained, trained.weights), alpha=recipe.weight_decay
            )
        velocity.mul_(recipe.momentum).add_(gradient)
        way = gradient.add(velocity, alpha=recipe.momentum) if recipe.nesterov else velocity
        trained.weights.add_(way, alpha=-rate)


class AdamW(Optimizer):
    """As ``torch.optim.AdamW`` (Loshchilov and Hutter, arXiv:1711.05101): decay shrinks the weights themselves."""

    moments = 2

    def _step(self, trained: ParameterGroup, state: Sequence[torch.Tensor], rate: float) -> None:
        recipe, gradient, (mean, square) = self._recipe, trained.gradient, state
        if recipe.weight_decay:
            self._decayed(trained, trained.weights).mul_(1 - rate * recipe.weight_decay)
        mean.lerp_(gradient, 1 - recipe.momentum)
        square.mul_(recipe.beta2).addcmul_(gradient, gradient, value=1 - recipe.beta2)
        # Both moments begin at zero, and are the larger for it.
        scale = (1 - recipe.beta2**self.taken) ** 0.5
        size = square.sqrt().div_(scale).add_(_EPSILON)
        trained.weights.addcdiv_(mean, size, value=-rate / (1 - recipe.momentum**self.taken))


class Muon(AdamW):
    """Matrices step along their momentum made orthogonal (Jordan and others, 2024); norms and biases as by AdamW.

    A convolution's weight is a matrix with a row for each output channel. Steps are as large as
    AdamW's usually are (Liu and others, arXiv:2502.16982), so that one learning rate serves both.
    """

    def _step(self, trained: ParameterGroup, state: Sequence[torch.Tensor], rate: float) -> None:
        recipe, (matrices, vectors) = self._recipe, trained.parted()
        if vectors:
            super()._step(vectors, [values[trained.matrices :] for values in state], rate)
        if not matrices:
            return
        if recipe.weight_decay:
            matrices.weights.mul_(1 - rate * recipe.weight_decay)
        momentum = state[0][: trained.matrices]
        momentum.lerp_(matrices.gradient, 1 - recipe.momentum)
        ahead = matrices.as_matrices(matrices.gradient.lerp(momentum, recipe.momentum))
        ways = [_orthogonalize(way).mul_(0.2 * max(way.shape) ** 0.5) for way in ahead]
        matrices.weights.add_(matrices.laid(ways), alpha=-rate)


def _orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """Nearly the orthogonal matrix that is closest: all singular values between 0.7 and 1.2."""
    x = matrix.T if len(matrix) > matrix.shape[1] else matrix
    x = x / (x.norm() + _EPSILON)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if len(matrix) > matrix.shape[1] else x


class SOAP(AdamW):
    """Matrices step as by AdamW in the basis in which Shampoo's preconditioner is diagonal (arXiv:2409.11321).

    Norms and biases step as by AdamW; a side of a matrix that is too wide is left as it is. The
    basis is renewed after every tenth step; the first step of all only measures it.
    """

    def __init__(self, flat: FlatParameters, recipe: Recipe) -> None:
        super().__init__(flat, recipe)
        # Of each matrix: the averages of G G' and G' G, and their eigenvectors.
        for trained, state in zip(self._trained, self.state, strict=True):
            for rows, columns in trained.shapes:
                sides = [n if n <= _MAX_PRECONDITIONED_SIDE else 0 for n in (rows, columns)]
                state += [trained.weights.new_zeros(n, n) for n in (*sides, *sides)]

    def _step(self, trained: ParameterGroup, state: Sequence[torch.Tensor], rate: float) -> None:
        recipe, (matrices, vectors), n = self._recipe, trained.parted(), trained.matrices
        if vectors:
            super()._step(vectors, [values[n:] for values in state[:2]], rate)
        if not matrices:
            return
        mean, square = (values[:n] for values in state[:2])
        sides = [state[i : i + 4] for i in range(2, len(state), 4)]
        gradients = matrices.as_matrices(matrices.gradient)
        for gradient, (left, right, _, _) in zip(gradients, sides, strict=True):
            if left.numel():
                left.lerp_(gradient @ gradient.T, 1 - _PRECONDITIONER_DECAY)
            if right.numel():
                right.lerp_(gradient.T @ gradient, 1 - _PRECONDITIONER_DECAY)
        taken = self.taken - 1
        if taken:
            bases = [(rows, columns) for _, _, rows, columns in sides]
            if recipe.weight_decay:
                matrices.weights.mul_(1 - rate * recipe.weight_decay)
            mean.lerp_(matrices.gradient, 1 - recipe.momentum)
            turned = matrices.laid(
                [_project(u.T, g, v) for g, (u, v) in zip(gradients, bases, strict=True)]
            )
            square.mul_(recipe.beta2).addcmul_(turned, turned, value=1 - recipe.beta2)
            size = (square / (1 - recipe.beta2**taken)).sqrt_().add_(_EPSILON)
            means = zip(matrices.as_matrices(mean), matrices.as_matrices(size), bases, strict=True)
            ways = [_project(u, _project(u.T, m, v) / s, v.T) for m, s, (u, v) in means]
            matrices.weights.add_(matrices.laid(ways), alpha=-rate / (1 - recipe.momentum**taken))
        if taken % _STEPS_PER_BASIS == 0:
            for left, right, rows, columns in sides:
                _update_basis(rows, left, new=not taken)
                _update_basis(columns, right, new=not taken)


def _project(left: torch.Tensor, matrix: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Their product; an empty side stands for the identity."""
    matrix = left @ matrix if left.numel() else matrix
    return matrix @ right if right.numel() else matrix


def _update_basis(basis: torch.Tensor, side: torch.Tensor, *, new: bool) -> None:
    """Bring a basis closer to a symmetric matrix's eigenvectors: all the way, or by one step of power iteration."""
    if not basis.numel():
        return
    basis.copy_(torch.linalg.eigh(side)[1].flip(1) if new else torch.linalg.qr(side @ basis)[0])


def make_optimizer(flat: FlatParameters, recipe: Recipe) -> Optimizer:
    """A recipe's optimizer for a net."""
    kinds: dict[str, type[Optimizer]] = {"sgd": SGD, "adamw": AdamW, "muon": Muon, "soap": SOAP}
    return kinds[recipe.optimizer](flat, recipe)
