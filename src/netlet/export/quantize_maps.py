"""Quantization of layers that move, resample or normalize the elements of feature maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netlet.errors import ExportError
from netlet.export.inference_graph import InferenceGraph, Layer, Pooling
from netlet.export.map_layers import Normalization, Rearrangement, Resampling
from netlet.export.quantize_weights import QMAX

TAP_UNIT = 2**14  # stands for a weight of 1 in a resampling
_MOST_BITS = 61  # of products that are shifted
_FEWEST_MULTIPLIER_BITS = 12
_LARGEST_TAP = 2**15 - 1

Taps = tuple[NDArray[np.int16], NDArray[np.int16]]  # for rows and columns, as of a Resampling


@dataclass(frozen=True)
class QuantizedNorm:
    """The integers that a norm computes with.

    With the sum ``s`` and the sum of squares ``t`` of ``n`` integers ``q`` (zero point subtracted),
    ``(x - mean) / sqrt(var + eps)`` is ``(n*q - s) / sqrt(n*t - s*s + n*n*eps / scale**2)``. That
    root is taken of an integer times ``4**bits``, so that it has as many bits more. ``numerator``
    divided by it is the multiplier of ``n*q - s``; the product is shifted right by ``shift``.
    """

    count: int  # n
    eps: int  # the last summand
    bits: int
    numerator: int
    shift: int


def quantize_norm(layer: Normalization, scale: float, output_scale: float) -> QuantizedNorm:
    """Return the integers of a norm.

    Args:
        layer: The norm.
        scale: The scale of its input.
        output_scale: The scale of its output.

    Raises:
        ExportError: Its sums do not fit 64 bits.
    """
    count = layer.shape[0] // layer.groups
    if not layer.per_pixel:
        count *= layer.shape[1] * layer.shape[2]
    eps = max(1, round(count**2 * layer.eps / scale**2))
    bits = (_MOST_BITS - (count**2 * QMAX**2 + eps).bit_length()) // 2
    # No value is further from the mean than sqrt(n) standard deviations, which bounds the product.
    farthest = math.log2(count) / 2 - math.log2(output_scale)
    shift = min(
        _MOST_BITS - 1 - math.ceil(farthest),
        _MOST_BITS - bits - math.ceil(-math.log2(output_scale)),
    )
    if bits < 0 or shift < 1:
        raise ExportError(
            f"{layer.name}: a norm of {count:,} values does not fit 64 bits; export without --int8 "
            "(int8 in Python)"
        )
    shift = min(shift, 40)
    return QuantizedNorm(count, eps, bits, round(2.0 ** (bits + shift) / output_scale), shift)


def quantize_taps(layer: Resampling) -> tuple[Taps, int]:
    """Return the weights of a resampling as integers, and the largest sum of their products.

    Args:
        layer: The resampling.

    Raises:
        ExportError: A sum does not fit 64 bits, or a weight 16.
    """
    down, across = (
        np.rint(weights.astype(np.float64) * TAP_UNIT) for weights in (layer.down, layer.across)
    )
    largest = round(np.abs(down).sum(1).max() * np.abs(across).sum(1).max())
    too_large = (largest * QMAX).bit_length() > _MOST_BITS - _FEWEST_MULTIPLIER_BITS
    if too_large or max(np.abs(down).max(), np.abs(across).max()) > _LARGEST_TAP:
        raise ExportError(
            f"{layer.name}: its sums are too large for int8; export without --int8 (int8 in "
            "Python), or use means"
        )
    return (down.astype(np.int16), across.astype(np.int16)), largest


def include_constants(graph: InferenceGraph, ranges: list[tuple[float, float]]) -> None:
    """Widen the ranges of feature maps by the constants that a layer adds to their values.

    Args:
        graph: The graph.
        ranges: The smallest and the largest value of each feature map, which may become wider.
    """
    for layer in graph.layers:
        number = layer.inputs[0] if isinstance(layer, Rearrangement) else 0
        while isinstance(layer, Rearrangement) and layer.has_constants:
            low, high = ranges[number]
            ranges[number] = min(low, layer.fill), max(high, layer.fill)
            # What only chooses among values has the range of its input.
            if not number or not only_chooses(graph.layers[number - 1]):
                break
            number = graph.layers[number - 1].inputs[0]


def only_chooses(layer: Layer) -> bool:
    """Return whether a layer only chooses among values: a max pooling, a crop and the like."""
    return (isinstance(layer, Pooling) and layer.mode == "max") or isinstance(layer, Rearrangement)
