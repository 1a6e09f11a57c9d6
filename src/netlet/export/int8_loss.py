"""Which layer costs an int8 export most, and why."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from netlet.export import reference
from netlet.export.calibration import Channels, limit_constant_inputs, measure_channels
from netlet.export.inference_graph import Convolution, InferenceGraph
from netlet.export.quantize import quantize_graph
from netlet.export.quantize_weights import QMAX, WEIGHT_MAX, QuantParams

_IMAGES = 100
_MOST = 0.5  # of the error, from which one layer is said to be the cause
_UNEVEN = (
    8.0  # ratio of two numbers on one scale, from which the smaller has lost three of eight bits
)


@dataclass(frozen=True)
class _Suspect:
    """The weights or the output of a layer."""

    index: int
    part: str
    error: float  # sum of the squared errors of the logits if it alone is quantized


def describe_int8_loss(graph: InferenceGraph, images: torch.Tensor) -> str:
    """Return which layer costs most and the likely cause, as a clause of a message.

    Each layer is quantized alone, its weights and its output separately.

    Args:
        graph: A folded graph.
        images: The calibration images.
    """
    images = images[:_IMAGES]
    channels = measure_channels(graph, images)
    graph = limit_constant_inputs(graph, channels)
    params = quantize_graph(graph, images).params
    maps = reference.compute_maps(graph, images)
    suspects = []
    for index, layer in enumerate(graph.layers):
        if isinstance(layer, Convolution):
            rounded = _replace_layer(graph, index, _round_weights(layer))
            error = _find_error(rounded, maps, index, None)
            suspects.append(_Suspect(index, "weights", error))
        if index + 1 < len(graph.layers):  # the logits stay 32-bit
            error = _find_error(graph, maps, index, params[index + 1])
            suspects.append(_Suspect(index, "output", error))
    total = sum(suspect.error for suspect in suspects)
    if not total:
        return ""
    worst = max(suspects, key=lambda suspect: suspect.error)
    share = worst.error / total
    name = f"the {worst.part} of {graph.layers[worst.index].name}"
    cause = _find_cause(graph, channels, worst)
    if share < _MOST:
        return f"many layers contribute to the error, {name} most ({share:.0%}{cause})"
    return f"{share:.0%} of the error come from {name}{cause}"


def _replace_layer(graph: InferenceGraph, index: int, layer: Convolution) -> InferenceGraph:
    layers = (*graph.layers[:index], layer, *graph.layers[index + 1 :])
    return dataclasses.replace(graph, layers=layers)


def _round_weights(layer: Convolution) -> Convolution:
    scale = np.abs(layer.weight).max((1, 2, 3), keepdims=True) / WEIGHT_MAX
    scale = np.where(scale > 0, scale, 1)
    weight = (np.rint(layer.weight / scale) * scale).astype(layer.weight.dtype)
    return dataclasses.replace(layer, weight=weight)


def _find_error(
    graph: InferenceGraph, maps: list[torch.Tensor], index: int, params: QuantParams | None
) -> float:
    """Return the squared error of the logits if a layer's output is computed by this graph.

    Args:
        graph: The graph, perhaps with rounded weights in this layer.
        maps: The exact feature maps.
        index: Of the layer.
        params: To round its output to; None: it is not rounded.
    """
    found = reference.compute_maps_from(graph, maps, index)
    if params:
        steps = torch.round(found[index + 1] / params.scale) + params.zero_point
        rounded = (steps.clamp(0, QMAX) - params.zero_point) * params.scale
        found = reference.compute_maps_from(graph, [*maps[: index + 1], rounded], index + 1)
    return float((found[-1] - maps[-1]).double().square().sum())


def _find_cause(graph: InferenceGraph, channels: list[Channels], suspect: _Suspect) -> str:
    """Return the likely cause in words, after a colon; empty if none is known."""
    layer = graph.layers[suspect.index]
    if suspect.part == "weights":
        assert isinstance(layer, Convolution)
        rows = np.abs(layer.weight).reshape(len(layer.weight), -1)
        ratio = float((rows.max(1) / np.maximum(np.median(rows, 1), 1e-30)).max())
        what = "the weights of a channel share one scale, and the largest is {} times the median"
    else:
        found = channels[suspect.index + 1]
        reach = np.maximum(np.abs(found.low), np.abs(found.high))
        varies = found.high - found.low >= (found.high.max() - found.low.min()) / QMAX
        ratio = float(reach.max() / reach[varies].min(initial=reach.max())) if reach.any() else 1.0
        what = "its channels share one scale, and the values of one are {} times those of another"
    return f": {what.format(f'{ratio:,.0f}')}" if ratio >= _UNEVEN else ""
