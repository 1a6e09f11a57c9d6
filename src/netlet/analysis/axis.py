"""One axis of a receptive field: the intervals of the image that elements depend on, as tables.

Along each axis of the image (height, width), an element of a tensor depends on an interval of input
positions. An :class:`Axis` has the first and the last position for all elements, in two tables that
have the tensor's dimensions; a dimension along which nothing differs has one entry. So what an
operation does to the elements of a tensor is done to the entries of the tables, and any reshape,
branch or resampling gives exact intervals.

Intervals are not clipped to the image: where a map is padded, its grid goes on, to positions below
0 or beyond the last one, also if the padding is its mirrored, repeated or opposite border. This is
the usual arithmetic (Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks",
Distill 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[int, int]  # the first and last position
Table = NDArray[np.int64]
Mask = NDArray[np.bool_]

# What depends on no position has the empty interval: its first position is after its last.
NOWHERE = 1 << 60
_LONGEST_PERIOD = 32  # of a grid whose jump is not a whole number


@dataclass(frozen=True, eq=False)
class Axis:
    """The input positions along one axis of the image that the elements of a tensor depend on.

    Attributes:
        first: The first position, for each element.
        last: The last position, for each element.
        dim: The tensor's dimension along which the field slides; both tables have all of its
            entries. None if it does not slide, or not along a single dimension.
        jump: The distance in input positions between neighboring elements; None if there is none.
        level: Whether the elements along ``dim`` lie at that distance, but the field does not slide
            with them: after a norm over the map, each depends on all of it.
    """

    first: Table
    last: Table
    dim: int | None
    jump: Fraction | None
    level: bool = False

    @property
    def length(self) -> int:
        """The number of elements along ``dim``."""
        return 1 if self.dim is None else int(self.first.shape[self.dim])

    @property
    def extent(self) -> int:
        """The receptive field: the length of the longest interval that an element depends on."""
        return max(0, int((self.last - self.first).max()) + 1)

    def interval(self, i: int) -> Interval:
        """Return the positions that the elements ``i`` along ``dim`` depend on, with padding."""
        at = () if self.dim is None else (slice(None),) * self.dim + (i,)
        return int(self.first[at].min()), int(self.last[at].max())

    def count_intervals(self, dim: int) -> int:
        """Return how many different intervals there are along a dimension."""
        n = self.first.shape[dim]
        columns = [np.moveaxis(table, dim, 0).reshape(n, -1) for table in (self.first, self.last)]
        return len(np.unique(np.concatenate(columns, axis=1), axis=0))

    def change(self, function: Callable[[Table], Any]) -> Axis:
        """Return the axis with a function applied to both tables."""
        return replace(self, first=function(self.first), last=function(self.last))

    def collapse(self, dims: Sequence[int] | None = None) -> Axis:
        """Return the axis after mixing all elements along some dimensions, by default along all."""
        chosen = tuple(range(self.first.ndim)) if dims is None else tuple(dims)
        return replace(
            self,
            first=self.first.min(axis=chosen, keepdims=True),
            last=self.last.max(axis=chosen, keepdims=True),
            dim=None if self.dim in chosen else self.dim,
            level=self.level and self.dim not in chosen,
        )

    def mix_in_place(self, dims: Sequence[int]) -> Axis:
        """Return the axis after mixing along some dimensions elements that keep their places."""
        mixed = self.collapse(dims)
        if self.dim is None or self.dim not in dims:
            return mixed
        return mixed.spread_along(self.dim, self.length, self.jump)

    def spread_along(self, dim: int, length: int, jump: Fraction | None) -> Axis:
        """Return the axis with elements at a distance along a dimension that share their field."""
        shape = list(self.first.shape)
        shape[dim] = length
        spread = self.change(lambda table: np.broadcast_to(table, shape))
        return replace(spread, dim=dim, jump=jump, level=True)

    def slide_window(
        self, dim: int, kernel: int, stride: int, padding: int, dilation: int, length: int
    ) -> Axis:
        """Return the axis after sliding a window along a dimension, to ``length`` elements."""
        n = self.first.shape[dim]
        if n == 1 and dim != self.dim:
            return self
        starts = np.arange(length) * stride - padding
        taps = starts[:, None] + np.arange(kernel) * dilation
        before = max(0, -int(taps.min()))
        axis = self.extend(dim, before, max(0, int(taps.max()) + 1 - n))
        jump = self.jump
        if dim == self.dim and jump is not None:
            jump *= stride
        return replace(
            self,
            first=np.take(axis.first, taps + before, axis=dim).min(axis=dim + 1),
            last=np.take(axis.last, taps + before, axis=dim).max(axis=dim + 1),
            jump=jump,
        )

    def extend(self, dim: int, before: int, after: int) -> Axis:
        """Return the axis with padding along a dimension: where it slides, the grid goes on."""
        if not before and not after:
            return self
        if dim != self.dim or self.level:
            widths = [(before, after) if d == dim else (0, 0) for d in range(self.first.ndim)]
            return replace(
                self,
                first=np.pad(self.first, widths, constant_values=NOWHERE),
                last=np.pad(self.last, widths, constant_values=-NOWHERE),
            )
        n = self.length
        jump = self._average_jump() if self.jump is None else self.jump
        # The same element of a period before or after, a whole number of positions away.
        period = jump.denominator if jump.denominator <= n else 1
        places = np.arange(-before, n + after)
        periods = np.minimum(places, 0) // period - np.minimum(n - 1 - places, 0) // period
        distance = periods * period * jump.numerator
        shift = np.where(
            periods < 0, distance // jump.denominator, -(-distance // jump.denominator)
        )
        shift = shift.reshape([-1 if d == dim else 1 for d in range(self.first.ndim)])
        return self.change(lambda t: np.take(t, places - periods * period, axis=dim) + shift)

    def mix(self, dim: int, mask: Mask, jump: Fraction | None) -> Axis:
        """Return the axis after mixing elements along a dimension as a mask says.

        Args:
            dim: The dimension.
            mask: Which of the old elements (rows) each new element (column) is computed from.
            jump: The distance between the new elements, if the field slides along ``dim``.
        """
        n = mask.shape[0]
        if self.first.shape[dim] == 1 and (n == 1 or mask.any(axis=0).all()) and dim != self.dim:
            return self
        first, last = (
            np.moveaxis(np.broadcast_to(t, (*t.shape[:dim], n, *t.shape[dim + 1 :])), dim, -1)
            for t in (self.first, self.last)
        )
        firsts = np.where(mask, first[..., None], NOWHERE).min(axis=-2)
        lasts = np.where(mask, last[..., None], -NOWHERE).max(axis=-2)
        return replace(
            self,
            first=np.moveaxis(firsts, -1, dim),
            last=np.moveaxis(lasts, -1, dim),
            jump=jump if dim == self.dim else self.jump,
        )

    def narrow(self) -> Axis:
        """Return the axis with one entry along each dimension along which nothing differs."""
        first, last = self.first, self.last
        for dim, n in enumerate(first.shape):
            one_first, one_last = first.take([0], dim), last.take([0], dim)
            if (
                n > 1
                and dim != self.dim
                and (first == one_first).all()
                and (last == one_last).all()
            ):
                first, last = one_first, one_last
        return replace(self, first=first, last=last)

    def find_dim(self) -> Axis:
        """Return the axis with the dimension along which it slides, and its jump."""
        varying = [dim for dim, n in enumerate(self.first.shape) if n > 1]
        of_image = [dim for dim in varying if dim >= 2]
        return self.slide_along(of_image if len(of_image) == 1 else varying)

    def slide_along(self, dims: Sequence[int]) -> Axis:
        """Return the axis sliding along that of some dimensions along which its tables vary.

        It has the jump that they have along it. It slides along none if they vary along several.
        """
        varying = [dim for dim in dims if self.first.shape[dim] > 1]
        if len(varying) != 1:
            return replace(self, dim=None)
        return replace(self, dim=varying[0], level=False).measure_jump()

    def find_place(self, dims: Sequence[int]) -> Axis:
        """Return the axis sliding along that of some dimensions along which it varies evenly.

        As it is if it slides already, or varies along several, as pixels that are being moved into
        channels do.
        """
        if self.dim is not None:
            return self
        found = self.slide_along(dims)
        if found.dim is None or found.jump is None:
            return self
        steps = [np.diff(table, axis=found.dim) for table in (self.first, self.last)]
        return found if all((step == found.jump).all() for step in steps) else self

    def repeats(self) -> bool:
        """Return whether the same intervals come again and again along ``dim``."""
        if self.dim is None:
            return False
        tables = [np.moveaxis(table, self.dim, 0) for table in (self.first, self.last)]
        return any(
            all((table[period:] == table[:-period]).all() for table in tables)
            for period in range(1, self.length // 2 + 1)
        )

    def measure_jump(self) -> Axis:
        """Return the axis with the jump that its tables have along its dimension."""
        if self.dim is None or self.length == 1 or self.level:
            return self
        first, last = (np.moveaxis(table, self.dim, 0) for table in (self.first, self.last))
        for period in range(1, min(self.length // 2, _LONGEST_PERIOD) + 1):
            steps = [table[period:] - table[:-period] for table in (first, last)]
            distance = int(steps[0].flat[0])
            if distance and all((step == distance).all() for step in steps):
                return replace(self, jump=Fraction(distance, period))
        return replace(self, jump=None)

    def _average_jump(self) -> Fraction:
        n = self.length
        ends = self.first.take([0, n - 1], self.dim)
        if n == 1 or (abs(ends) >= NOWHERE // 2).any():
            return Fraction(0)
        first, last = (int(ends.take(i, self.dim).min()) for i in (0, 1))
        return Fraction(last - first, n - 1)
