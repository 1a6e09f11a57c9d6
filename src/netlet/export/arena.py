"""One piece of memory for all maps of a net: a map takes the place of one that nobody needs any more."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from netlet.export.graph import Activation, Graph, Product, Sum


@dataclass(frozen=True)
class Arena:
    """Where each map lies; offsets and size count numbers, not bytes."""

    offsets: tuple[int | None, ...]  # by map, the image first; None: it lies elsewhere
    size: int


def lifetimes(graph: Graph) -> list[tuple[int, int]]:
    """For each map the layers, by place, from the one that gives it to the last that reads it; the image's from -1."""
    return [
        (number - 1, max(graph.readers(number), default=number - 1))
        for number in range(len(graph.layers) + 1)
    ]


def arena(graph: Graph, elsewhere: Collection[int]) -> Arena:
    """Places for the maps of a graph.

    The largest map first, each at the lowest place that is free for as long as it is needed, as
    TensorFlow Lite's planner has it ("greedy by size", Pisarchyk and Lee 2020). What works number
    by number may write over its input.

    Args:
        graph: Any.
        elsewhere: Maps that need no place.
    """
    alive = lifetimes(graph)
    buffers: list[
        list[int]
    ] = []  # maps that share one place, in the order in which they come about
    for number in range(len(graph.layers) + 1):
        if number in elsewhere:
            continue
        over = _overwritten(graph, number)
        shared = next(
            (buffer for buffer in buffers if over is not None and buffer[-1] == over), None
        )
        if shared is None:
            buffers.append([number])
        else:
            shared.append(number)

    def span(buffer: list[int]) -> tuple[int, int]:
        return alive[buffer[0]][0], alive[buffer[-1]][1]

    def size(buffer: list[int]) -> int:
        return math.prod(graph.shapes[buffer[0]])

    offsets: list[int | None] = [None] * len(alive)
    taken: list[tuple[int, int, tuple[int, int]]] = []  # from, to, when
    for buffer in sorted(buffers, key=lambda buffer: (-size(buffer), buffer)):
        first, last = span(buffer)
        start = 0
        for begin, end, (since, until) in sorted(taken):
            if since <= last and first <= until and start + size(buffer) > begin:
                start = max(start, end)
        taken.append((start, start + size(buffer), (first, last)))
        for number in buffer:
            offsets[number] = start
    return Arena(tuple(offsets), max((end for _, end, _ in taken), default=0))


def _overwritten(graph: Graph, number: int) -> int | None:
    """The input that the layer of a map may write over; None if there is none."""
    if number == 0 or not isinstance(layer := graph.layers[number - 1], Activation | Sum | Product):
        return None
    for read in layer.inputs:
        same = graph.shapes[read] == layer.shape
        if same and max(graph.readers(read)) == number - 1:
            return read
    return None
