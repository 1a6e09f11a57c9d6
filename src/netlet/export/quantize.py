"""A graph in integers, after training: weights of 8 bits, maps of 8 bits, sums of 32.

A map's numbers are 0 to 255 and stand for ``(number - zero) * scale``, so that gray levels are what
they were and ReLU's zero is 0. Weights are -127 to 127, with a scale for each channel that they
give. A sum of products is brought to the next map's scale by an integer factor and a shift,
computed in 64 bits, halves rounded upwards. The logits stay wide: 32 bits on one scale, so that no
two are taken for equal that are not. After Jacob et al. 2018, "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference".
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.errors import ShipError
from netlet.export import reference
from netlet.export.graph import (
    FREE,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    Graph,
    Layer,
    Pooling,
    Product,
    Sum,
)

TOP = 255  # the largest number of a map
_WEIGHT_TOP = 127
_FACTOR_BITS = 30  # of the largest factor: with a sum of 32 bits the product stays below 2**62
_MEAN_FACTOR_BITS = (
    16  # there a division follows, and a sum has up to 255 times as many numbers as a window
)
_IMAGES_AT_ONCE = 250


@dataclass(frozen=True)
class Grid:
    """What a map's numbers stand for."""

    scale: float
    zero: int

    def nearest(self, value: float) -> int:
        """The number for a real one, or the end of the scale that it lies beyond."""
        return math.floor(min(max(value / self.scale + self.zero, 0.0), TOP) + 0.5)


@dataclass(frozen=True)
class Factors:
    """``round(sum * factor / 2**shift)``; a factor for each channel or each input."""

    factors: NDArray[np.int32]
    shift: int


@dataclass(frozen=True)
class Numbers:
    """What a layer computes with; which of the fields it needs follows from its kind."""

    low: int = 0  # of what it gives
    high: int = TOP
    weight: NDArray[np.int8] | None = None  # O I/groups KH KW
    bias: NDArray[np.int32] | None = (
        None  # of raw numbers: what the zero of the map it reads adds is taken off
    )
    factors: Factors | None = None
    table: NDArray[np.uint8] | None = None  # of 256
    wide: bool = False  # it gives int32, neither shifted by a zero nor clamped


@dataclass(frozen=True)
class Quantized:
    """A graph in integers: geometry as in ``graph``, the rest beside it."""

    graph: Graph
    grids: tuple[Grid, ...]  # by map, the image first
    numbers: tuple[Numbers, ...]  # by layer

    @property
    def logit_scale(self) -> float:
        """What one of the integers that the last layer gives is worth."""
        return self.grids[-1].scale


def quantize(graph: Graph, images: torch.Tensor) -> Quantized:
    """A graph in integers.

    Args:
        graph: A folded one.
        images: uint8, ``N C H W``, of the training set: the maps' ranges are taken from them. A
            thousand will do.

    Raises:
        ShipError: A sum of products would not fit 32 bits.
    """
    ranges = _ranges(graph, images)
    last = len(graph.layers)
    grids = [Grid(1.0, 0)]
    numbers: list[Numbers] = []
    for at, layer in enumerate(graph.layers):
        read = [grids[number] for number in layer.inputs]
        grid = read[0] if layer.kind == "max pooling" else _grid(*ranges[at + 1])
        found, grid = _numbers(layer, read, grid, at + 1 == last)
        grids.append(grid)
        numbers.append(found)
    return Quantized(graph, tuple(grids), tuple(numbers))


def _numbers(layer: Layer, read: list[Grid], to: Grid, last: bool) -> tuple[Numbers, Grid]:
    """What a layer computes with, and the grid of what it gives: ``to``, unless that is wide."""
    if isinstance(layer, Convolution):
        return _convolution(layer, read[0], to, last)
    if isinstance(layer, Pooling) and layer.how == "mean":
        if last and layer.shape[1:] == (1, 1) and not any(layer.padding):
            return Numbers(wide=True), Grid(read[0].scale / (layer.window[0] * layer.window[1]), 0)
        return Numbers(factors=_factors([read[0].scale / to.scale], _MEAN_FACTOR_BITS)), to
    if isinstance(layer, Sum):
        return Numbers(
            *_limits(layer.clamp, to), factors=_factors([grid.scale / to.scale for grid in read])
        ), to
    if isinstance(layer, Product):
        return Numbers(factors=_factors([read[0].scale * read[1].scale / to.scale])), to
    if isinstance(layer, Concatenation):
        return Numbers(factors=_factors([grid.scale / to.scale for grid in read])), to
    if isinstance(layer, Activation):
        return Numbers(table=_table(layer, read[0], to)), to
    return Numbers(), to


def _convolution(layer: Convolution, read: Grid, to: Grid, last: bool) -> tuple[Numbers, Grid]:
    weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
    largest = np.abs(weight).max((1, 2, 3))
    # A channel of tiny weights under a large bias: its scale is what keeps the bias within 32 bits.
    scale = np.maximum(largest / _WEIGHT_TOP, np.abs(bias) / (read.scale * 2.0**29))
    # A channel of zeros takes any scale; a large one would set that of all logits.
    scale[scale == 0] = scale[scale > 0].min(initial=1.0)
    whole = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
    raw = np.rint(bias / (read.scale * scale)).astype(np.int64) - read.zero * whole.sum(
        (1, 2, 3), dtype=np.int64
    )
    if (np.abs(raw) + TOP * np.abs(whole.astype(np.int64)).sum((1, 2, 3))).max() >= 2**31:
        raise ShipError(
            f"{layer.name}: its sums do not fit 32 bits; export it in float32, or with a smaller window"
        )
    sums = read.scale * scale
    if wide := last and layer.clamp == FREE:
        to = Grid(float(sums.max()), 0)
    factors = _factors((sums / to.scale).tolist())
    return Numbers(*_limits(layer.clamp, to), whole, raw.astype(np.int32), factors, wide=wide), to


def _limits(clamp: Clamp, to: Grid) -> tuple[int, int]:
    return to.nearest(clamp[0]), to.nearest(clamp[1])


def _factors(ratios: list[float], bits: int = _FACTOR_BITS) -> Factors:
    """Integers for the ratios, of one shift, the largest of them as large as may be."""
    shift = min(max(bits - math.frexp(max(ratios))[1], 1), 2 * bits)
    whole = np.rint(np.array(ratios) * 2.0**shift)
    if whole.max() >= 2**31:
        raise ShipError(
            "a map's numbers are so much smaller than the next one's that int8 cannot tell them; export float32"
        )
    return Factors(whole.astype(np.int32), shift)


def _table(layer: Activation, read: Grid, to: Grid) -> NDArray[np.uint8]:
    shape = (1, 1, TOP + 1)
    scale, shift = np.full((1, 1, 1, 1), read.scale), np.array([-read.zero * read.scale])
    values = Convolution("", (0,), shape, scale, shift)
    of_each = Graph(shape, (values, dataclasses.replace(layer, inputs=(1,), shape=shape)))
    numbers = torch.arange(TOP + 1, dtype=torch.uint8).reshape(1, *shape)
    given = reference.maps(of_each, numbers, torch.float64)[-1].flatten()
    return np.array([to.nearest(value) for value in given.tolist()], np.uint8)


def _grid(low: float, high: float) -> Grid:
    """Zero lies between the two, so that padding has a number."""
    scale = (high - low) / TOP or 1.0
    return Grid(scale, min(max(round(-low / scale), 0), TOP))


def _ranges(graph: Graph, images: torch.Tensor) -> list[tuple[float, float]]:
    """The lowest and the highest number of each map that its grid is to have.

    Not cut off where that would leave a smaller squared error: tried on training images, it changed
    nothing in nets of ours.
    """
    ranges = [(0.0, 0.0)] * (len(graph.layers) + 1)
    for chunk in images.split(_IMAGES_AT_ONCE):
        seen = reference.maps(graph, chunk)
        ranges = [
            (min(low, float(values.min())), max(high, float(values.max())))
            for (low, high), values in zip(ranges, seen, strict=True)
        ]
    for at, layer in enumerate(graph.layers):
        # What is cut off below the largest of a window is never seen.
        if layer.kind == "max pooling" and len(graph.readers(layer.inputs[0])) == 1:
            ranges[layer.inputs[0]] = ranges[at + 1]
    return ranges
