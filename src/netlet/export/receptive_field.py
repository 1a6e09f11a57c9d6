"""Receptive fields of a graph's feature maps, as the page draws them.

Every feature map of an inference graph has a grid: along each axis of the image, element ``i``
depends on ``size`` positions from ``start + i*jump`` on, and on an interval that is the same for
all elements, if the map is gated. The tests compare them with those of ``netlet.analysis``, which
covers any net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netlet.export.inference_graph import (
    Activation,
    Convolution,
    InferenceGraph,
    Layer,
    Pooling,
    Shape,
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
    def extent(self) -> int:
        """The receptive field: the length of the longest interval that an element depends on."""
        ends = (self.interval(0), self.interval(self.length - 1))
        return max(last - first + 1 for first, last in ends)

    def interval(self, i: int) -> Interval:
        """Return the positions that element ``i`` depends on, including padding."""
        first = self.start + i * self.jump
        sliding = (first, first + self.size - 1) if self.size else None
        interval = _join_intervals(self.fixed, sliding)
        assert interval is not None  # a grid that does not slide has a fixed interval
        return interval

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
        found.append(_field_after(layer, [found[number] for number in layer.inputs]))
    return found


def _field_after(layer: Layer, inputs: Sequence[Field]) -> Field:
    field, shape = inputs[0], layer.shape
    if isinstance(layer, Convolution | Pooling):
        dilation = layer.dilation if isinstance(layer, Convolution) else (1, 1)
        return field and tuple(
            grid.slide_window(
                layer.window[i], layer.stride[i], layer.padding[i], dilation[i], shape[1 + i]
            )
            for i, grid in enumerate(field)
        )
    if isinstance(layer, Activation):
        return field
    return _join_fields(inputs, shape)


def _join_fields(fields: Sequence[Field], shape: Shape) -> Field:
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None
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
