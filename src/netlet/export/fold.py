"""The same function with fewer layers: what training needed apart and running does not.

Each rule gives a graph that is equal to the one before in real arithmetic; they are applied until
none applies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from netlet.export.graph import FREE, Activation, Clamp, Convolution, Graph, Layer, Pooling, Sum

_Rule = Callable[[Graph, int], Graph | None]


def folded(graph: Graph) -> Graph:
    """A graph without batch norms and normalization of its own where a convolution can do their work; float32."""
    graph = _without_dead(graph)
    while (smaller := _once(graph)) is not None:
        graph = smaller
    layers = [
        dataclasses.replace(
            layer, weight=layer.weight.astype(np.float32), bias=layer.bias.astype(np.float32)
        )
        if isinstance(layer, Convolution)
        else layer
        for layer in graph.layers
    ]
    return dataclasses.replace(graph, layers=tuple(layers))


def _once(graph: Graph) -> Graph | None:
    for at in range(len(graph.layers)):
        for rule in _RULES:
            if (changed := rule(graph, at)) is not None:
                return changed
    return None


def _without_dead(graph: Graph) -> Graph:
    for at in reversed(range(len(graph.layers) - 1)):
        if not graph.readers(at + 1):
            graph = graph.without(at, 0, {})
    return graph


def _alone_after(graph: Graph, at: int) -> tuple[int, Layer] | None:
    """The only layer that reads what a layer gives, and its place."""
    readers = graph.readers(at + 1)
    return (readers[0], graph.layers[readers[0]]) if len(readers) == 1 else None


def _scale_into_convolution_before(graph: Graph, at: int) -> Graph | None:
    """A scale that alone reads a convolution which does not clamp: batch norm after convolution."""
    conv, after = graph.layers[at], _alone_after(graph, at)
    if not isinstance(conv, Convolution) or conv.clamp != FREE or after is None:
        return None
    place, scale = after
    if not isinstance(scale, Convolution) or not scale.scales_only:
        return None
    factor = scale.weight.reshape(-1)
    merged = dataclasses.replace(
        conv, weight=conv.weight * factor.reshape(-1, 1, 1, 1), bias=conv.bias * factor + scale.bias
    )
    return graph.without(place, at + 1, {at: merged})


def _scale_into_convolution_after(graph: Graph, at: int) -> Graph | None:
    """A scale before a convolution without padding: normalization of the input, batch norm after ReLU.

    With padding it stays: the zeros are put around what it gives, and are other numbers before it.
    """
    scale, after = graph.layers[at], _alone_after(graph, at)
    if not isinstance(scale, Convolution) or not scale.scales_only or after is None:
        return None
    place, conv = after
    if not isinstance(conv, Convolution) or any(conv.padding):
        return None
    out, per_group, *_ = conv.weight.shape
    # Channel i of output o is channel (o's group) * per_group + i of the input.
    group = np.arange(out) // (out // conv.groups)
    reads = group[:, None] * per_group + np.arange(per_group)
    factor, shift = scale.weight.reshape(-1)[reads], scale.bias[reads]
    bias = conv.bias + (conv.weight.sum((2, 3)) * shift).sum(1)
    merged = dataclasses.replace(
        conv, inputs=scale.inputs, weight=conv.weight * factor[:, :, None, None], bias=bias
    )
    return graph.without(at, scale.inputs[0], {place: merged})


def _scale_behind_pooling(graph: Graph, at: int) -> Graph | None:
    """A scale before a pooling does the same after it, on a smaller map, and may find a convolution there.

    For the largest of a window only where no channel's sign turns; for the mean only without zeros
    counted in.
    """
    scale, after = graph.layers[at], _alone_after(graph, at)
    if not isinstance(scale, Convolution) or not scale.scales_only or after is None:
        return None
    place, pool = after
    if (
        not isinstance(pool, Pooling)
        or pool.counts_padding
        or (pool.how == "max" and (scale.weight <= 0).any())
    ):
        return None
    return _swapped(graph, at, place, pool, dataclasses.replace(scale, shape=pool.shape))


def _pointwise_behind_mean(graph: Graph, at: int) -> Graph | None:
    """A 1x1 convolution that does not clamp, before a mean: the mean first, then far fewer multiply-adds."""
    conv, after = graph.layers[at], _alone_after(graph, at)
    if (
        not isinstance(conv, Convolution)
        or conv.window != (1, 1)
        or conv.clamp != FREE
        or after is None
    ):
        return None
    place, pool = after
    if not isinstance(pool, Pooling) or pool.how != "mean" or pool.counts_padding:
        return None
    if any(conv.padding) or conv.stride != (1, 1) or conv.scales_only:
        return None
    channels = conv.weight.shape[1] * conv.groups
    averaged = dataclasses.replace(pool, shape=(channels, *pool.shape[1:]))
    return _swapped(graph, at, place, averaged, dataclasses.replace(conv, shape=pool.shape))


def _swapped(graph: Graph, at: int, place: int, first: Layer, second: Layer) -> Graph:
    # What lies between the two does not read either: one reads the other alone, and layers stand in
    # any valid order.
    layers = list(graph.layers)
    moved = dataclasses.replace(first, inputs=graph.layers[at].inputs)
    rest = dataclasses.replace(second, inputs=(at + 1,))
    layers[at], layers[place] = moved, rest
    return dataclasses.replace(graph, layers=tuple(layers))


def _clamp_into_layer_before(graph: Graph, at: int) -> Graph | None:
    """A ReLU into the convolution or sum that it alone reads."""
    layer, after = graph.layers[at], _alone_after(graph, at)
    if not isinstance(layer, Convolution | Sum) or after is None:
        return None
    place, clamp = after
    if not isinstance(clamp, Activation) or clamp.function != "clamp":
        return None
    merged = dataclasses.replace(layer, clamp=_both(layer.clamp, clamp.bounds))
    return graph.without(place, at + 1, {at: merged})


def _clamp_before_max_pooling(graph: Graph, at: int) -> Graph | None:
    """The largest of what is clamped is the clamped largest; so a ReLU after a pooling finds the convolution before."""
    pool, after = graph.layers[at], _alone_after(graph, at)
    if not isinstance(pool, Pooling) or pool.how != "max" or after is None:
        return None
    place, clamp = after
    before = pool.inputs[0]
    if not isinstance(clamp, Activation) or clamp.function != "clamp" or not before:
        return None
    layer = graph.layers[before - 1]
    if not isinstance(layer, Convolution | Sum) or len(graph.readers(before)) != 1:
        return None
    merged = dataclasses.replace(layer, clamp=_both(layer.clamp, clamp.bounds))
    return graph.without(place, at + 1, {before - 1: merged})


def _both(first: Clamp, then: Clamp) -> Clamp:
    low, high = (min(max(bound, then[0]), then[1]) for bound in first)
    return low, high


_RULES: tuple[_Rule, ...] = (
    _scale_into_convolution_before,
    _scale_into_convolution_after,
    _clamp_into_layer_before,
    _clamp_before_max_pooling,
    _scale_behind_pooling,
    _pointwise_behind_mean,
)
