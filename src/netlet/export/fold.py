"""Graph folding: fewer layers that compute the same function.

Each rule returns a graph that is equal to the one before in exact arithmetic. The rules are applied
until none applies any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from netlet.export.inference_graph import (
    UNBOUNDED,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    InferenceGraph,
    Layer,
    Pooling,
    Sum,
)
from netlet.export.map_layers import Rearrangement

_Rule = Callable[[InferenceGraph, int], InferenceGraph | None]


def fold_graph(graph: InferenceGraph) -> InferenceGraph:
    """Fold batch norm, input normalization and ReLU into the layers beside them.

    Returns:
        An equivalent graph with float32 weights.
    """
    graph = _remove_unread_layers(graph)
    while (folded := _apply_first_rule(graph)) is not None:
        graph = folded
    return dataclasses.replace(graph, layers=tuple(map(_to_float32, graph.layers)))


def _to_float32(layer: Layer) -> Layer:
    """Return a layer with its numbers in float32."""
    arrays = {
        field.name: getattr(layer, field.name).astype(np.float32)
        for field in dataclasses.fields(layer)
        if isinstance(getattr(layer, field.name), np.ndarray)
    }
    return dataclasses.replace(layer, **arrays)


def _apply_first_rule(graph: InferenceGraph) -> InferenceGraph | None:
    for index in range(len(graph.layers)):
        for rule in _RULES:
            if (folded := rule(graph, index)) is not None:
                return folded
    return None


def _remove_unread_layers(graph: InferenceGraph) -> InferenceGraph:
    for index in reversed(range(len(graph.layers) - 1)):
        if not graph.readers(index + 1):
            graph = graph.remove_layer(index, 0, {})
    return graph


def _sole_reader(graph: InferenceGraph, index: int) -> tuple[int, Layer] | None:
    """Return index and layer of the only reader of a layer's output; None if there are several."""
    readers = graph.readers(index + 1)
    return (readers[0], graph.layers[readers[0]]) if len(readers) == 1 else None


def _fold_scale_into_previous_convolution(
    graph: InferenceGraph, index: int
) -> InferenceGraph | None:
    """Fold a channel scale after an unclamped convolution: batch norm after a convolution."""
    conv, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(conv, Convolution) or conv.clamp != UNBOUNDED or reader is None:
        return None
    reader_index, scale = reader
    if not isinstance(scale, Convolution) or not scale.is_channel_scale:
        return None
    factor = scale.weight.reshape(-1)
    merged = dataclasses.replace(
        conv, weight=conv.weight * factor.reshape(-1, 1, 1, 1), bias=conv.bias * factor + scale.bias
    )
    return graph.remove_layer(reader_index, index + 1, {index: merged})


def _fold_scale_into_next_convolution(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Fold a channel scale before an unpadded convolution: input normalization, batch norm.

    Before a padded convolution a scale with a shift stays: the zeros are padded around the shifted
    feature map, and would be other numbers before the shift.
    """
    scale, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(scale, Convolution) or not scale.is_channel_scale or reader is None:
        return None
    reader_index, conv = reader
    if not isinstance(conv, Convolution):
        return None
    channels = conv.input_channels
    factor, shift = scale.weight.reshape(-1)[channels], scale.bias[channels]
    if any(conv.padding) and shift.any():
        return None
    bias = conv.bias + (conv.weight.sum((2, 3)) * shift).sum(1)
    merged = dataclasses.replace(
        conv, inputs=scale.inputs, weight=conv.weight * factor[:, :, None, None], bias=bias
    )
    return graph.remove_layer(index, scale.inputs[0], {reader_index: merged})


def _fold_scale_through_rearrangement(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Fold a channel scale after a rearrangement into the convolution before it.

    That is batch norm after a transposed convolution. Each channel before has to become parts of
    channels that have one scale.
    """
    moved, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(moved, Rearrangement) or moved.has_constants or reader is None:
        return None
    reader_index, scale = reader
    (before,) = moved.inputs
    conv = graph.layers[before - 1] if before else None
    if not isinstance(scale, Convolution) or not scale.is_channel_scale:
        return None
    if not isinstance(conv, Convolution) or conv.clamp != UNBOUNDED:
        return None
    if len(graph.readers(before)) != 1:
        return None
    channels, h, w = conv.shape
    sources = moved.places(conv.shape).reshape(moved.shape[0], -1) // (h * w)
    numbers = np.stack([scale.weight.reshape(-1), scale.bias])
    found = np.stack([np.ones(channels), np.zeros(channels)])
    for channel, read in enumerate(sources):
        found[:, read] = numbers[:, channel, None]
    if any((found[:, read] != numbers[:, c, None]).any() for c, read in enumerate(sources)):
        return None
    factor, shift = found
    merged = dataclasses.replace(
        conv, weight=conv.weight * factor[:, None, None, None], bias=conv.bias * factor + shift
    )
    return graph.remove_layer(reader_index, index + 1, {before - 1: merged})


def _move_scale_after_pooling(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Swap a channel scale and the pooling after it.

    The scale then works on a smaller feature map and may be foldable into the next convolution. Max
    pooling requires positive scales; mean pooling must not count padding.
    """
    scale, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(scale, Convolution) or not scale.is_channel_scale or reader is None:
        return None
    reader_index, pool = reader
    if not isinstance(pool, Pooling) or pool.count_include_pad:
        return None
    if pool.mode == "max" and (scale.weight <= 0).any():
        return None
    moved = dataclasses.replace(scale, shape=pool.shape)
    return _swap_layers(graph, (index, reader_index), (pool, moved))


def _move_pointwise_after_mean(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Swap an unclamped 1x1 convolution and the mean after it: far fewer multiply-adds."""
    conv, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(conv, Convolution) or reader is None:
        return None
    if conv.window != (1, 1) or conv.clamp != UNBOUNDED:
        return None
    reader_index, pool = reader
    if not isinstance(pool, Pooling) or pool.mode != "mean" or pool.count_include_pad:
        return None
    if any(conv.padding) or conv.stride != (1, 1) or conv.is_channel_scale:
        return None
    channels = conv.weight.shape[1] * conv.groups
    mean = dataclasses.replace(pool, shape=(channels, *pool.shape[1:]))
    moved = dataclasses.replace(conv, shape=pool.shape)
    return _swap_layers(graph, (index, reader_index), (mean, moved))


def _merge_means(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Merge a mean of rows and a mean of columns: ``x.mean(3).mean(2)``."""
    first, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(first, Pooling) or reader is None:
        return None
    reader_index, second = reader
    if not isinstance(second, Pooling) or any(first.padding) or any(second.padding):
        return None
    if not first.mode == second.mode == "mean":
        return None
    if (first.stride, second.stride) != (first.window, second.window):
        return None
    (h, w), (then_h, then_w) = first.window, second.window
    if 1 not in (h, then_h) or 1 not in (w, then_w):
        return None
    window = (h * then_h, w * then_w)
    merged = dataclasses.replace(second, inputs=first.inputs, window=window, stride=window)
    return graph.remove_layer(index, first.inputs[0], {reader_index: merged})


def _swap_layers(
    graph: InferenceGraph, indices: tuple[int, int], layers: tuple[Layer, Layer]
) -> InferenceGraph:
    """Put two layers in place of the two at these indices, the second of which reads the first."""
    # Layers between the two are not affected: the second alone reads the first.
    first, second = indices
    swapped = list(graph.layers)
    swapped[first] = dataclasses.replace(layers[0], inputs=graph.layers[first].inputs)
    swapped[second] = dataclasses.replace(layers[1], inputs=(first + 1,))
    return dataclasses.replace(graph, layers=tuple(swapped))


def _fold_clamp_into_previous_layer(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Fold a ReLU into the convolution or sum before it."""
    layer, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(layer, Convolution | Sum) or reader is None:
        return None
    reader_index, clamp = reader
    if not isinstance(clamp, Activation) or clamp.function != "clamp":
        return None
    merged = dataclasses.replace(layer, clamp=_compose_clamps(layer.clamp, clamp.bounds))
    return graph.remove_layer(reader_index, index + 1, {index: merged})


def _fold_clamp_through_max_pooling(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Fold a ReLU after a max pooling into the convolution or sum before the pooling.

    The maximum of clamped numbers is the clamped maximum. A rearrangement, such as the end of a
    transposed convolution, leaves the numbers as they are.
    """
    pool, reader = graph.layers[index], _sole_reader(graph, index)
    moves = isinstance(pool, Rearrangement) and not pool.has_constants
    if not moves and not (isinstance(pool, Pooling) and pool.mode == "max"):
        return None
    if reader is None:
        return None
    reader_index, clamp = reader
    before = pool.inputs[0]
    if not isinstance(clamp, Activation) or clamp.function != "clamp" or not before:
        return None
    layer = graph.layers[before - 1]
    if not isinstance(layer, Convolution | Sum) or len(graph.readers(before)) != 1:
        return None
    merged = dataclasses.replace(layer, clamp=_compose_clamps(layer.clamp, clamp.bounds))
    return graph.remove_layer(reader_index, index + 1, {before - 1: merged})


def _fold_clamp_through_concatenation(graph: InferenceGraph, index: int) -> InferenceGraph | None:
    """Fold a ReLU after a concatenation into the convolutions and sums that it joins."""
    joined, reader = graph.layers[index], _sole_reader(graph, index)
    if not isinstance(joined, Concatenation) or reader is None:
        return None
    reader_index, clamp = reader
    if not isinstance(clamp, Activation) or clamp.function != "clamp":
        return None
    merged: dict[int, Layer] = {}
    for number in joined.inputs:
        layer = graph.layers[number - 1]
        if not number or not isinstance(layer, Convolution | Sum):
            return None
        if len(graph.readers(number)) != 1:
            return None
        bounds = _compose_clamps(layer.clamp, clamp.bounds)
        merged[number - 1] = dataclasses.replace(layer, clamp=bounds)
    return graph.remove_layer(reader_index, index + 1, merged)


def _compose_clamps(first: Clamp, then: Clamp) -> Clamp:
    low, high = (min(max(bound, then[0]), then[1]) for bound in first)
    return low, high


_RULES: tuple[_Rule, ...] = (
    _fold_scale_into_previous_convolution,
    _fold_scale_into_next_convolution,
    _fold_scale_through_rearrangement,
    _fold_clamp_into_previous_layer,
    _fold_clamp_through_max_pooling,
    _fold_clamp_through_concatenation,
    _move_scale_after_pooling,
    _move_pointwise_after_mean,
    _merge_means,
)
