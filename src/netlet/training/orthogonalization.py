"""Orthogonalize the matrices of a net by Newton-Schulz iterations, many of them in one call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

# Coefficients of x -> a x + b x^3 + c x^5, which moves the singular values of a matrix towards 1
# when applied five times (Jordan et al., Muon).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPSILON = 1e-8
_SIDE_STEP = 32  # matrices whose longer sides round up to the same multiple are one batch


class Orthogonalization:
    """Replaces each matrix of a long tensor by nearly the closest orthogonal one.

    All singular values of the results are between 0.7 and 1.2. For the matrices of a tiny net, a
    call takes longer than its arithmetic. So matrices of similar size are padded with zeros, which
    change nothing, to a batch.

    Args:
        shapes: Rows and columns of the matrices, in the order of the long tensor.
        scales: What each result is multiplied by.
        like: A tensor with the type and the device of the values.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int]], scales: Sequence[float], like: torch.Tensor
    ) -> None:
        batches: dict[int, list[int]] = defaultdict(list)
        for i, shape in enumerate(shapes):
            batches[-(-max(shape) // _SIDE_STEP)].append(i)
        starts = [0]
        for rows, columns in shapes:
            starts.append(starts[-1] + rows * columns)
        self._batches = [
            _Batch(
                [shapes[i] for i in members],
                [starts[i] for i in members],
                like.new_tensor([scales[i] for i in members]),
            )
            for members in batches.values()
        ]

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Return the results.

        Args:
            values: The matrices, row by row, one after the other; 1-D.

        Returns:
            The results in the same order.
        """
        results = torch.empty_like(values)
        for batch in self._batches:
            batch.orthogonalize(values, results)
        return results


class _Batch:
    """Matrices of similar size, each with at least as many columns as rows.

    Args:
        shapes: Their rows and columns as they are; tall ones are transposed.
        starts: Where they begin in the long tensor.
        scales: What each result is multiplied by.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int]], starts: Sequence[int], scales: torch.Tensor
    ) -> None:
        height, width = max(map(min, shapes)), max(map(max, shapes))
        sources, places = [], []
        for i, ((rows, columns), start) in enumerate(zip(shapes, starts, strict=True)):
            place = torch.arange(height * width).view(height, width) + i * height * width
            place = place[:rows, :columns] if rows <= columns else place.T[:rows, :columns]
            places.append(place.flatten())
            sources.append(torch.arange(rows * columns) + start)
        self._sources = torch.cat(sources).to(scales.device)
        self._places = torch.cat(places).to(scales.device)
        self._scales = scales.view(-1, 1, 1)
        self._padded = scales.new_zeros(len(shapes), height, width)

    def orthogonalize(self, values: torch.Tensor, results: torch.Tensor) -> None:
        """Write the results to their places in ``results``."""
        self._padded.view(-1).index_copy_(0, self._places, values[self._sources])
        x = self._padded
        x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + _EPSILON)
        a, b, c = _COEFFICIENTS
        for _ in range(_ITERATIONS):
            gram = torch.bmm(x, x.mT)
            polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            x = torch.baddbmm(x, polynomial, x, beta=a)
        results.index_copy_(0, self._sources, (x * self._scales).view(-1)[self._places])
