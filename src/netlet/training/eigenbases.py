"""The bases in which SOAP updates matrices (arXiv:2409.11321)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from netlet.backends.flat_parameters import ParameterGroup

_DECAY = 0.95  # of the moving averages of G G' and G' G
_Product = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # two factors and where it goes


class Eigenbases:
    """The eigenbases of a group's matrices, and what they are computed from.

    For a tiny net, a view or a new tensor takes as long as the product that it is for. So all of
    them are made once, and each product writes to its place.

    Args:
        group: Whose matrices they are.
        sides: For each matrix: the averages of G G' and G' G, and their eigenvectors. An empty one
            stands for the identity.
    """

    def __init__(self, group: ParameterGroup, sides: Sequence[torch.Tensor]) -> None:
        # Contiguous, which a gradient need not be.
        self._values, self._halves, self._results = (
            torch.zeros_like(group.weights, memory_format=torch.contiguous_format)[
                : group.matrix_size
            ]
            for _ in range(3)
        )
        places = [
            group.as_matrices(values) for values in (self._values, self._halves, self._results)
        ]
        self._bases: list[tuple[torch.Tensor, torch.Tensor]] = []  # an average, its eigenvectors
        self._products: list[_Product] = []
        self._projections: list[_Product] = []
        self._returns: list[_Product] = []
        matrices = zip(*places, sides[::4], sides[1::4], sides[2::4], sides[3::4], strict=True)
        for value, half, result, left, right, rows, columns in matrices:
            if left.numel():
                self._bases.append((left, rows))
                self._products.append((value, value.T, torch.empty_like(left)))
            if right.numel():
                self._bases.append((right, columns))
                self._products.append((value.T, value, torch.empty_like(right)))
            self._projections += _sandwich(rows.T, value, columns, half, result)
            self._returns += _sandwich(rows, value, columns.T, half, result)
        self._averages = [average for average, _ in self._bases]
        self._newest = [product for *_, product in self._products]

    def average_products(self, gradient: torch.Tensor) -> None:
        """Add G G' and G' G of the matrices of a gradient to their moving averages."""
        self._values.copy_(gradient)
        _multiply(self._products)
        if self._products:
            torch._foreach_lerp_(self._averages, self._newest, 1 - _DECAY)

    def update(self, *, initialize: bool) -> None:
        """Move the bases towards the eigenvectors, by one step of power iteration.

        ``initialize`` computes the eigenvectors instead.
        """
        for average, basis in self._bases:
            if initialize:
                basis.copy_(torch.linalg.eigh(average)[1].flip(1))
            else:
                basis.copy_(torch.linalg.qr(average @ basis)[0])

    def project(self, values: torch.Tensor) -> torch.Tensor:
        """Return values in the bases; the next call of a method overwrites the result."""
        return self._change_bases(values, self._projections)

    def project_back(self, values: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`project`."""
        return self._change_bases(values, self._returns)

    def _change_bases(self, values: torch.Tensor, products: Sequence[_Product]) -> torch.Tensor:
        self._values.copy_(values)
        self._results.copy_(values)  # what has no bases stays as it is
        _multiply(products)
        return self._results


def _sandwich(
    left: torch.Tensor,
    value: torch.Tensor,
    right: torch.Tensor,
    half: torch.Tensor,
    result: torch.Tensor,
) -> list[_Product]:
    """Return how ``result`` becomes ``left @ value @ right``; an empty side is the identity."""
    if not left.numel():
        return [(value, right, result)] if right.numel() else []
    if not right.numel():
        return [(left, value, result)]
    return [(left, value, half), (half, right, result)]


def _multiply(products: Sequence[_Product]) -> None:
    for left, right, result in products:
        torch.mm(left, right, out=result)
