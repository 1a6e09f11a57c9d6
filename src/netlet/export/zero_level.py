"""Input normalization before padded convolutions, for int8."""

from __future__ import annotations

import dataclasses

from netlet.export.inference_graph import Convolution, InferenceGraph, Layer, Pooling
from netlet.export.map_layers import Rearrangement
from netlet.export.quantize_maps import only_chooses
from netlet.export.quantize_weights import QMAX

# In standard deviations of the images, by which padding may be shifted: 0.004 with the mean and the
# standard deviation of MNIST. Images of few gray levels are better off with a layer of its own.
_MOST_SHIFT = 0.02


def fold_normalization(graph: InferenceGraph) -> InferenceGraph:
    """Fold the input normalization into convolutions that it cannot be folded into exactly.

    The zeros around a normalized image are a gray level: 33.3 for MNIST's mean. As bytes they are
    the nearest one, 33. In a layer of its own, whose output holds zero exactly, all pixels would be
    shifted by the difference; here the convolutions' biases include it, and only the padding is
    shifted.

    Args:
        graph: A folded graph.

    Returns:
        The graph without the layer; the same graph if the layer is not the first but for max
        pooling, has several scales, or something other than convolutions reads its output, and if
        zero is not close to a gray level.
    """
    at = next(index for index, layer in enumerate(graph.layers) if not _is_max_pooling(layer))
    scale = graph.layers[at]
    if not isinstance(scale, Convolution) or not scale.is_channel_scale:
        return graph
    if any(graph.readers(number) != [number] for number in range(at + 1)):
        return graph
    factors, shifts = {*scale.weight.reshape(-1).tolist()}, {*scale.bias.tolist()}
    if len(factors) > 1 or len(shifts) > 1:
        return graph
    (factor,), (shift,) = factors, shifts
    if factor <= 0 or not 0 <= -shift / factor <= QMAX:
        return graph
    level = round(-shift / factor)
    if abs(shift + factor * level) > _MOST_SHIFT:
        return graph
    updates: dict[int, Layer] = {}
    normalized = {at + 1}  # feature maps whose values are those of the normalized image
    for index, layer in enumerate(graph.layers):
        if normalized.isdisjoint(layer.inputs):
            continue
        if isinstance(layer, Convolution):
            updates[index] = _fold_scale(layer, factor, shift + factor * level)
            continue
        if not only_chooses(layer):
            return graph
        normalized.add(index + 1)
        if isinstance(layer, Rearrangement) and layer.has_constants:
            fill = (layer.fill - shift) / factor
            if not 0 <= round(fill) <= QMAX:
                return graph
            updates[index] = dataclasses.replace(layer, fill=fill - level)
    if len(graph.layers) in normalized:
        return graph
    return dataclasses.replace(graph.remove_layer(at, at, updates), zero_level=level)


def _is_max_pooling(layer: Layer) -> bool:
    return isinstance(layer, Pooling) and layer.mode == "max"


def _fold_scale(conv: Convolution, factor: float, shift: float) -> Convolution:
    """Return a convolution of ``x`` in place of one of ``x * factor + shift``; padding is zero."""
    bias = conv.bias + conv.weight.sum((1, 2, 3), dtype="float64") * shift
    return dataclasses.replace(
        conv,
        weight=(conv.weight * factor).astype(conv.weight.dtype),
        bias=bias.astype(conv.bias.dtype),
    )
