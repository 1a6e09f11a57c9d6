"""What calibration images show of a graph's feature maps, before it is quantized."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.export import reference
from netlet.export.inference_graph import Convolution, InferenceGraph, Layer
from netlet.export.quantize_maps import include_constants, only_chooses
from netlet.export.quantize_weights import QMAX

Ranges = list[tuple[float, float]]  # the smallest and the largest value of each feature map
_IMAGES_AT_ONCE = 250


@dataclass(frozen=True)
class Channels:
    """The values of each channel of a feature map, on all calibration images."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]


def measure_channels(graph: InferenceGraph, images: torch.Tensor) -> list[Channels]:
    """Return the smallest, the largest and the mean value of each channel of each feature map.

    Args:
        graph: A folded graph.
        images: Training images, uint8 ``N C H W``.
    """
    found: list[Channels] = []
    for batch in images.split(_IMAGES_AT_ONCE):
        share = len(batch) / len(images)
        channels = [
            Channels(
                values.amin((0, 2, 3)).double().numpy(),
                values.amax((0, 2, 3)).double().numpy(),
                values.mean((0, 2, 3), dtype=torch.float64).numpy() * share,
            )
            for values in reference.compute_maps(graph, batch)
        ]
        found = list(map(_merge, found, channels)) if found else channels
    return found


def _merge(one: Channels, other: Channels) -> Channels:
    return Channels(
        np.minimum(one.low, other.low),
        np.maximum(one.high, other.high),
        one.mean + other.mean,
    )


def find_ranges(graph: InferenceGraph, channels: list[Channels]) -> Ranges:
    """Return the smallest and the largest value of each feature map; zero is between them.

    Clipping the range to minimize the squared error changed nothing in our nets, measured on
    training images.

    Args:
        graph: The graph.
        channels: From :func:`measure_channels`.
    """
    ranges = [(min(0.0, float(c.low.min())), max(0.0, float(c.high.max()))) for c in channels]
    for index, layer in enumerate(graph.layers):
        # Values below the maximum of every window do not matter: the range is that of the output.
        if only_chooses(layer) and len(graph.readers(layer.inputs[0])) == 1:
            ranges[layer.inputs[0]] = ranges[index + 1]
    include_constants(graph, ranges)
    return ranges


def limit_constant_inputs(graph: InferenceGraph, channels: list[Channels]) -> InferenceGraph:
    """Return a graph in which inputs that never change do not decide how weights are rounded.

    A unit that is 0 for all images has a variance of 0, and the batch norm after it divides by the
    square root of its ``eps``: folded into the next layer, it multiplies the weights of that input
    by several hundred. One scale for all weights of an output channel would then leave the other
    inputs hardly any levels. A channel whose values differ by less than a unit of its feature map
    is a constant in int8: where its weights are larger than all others, they are clipped, and the
    bias makes up for it. On the calibration images, the result is the same up to rounding.

    Args:
        graph: A folded graph.
        channels: Of its feature maps, from :func:`measure_channels`.

    Returns:
        The graph itself if no weight is too large.
    """
    ranges, layers = find_ranges(graph, channels), list(graph.layers)
    for index, layer in enumerate(layers):
        if isinstance(layer, Convolution):
            (number,) = layer.inputs
            low, high = ranges[number]
            layers[index] = _limit_weights(layer, channels[number], (high - low) / QMAX)
    same = all(one is other for one, other in zip(layers, graph.layers, strict=True))
    return graph if same else dataclasses.replace(graph, layers=tuple(layers))


def _limit_weights(layer: Convolution, read: Channels, unit: float) -> Layer:
    """Clip the weights of a convolution that reads constants; ``unit`` is that of its input."""
    constant = read.high - read.low < unit
    if any(layer.padding):  # zeros are among the values of each channel
        constant &= np.maximum(np.abs(read.low), np.abs(read.high)) < unit / 2
    number = layer.input_channels
    magnitudes = np.abs(layer.weight).max((2, 3))
    others = np.where(constant[number], 0, magnitudes).max(1)
    # An output channel of constants alone is limited, too: its sums make the output's unit coarser.
    limit = np.where(others > 0, others, others.max())[:, None]
    too_large = constant[number] & (magnitudes > limit)
    if not others.any() or not too_large.any():
        return layer
    limits = np.where(too_large, limit, magnitudes)[:, :, None, None]
    weight = np.clip(layer.weight, -limits, limits)
    cut = (layer.weight - weight).sum((2, 3), dtype=np.float64)
    bias = layer.bias + (cut * read.mean[number]).sum(1)
    return dataclasses.replace(layer, weight=weight, bias=bias.astype(layer.bias.dtype))
