"""The memory plan of the C export: all feature maps share one static arena."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from netlet.export.inference_graph import Activation, InferenceGraph, Product, Sum


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

    Largest first, each at the lowest offset that is free during its lifetime: "greedy by size" of
    TensorFlow Lite's planner (Pisarchyk and Lee 2020). An element-wise layer may overwrite its
    input.

    Args:
        graph: The graph.
        elsewhere: Numbers of feature maps that are stored outside the arena.
    """
    alive = lifetimes(graph)
    buffers = _shared_buffers(graph, elsewhere)

    def size(buffer: list[int]) -> int:
        return math.prod(graph.shapes[buffer[0]])

    offsets: list[int | None] = [None] * len(alive)
    placed: list[tuple[int, int, tuple[int, int]]] = []  # first offset, end, lifetime
    for buffer in sorted(buffers, key=lambda buffer: (-size(buffer), buffer)):
        first, last = alive[buffer[0]][0], alive[buffer[-1]][1]
        start = 0
        for begin, end, (since, until) in sorted(placed):
            if since <= last and first <= until and start + size(buffer) > begin:
                start = max(start, end)
        placed.append((start, start + size(buffer), (first, last)))
        for number in buffer:
            offsets[number] = start
    return Arena(tuple(offsets), max((end for _, end, _ in placed), default=0))


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
    if number == 0 or not isinstance(layer := graph.layers[number - 1], Activation | Sum | Product):
        return None
    for read in layer.inputs:
        same_shape = graph.shapes[read] == layer.shape
        if same_shape and max(graph.readers(read)) == number - 1:
            return read
    return None
