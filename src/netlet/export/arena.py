"""The memory plan of the C export: all feature maps share one static arena."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from netlet.export.inference_graph import (
    Activation,
    Convolution,
    InferenceGraph,
    Pooling,
    Product,
    Sum,
)
from netlet.export.map_layers import ChannelSlope, Rearrangement


@dataclass(frozen=True)
class Arena:
    """The offset of each feature map; offsets and size are in elements, not bytes."""

    offsets: tuple[int | None, ...]  # by feature map, the image first; None: stored elsewhere
    size: int


def lifetimes(graph: InferenceGraph) -> list[tuple[int, int]]:
    """Return the lifetime of each feature map.

    Returns:
        For each feature map the index of the layer that computes it (-1 for the image) and of the
        last layer that reads it.
    """
    return [
        (number - 1, max(graph.readers(number), default=number - 1))
        for number in range(len(graph.layers) + 1)
    ]


def plan_arena(graph: InferenceGraph, elsewhere: Collection[int]) -> Arena:
    """Assign an offset to each feature map.

    One after another, each where it is free during its lifetime: by size, the largest first
    ("greedy by size" of TensorFlow Lite's planner, Pisarchyk and Lee 2020), or in the order of
    execution or its reverse, whichever needs least. An element-wise layer may overwrite its input;
    a layer with windows may overwrite the rows of its input that it has read for the last time.

    Args:
        graph: The graph.
        elsewhere: Numbers of feature maps that are stored outside the arena.
    """
    buffers = _list_buffers(graph, elsewhere)
    orders = (
        sorted(buffers, key=lambda buffer: (-buffer.size, buffer.first)),
        buffers,
        buffers[::-1],
    )
    plans = [_place_buffers(graph, order) for order in orders]
    starts = min(plans, key=_find_end)
    offsets: list[int | None] = [None] * (len(graph.layers) + 1)
    for buffer, start in starts.items():
        for number in buffer.numbers:
            offsets[number] = start
    return Arena(tuple(offsets), _find_end(starts))


def row_distance(graph: InferenceGraph, number: int) -> int | None:
    """Return by how much a layer's output must begin before its input to overwrite read rows.

    Every row of the output then ends before the first input row that it is computed from.

    Args:
        graph: The graph.
        number: The number of the feature map that the layer computes.

    Returns:
        Elements; None if the layer has no windows, or something else reads its input later.
    """
    layer = graph.layers[number - 1]
    if not isinstance(layer, Convolution | Pooling):
        return None
    (read,) = layer.inputs
    if max(graph.readers(read)) != number - 1:
        return None
    channels, _, width = graph.shapes[read]
    row, input_row = layer.shape[0] * layer.shape[2], channels * width
    return max(
        (y + 1) * row - max(0, y * layer.stride[0] - layer.padding[0]) * input_row
        for y in range(layer.shape[1])
    )


@dataclass(frozen=True)
class _Buffer:
    """Feature maps that overwrite one another, in order of execution."""

    numbers: tuple[int, ...]
    size: int
    first: int  # index of the first layer that uses it
    last: int
    distance: int | None  # from the input of its first layer; None: it may not overwrite it

    def overlaps(self, other: _Buffer) -> bool:
        """Return whether both are needed at the same time."""
        return self.first <= other.last and other.first <= self.last


def _list_buffers(graph: InferenceGraph, elsewhere: Collection[int]) -> list[_Buffer]:
    alive = lifetimes(graph)
    return [
        _Buffer(
            tuple(numbers),
            math.prod(graph.shapes[numbers[0]]),
            alive[numbers[0]][0],
            alive[numbers[-1]][1],
            row_distance(graph, numbers[0]) if numbers[0] else None,
        )
        for numbers in _shared_buffers(graph, elsewhere)
    ]


def _place_buffers(graph: InferenceGraph, order: Sequence[_Buffer]) -> dict[_Buffer, int]:
    """Place buffers in this order, each where it makes the arena least larger, then lowest."""
    starts: dict[_Buffer, int] = {}
    low = high = 0
    for buffer in order:
        others = [(other, at) for other, at in starts.items() if buffer.overlaps(other)]
        candidates = {low}
        for other, at in others:
            candidates |= {at + other.size, at - buffer.size}
            if (distance := _distance(graph, other, buffer)) is not None:
                candidates.add(at - distance)
            if (distance := _distance(graph, buffer, other)) is not None:
                candidates.add(at + distance)
        extents = [
            (max(high, at + buffer.size) - min(low, at), at)
            for at in candidates
            if all(_can_coexist(graph, (buffer, at), placed) for placed in others)
        ]
        start = min(extents)[1]
        starts[buffer] = start
        low, high = min(low, start), max(high, start + buffer.size)
    return {buffer: start - low for buffer, start in starts.items()}


def _can_coexist(
    graph: InferenceGraph, one: tuple[_Buffer, int], other: tuple[_Buffer, int]
) -> bool:
    """Return whether neither of two placed buffers overwrites what is still needed of the other."""
    (a, a_start), (b, b_start) = one, other
    if a_start + a.size <= b_start or b_start + b.size <= a_start:
        return True
    for (read, read_start), (made, made_start) in ((one, other), (other, one)):
        distance = _distance(graph, read, made)
        if distance is not None and made_start + distance <= read_start:
            return True
    return False


def _distance(graph: InferenceGraph, read: _Buffer, made: _Buffer) -> int | None:
    """Return the distance of two buffers if the layer that fills the second reads the first."""
    if made.distance is None or made.first != read.last:
        return None
    return made.distance if graph.layers[made.first].inputs == (read.numbers[-1],) else None


def _find_end(starts: Mapping[_Buffer, int]) -> int:
    return max((start + buffer.size for buffer, start in starts.items()), default=0)


def _shared_buffers(graph: InferenceGraph, elsewhere: Collection[int]) -> list[list[int]]:
    """Group the feature maps that overwrite one another, in order of execution."""
    buffers: list[list[int]] = []
    for number in range(len(graph.layers) + 1):
        if number in elsewhere:
            continue
        overwritten = _input_to_overwrite(graph, number)
        shared = next(
            (b for b in buffers if overwritten is not None and b[-1] == overwritten), None
        )
        if shared is None:
            buffers.append([number])
        else:
            shared.append(number)
    return buffers


def _input_to_overwrite(graph: InferenceGraph, number: int) -> int | None:
    """Return the input that a feature map's layer may overwrite; None if there is none."""
    if number == 0:
        return None
    layer = graph.layers[number - 1]
    in_place = isinstance(layer, Activation | ChannelSlope | Sum | Product)
    if isinstance(layer, Rearrangement):
        in_place = layer.is_copy(graph.shapes[layer.inputs[0]])
    for read in layer.inputs if in_place else ():
        same_size = math.prod(graph.shapes[read]) == math.prod(layer.shape)
        if same_size and max(graph.readers(read)) == number - 1:
            return read
    return None
