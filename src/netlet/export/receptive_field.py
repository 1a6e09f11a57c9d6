"""Receptive fields of a graph's feature maps, as the page draws them.

Every feature map of an inference graph has a grid: along each axis of the image, element ``i``
depends on ``size`` positions from ``start + i*jump`` on, and on an interval that is the same for
all elements, if the map is gated. The tests compare them with those of ``netlet.analysis``, which
covers any net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from netlet.export.inference_graph import (
    Activation,
    Convolution,
    InferenceGraph,
    Layer,
    Pooling,
    Shape,
)
from netlet.export.map_layers import (
    ChannelSlope,
    Constant,
    Normalization,
    Rearrangement,
    Resampling,
)

Interval = tuple[int, int]  # the first and last position


@dataclass(frozen=True)
class Grid:
    """The positions along one axis of the image that the elements of a feature map depend on.

    Attributes:
        length: The number of elements along the axis.
        start: The first position that element 0 depends on.
        size: The number of positions that slide; 0 if none do.
        jump: The distance in positions between neighboring elements.
        fixed: The positions that every element depends on in addition.
    """

    length: int
    start: int = 0
    size: int = 1
    jump: int = 1
    fixed: Interval | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the elements depend on no position, being constants."""
        return not self.size and self.fixed is None

    @property
    def extent(self) -> int:
        """The receptive field: the length of the longest interval that an element depends on."""
        if self.is_empty:
            return 0
        ends = (self.interval(0), self.interval(self.length - 1))
        return max(last - first + 1 for first, last in ends)

    def interval(self, i: int) -> Interval:
        """Return the positions that element ``i`` depends on, including padding."""
        first = self.start + i * self.jump
        sliding = (first, first + self.size - 1) if self.size else None
        interval = _join_intervals(self.fixed, sliding)
        assert interval is not None  # a grid that does not slide has a fixed interval
        return interval

    def spread(self, elements: Sequence[int], source: Grid | None = None) -> Grid:
        """Return the grid of elements that depend on some elements of another in addition.

        Args:
            elements: Which ones.
            source: The other grid; None: this one.
        """
        grid = source or self
        first, last = grid.interval(min(elements)), grid.interval(max(elements))
        joined = _join_intervals(self.fixed, _join_intervals(first, last))
        return replace(self, fixed=joined)

    def slide_window(
        self, window: int, stride: int, padding: int, dilation: int, length: int
    ) -> Grid:
        """Return the grid after sliding a window over it, with ``length`` output elements."""
        if not self.size:
            return replace(self, length=length)
        return replace(
            self,
            length=length,
            start=self.start - padding * self.jump,
            size=self.size + (window - 1) * dilation * self.jump,
            jump=self.jump * stride,
        )

    def broadcast(self, length: int) -> Grid:
        """Return the grid of a map of which one element is repeated ``length`` times."""
        if self.length == length:
            return self
        return replace(self, length=length, size=0, fixed=self.interval(0))


Field = tuple[Grid, ...] | None  # one for each axis of the image; None if unknown


def receptive_fields(graph: InferenceGraph) -> list[Field]:
    """Return the receptive field of each feature map, the image first.

    Args:
        graph: The graph. A linear layer sees the whole receptive field of its input.

    Returns:
        For each feature map a grid for rows and one for columns; None where a layer combines
        feature maps whose grids do not line up.
    """
    found: list[Field] = [tuple(Grid(length) for length in graph.shape[1:])]
    for layer in graph.layers:
        before = graph.shapes[layer.inputs[0]] if layer.inputs else layer.shape
        found.append(_field_after(layer, [found[number] for number in layer.inputs], before))
    return found


def _field_after(layer: Layer, inputs: Sequence[Field], before: Shape) -> Field:
    if isinstance(layer, Constant):
        return tuple(Grid(length, size=0) for length in layer.shape[1:])
    field, shape = inputs[0], layer.shape
    if isinstance(layer, Convolution | Pooling):
        dilation = layer.dilation if isinstance(layer, Convolution) else (1, 1)
        return field and tuple(
            grid.slide_window(
                layer.window[i], layer.stride[i], layer.padding[i], dilation[i], shape[1 + i]
            )
            for i, grid in enumerate(field)
        )
    if isinstance(layer, Activation | ChannelSlope) or _is_per_pixel(layer):
        return field
    if isinstance(layer, Normalization):
        return field and tuple(
            replace(grid, size=0).spread(range(grid.length), grid) for grid in field
        )
    if isinstance(layer, Rearrangement | Resampling):
        return field and _move_grids(layer, field, before)
    return _join_fields(inputs, shape)


def _is_per_pixel(layer: Layer) -> bool:
    return isinstance(layer, Normalization) and layer.per_pixel


def _move_grids(layer: Layer, field: tuple[Grid, ...], before: Shape) -> Field:
    """Return the grids of a map whose elements come from other places, if they are grids still."""
    _, h, w = before
    if isinstance(layer, Resampling):
        sources = [[np.flatnonzero(row) for row in m] for m in (layer.down, layer.across)]
    else:
        assert isinstance(layer, Rearrangement)
        places = layer.places(before)
        rows, columns = (np.where(places < 0, -1, n) for n in (places // w % h, places % w))
        sources = [
            [np.unique(rows[:, i]) for i in range(rows.shape[1])],
            [np.unique(columns[:, :, i]) for i in range(columns.shape[2])],
        ]
    moved = [_move_grid(grid, used) for grid, used in zip(field, sources, strict=True)]
    return None if None in moved else tuple(grid for grid in moved if grid is not None)


def _move_grid(grid: Grid, sources: list[NDArray[np.int64]]) -> Grid | None:
    """Return a grid, given the old elements that each new one comes from; -1 is none."""
    known = [source[source >= 0] for source in sources]
    if all(np.array_equal(source, known[0]) for source in known) and known[0].size:
        if known[0].size == 1 and grid.length == len(sources) == 1:
            return grid
        return replace(grid, length=len(sources), size=0).spread(known[0].tolist(), grid)
    if any(source.size > 1 for source in known):
        return None
    at = [(i, int(source[0])) for i, source in enumerate(known) if source.size]
    if not at:
        return Grid(len(sources), size=0)
    # Around a whole map, the grid goes on through what is mirrored or repeated.
    (i, first), steps = at[0], {b[1] - a[1] for a, b in pairwise(at)}
    whole = [
        n
        for n in range(len(at))
        if [s for _, s in at[n : n + grid.length]] == list(range(grid.length))
    ]
    if whole and grid.length > 1:
        (i, first), steps = at[whole[0]], {1}
    if len(steps) > 1 or min(steps, default=1) < 1:
        return None
    step = min(steps, default=1)
    start = grid.start + (first - step * i) * grid.jump
    return replace(grid, length=len(sources), start=start, jump=grid.jump * step)


def _join_fields(fields: Sequence[Field], shape: Shape) -> Field:
    if None in fields:
        return None
    known = [field for field in fields if field and not any(grid.is_empty for grid in field)]
    joined = []
    for axis, grids in enumerate(zip(*known, strict=True)):
        grid = _join_grids([grid.broadcast(shape[1 + axis]) for grid in grids])
        if grid is None:
            return None
        joined.append(grid)
    return tuple(joined)


def _join_grids(grids: Sequence[Grid]) -> Grid | None:
    """Return the grid of a map computed from several maps; None if theirs do not line up."""
    fixed = None
    for grid in grids:
        fixed = _join_intervals(fixed, grid.fixed)
    sliding = [grid for grid in grids if grid.size]
    if not sliding:
        return replace(grids[0], fixed=fixed)
    # Along an axis of length 1 the jump has no meaning and may differ.
    jumps = {grid.jump for grid in sliding}
    if len(jumps) > 1 and sliding[0].length > 1:
        return None
    start = min(grid.start for grid in sliding)
    end = max(grid.start + grid.size for grid in sliding)
    jump = jumps.pop() if len(jumps) == 1 else 1
    return Grid(sliding[0].length, start, end - start, jump, fixed)


def _join_intervals(one: Interval | None, other: Interval | None) -> Interval | None:
    """Return the shortest interval that contains both; None is empty."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
