"""Operations that pool the elements of feature maps, or sum them up."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from netlet.export.inference_graph import Convolution as ConvolutionLayer
from netlet.export.inference_graph import Floats
from netlet.export.inference_graph import Pooling as PoolingLayer
from netlet.export.lower_resampling import add_resampling, resample_identity
from netlet.export.lowering import Builder, Value, lowers, map_shape
from netlet.export.transposed_convolution import two
from netlet.graph import Node
from netlet.graph.operations import AdaptivePooling, Pooling, PoolMode, Reduction

# Reductions: the pooling that does it, and whether it is one of the negative.
_REDUCTIONS: dict[str, tuple[PoolMode, bool]] = {
    "mean": ("mean", False),
    "sum": ("mean", False),
    "amax": ("max", False),
    "max": ("max", False),
    "amin": ("max", True),
    "min": ("max", True),
}


@lowers(Pooling)
def _lower_pooling(builder: Builder, node: Node, operation: Pooling) -> Value:
    if len(operation.window) > 2 or len(node.shape) != 1 + len(operation.window):
        builder.refuse_by_name()
    if set(operation.dilation) != {1}:
        builder.refuse("dilated pooling", "pooling without dilation")
    window, stride = two(operation.window, 1), two(operation.stride, 1)
    padding = two(operation.padding, 0)
    value = builder.map()
    shape, size = map_shape(node.shape), builder.shape_of(value)[1:]
    counts = operation.mode == "mean" and operation.count_include_pad and padding != (0, 0)
    # With ceil_mode the last windows reach beyond the edge, as if there were more padding below
    # and to the right.
    over = [(shape[1 + i] - 1) * stride[i] + window[i] - size[i] - padding[i] for i in (0, 1)]
    # The padding counts in the mean, but not what lies beyond it.
    beyond = counts and any(over[i] > padding[i] for i in (0, 1))
    if beyond or operation.divisor not in (None, window[0] * window[1]):
        return _add_weighted_mean(builder, value, operation)
    around = (*padding, max(padding[0], over[0]), max(padding[1], over[1]))
    return builder.add(
        PoolingLayer(
            node.name, (value.number,), shape, operation.mode, window, stride, around, counts
        )
    )


def _add_weighted_mean(builder: Builder, value: Value, operation: Pooling) -> Value:
    """Add a mean pooling whose windows have divisors of their own."""
    _, h, w = builder.shape_of(value)
    down, across = _mean_weights(operation, 0, h), _mean_weights(operation, 1, w)
    return add_resampling(builder, value, down / (operation.divisor or 1), across)


def _mean_weights(operation: Pooling, axis: int, size: int) -> Floats:
    """Return the weights of a mean pooling, or of its sums, along an axis of a size."""
    window, stride = two(operation.window, 1)[axis], two(operation.stride, 1)[axis]
    padding = two(operation.padding, 0)[axis]

    def pool(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(
            x,
            (window, 1),
            (stride, 1),
            (padding, 0),
            operation.ceil_mode,
            operation.count_include_pad,
            operation.divisor and 1,
        )

    return resample_identity(size, pool)


@lowers(AdaptivePooling)
def _lower_adaptive_pooling(builder: Builder, node: Node, operation: AdaptivePooling) -> Value:
    if len(operation.size) > 2 or len(node.shape) != 1 + len(operation.size):
        builder.refuse_by_name()
    value = builder.map()
    _, *before = builder.shape_of(value)
    _, *after = map_shape(node.shape)
    if not any(n % to for n, to in zip(before, after, strict=True)):
        window = (before[0] // after[0], before[1] // after[1])
        return _add_tiling(builder, value, operation.mode, window)
    if operation.mode == "mean":
        down, across = (
            resample_identity(n, partial(F.adaptive_avg_pool2d, output_size=(to, 1)))
            for n, to in zip(before, after, strict=True)
        )
        return add_resampling(builder, value, down, across)
    # All windows are as long as the longest: they end with an element that they have already.
    rows, columns = (_windows_of(n, to) for n, to in zip(before, after, strict=True))
    places = builder.places(value).reshape(builder.shape_of(value))
    places = places[:, rows.reshape(-1)][:, :, columns.reshape(-1)]
    spread = builder.rearranged(value, places)
    return _add_tiling(builder, spread, "max", (rows.shape[1], columns.shape[1]))


def _windows_of(size: int, windows: int) -> np.ndarray:
    """Return the places of the elements in each window of an adaptive pooling, in rows."""
    first = [i * size // windows for i in range(windows)]
    end = [-(-(i + 1) * size // windows) for i in range(windows)]
    length = max(b - a for a, b in zip(first, end, strict=True))
    return np.array(
        [[min(a + i, b - 1) for i in range(length)] for a, b in zip(first, end, strict=True)]
    )


@lowers(Reduction)
def _lower_reduction(builder: Builder, node: Node, operation: Reduction) -> Value:
    if operation.function not in _REDUCTIONS:
        builder.refuse_by_name()
    mode, negative = _REDUCTIONS[operation.function]
    value, dims = builder.value(), tuple(dim - 1 for dim in operation.dims)
    if not node.batched or min(dims, default=0) < 0:
        builder.refuse(f"{operation.function} over the images", "x.mean((2, 3))")
    count = math.prod(value.dims[dim] for dim in dims)
    if negative:
        value = dataclasses.replace(_scale(builder, value, -1.0), dims=value.dims)
    c, h, w = builder.shape_of(value)
    if value.dims == (c, h * w) and dims == (1,):  # x.flatten(2).mean(2)
        value, dims = dataclasses.replace(value, dims=(c, h, w)), (1, 2)
    places = builder.places(value)
    if map_shape(value.dims) == (c, h, w) and 0 not in dims:
        found = _add_tiling(builder, value, mode, (h if 1 in dims else 1, w if 2 in dims else 1))
    elif map_shape(value.dims) == (c, h, w) and dims == (0,) and mode == "mean":
        kernel = np.full((1, c, 1, 1), 1 / c)
        found = builder.add(
            ConvolutionLayer(node.name, (value.number,), (1, h, w), kernel, np.zeros(1))
        )
    else:
        last = np.moveaxis(places, dims, range(-len(dims), 0)).reshape(1, -1, count)
        found = _add_tiling(builder, builder.rearranged(value, last), mode, (1, count))
    if operation.function == "sum":
        found = _scale(builder, found, float(count))
    return _scale(builder, found, -1.0) if negative else found


def _scale(builder: Builder, value: Value, factor: float) -> Value:
    return builder.add_scale(value, torch.tensor(factor, dtype=torch.float64), torch.zeros(()))


def _add_tiling(builder: Builder, value: Value, mode: PoolMode, window: tuple[int, int]) -> Value:
    """Add a pooling whose windows lie beside each other."""
    c, h, w = builder.shape_of(value)
    shape = (c, h // window[0], w // window[1])
    return builder.add(
        PoolingLayer(builder.node.name, (value.number,), shape, mode, window, window)
    )
