"""Interpolations, as layers of an inference graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from netlet.export.inference_graph import Floats
from netlet.export.lowering import Builder, Value, lowers
from netlet.export.map_layers import Resampling
from netlet.graph import Node
from netlet.graph.rare_operations import Interpolation


def resample_identity(size: int, resample: Callable[[torch.Tensor], torch.Tensor]) -> Floats:
    """Return the matrix, new size x old size, of a function that is linear in the rows of a map.

    Args:
        size: The number of rows before.
        resample: The function, of a map ``N C H 1``.
    """
    unit = torch.eye(size, dtype=torch.float64).reshape(1, size, size, 1)
    matrix: Floats = resample(unit)[0, :, :, 0].T.contiguous().numpy()
    return matrix


def add_resampling(builder: Builder, value: Value, down: Floats, across: Floats) -> Value:
    """Add weighted means of rows and columns.

    Args:
        builder: The graph so far.
        value: A feature map.
        down: The weights, new rows x old ones.
        across: The same for columns.
    """
    shape = (builder.shape_of(value)[0], len(down), len(across))
    return builder.add(Resampling(builder.node.name, (value.number,), shape, down, across))


@lowers(Interpolation)
def _lower_interpolation(builder: Builder, node: Node, operation: Interpolation) -> Value:
    if len(operation.size) > 2 or len(node.shape) != 1 + len(operation.size):
        builder.refuse(f"{operation.function}", "interpolation of rows and columns")
    function = getattr(torch.ops.aten, operation.function)
    if "nearest" in operation.function:
        return builder.move(
            lambda places: _interpolate(function, places, operation.size, operation.scales)
        )
    value = builder.map()
    matrices = [
        _matrix(operation, axis, builder.shape_of(value)[1 + axis])
        for axis in range(len(operation.size))
    ]
    down, across = (*matrices, np.eye(1))[:2]
    return add_resampling(builder, value, down, across)


def _matrix(operation: Interpolation, axis: int, size: int) -> Floats:
    """Return the weights of an interpolation along an axis of a size."""
    function = getattr(torch.ops.aten, operation.function)
    align = () if operation.align_corners is None else (operation.align_corners,)
    sizes, scales = (operation.size[axis], 2), (operation.scales[axis], None)

    def resample(x: torch.Tensor) -> torch.Tensor:
        x = x.expand(-1, -1, -1, 2).contiguous()  # PyTorch's antialiasing is wrong for a width of 1
        one = len(operation.size) == 1
        found: torch.Tensor = (
            function(x[..., 0], sizes[:1], *align, *scales[:1])[..., None]
            if one
            else function(x, sizes, *align, *scales)
        )
        return found

    return resample_identity(size, resample)


def _interpolate(
    function: Callable[..., torch.Tensor],
    places: np.ndarray,
    size: tuple[int, ...],
    scales: tuple[float | None, ...],
) -> np.ndarray:
    """Return the places of the nearest elements."""
    numbers = torch.from_numpy(places.astype(np.float64))[None]
    found: np.ndarray = function(numbers, size, *scales)[0].numpy().astype(np.int64)
    return found
