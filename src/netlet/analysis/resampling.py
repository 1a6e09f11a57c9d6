"""Which elements an interpolated element is computed from, found by interpolating unit vectors."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch

from netlet.analysis.axis import Mask
from netlet.graph.rare_operations import Interpolation

_NO_WEIGHT = 1e-9  # smaller weights are rounding errors
_LARGEST_DENOMINATOR = 100  # of a scale factor


@dataclass(frozen=True)
class Resampled:
    """An interpolation along one of its dimensions.

    Attributes:
        operation: The interpolation.
        at: The dimension, counted from the first one that it resizes.
        n: Number of elements before.
    """

    operation: Interpolation
    at: int
    n: int

    def mask(self) -> Mask:
        """Return which of the old elements (rows) each new element (column) is computed from."""
        operation, rank = self.operation, len(self.operation.size)
        # Two wide along the others: PyTorch's antialiasing is wrong for a width of one.
        sizes = [self.n if i == self.at else 2 for i in range(rank)]
        new = [operation.size[i] if i == self.at else 2 for i in range(rank)]
        scales = [operation.scales[i] if i == self.at else None for i in range(rank)]
        corners = () if operation.align_corners is None else (operation.align_corners,)
        unit = [self.n if i == self.at else 1 for i in range(rank)]
        vectors = torch.eye(self.n, dtype=torch.float64).reshape(1, self.n, *unit)
        function = getattr(torch.ops.aten, operation.function)
        weights = function(vectors.expand(1, self.n, *sizes).contiguous(), new, *corners, *scales)
        weights = weights[0].movedim(1 + self.at, 1).reshape(self.n, new[self.at], -1)[:, :, 0]
        found: Mask = (weights.abs() > _NO_WEIGHT).numpy()
        return found

    def jump(self) -> Fraction:
        """Return the distance between new elements in old ones."""
        n, m, scale = self.n, self.operation.size[self.at], self.operation.scales[self.at]
        if self.operation.align_corners and m > 1:
            return Fraction(n - 1, m - 1)
        if scale:
            return 1 / Fraction(scale).limit_denominator(_LARGEST_DENOMINATOR)
        return Fraction(n, m)
