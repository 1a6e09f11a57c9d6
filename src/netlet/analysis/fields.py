"""Receptive fields as intervals, and how they combine.

Along each axis of the image (height, width), an element of a feature map depends on an interval of
input positions. In most maps the interval slides: element ``i`` depends on position ``start +
i*jump`` and the ``size - 1`` positions after it. After a global pooling or a dense layer it is
fixed: every element depends on the same interval. In a gated map it has both parts. Intervals are
not clipped to the image: positions below 0 or beyond the last one are padding. This is the usual
arithmetic (Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill
2019), extended to branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

Interval = tuple[int, int]  # the first and last position


@dataclass(frozen=True)
class Axis:
    """The input positions along one axis that the elements of a tensor depend on.

    Attributes:
        dim: The tensor's dimension along which the field slides, or None if it does not slide.
        length: The number of elements along ``dim``.
        start: The first position that element 0 depends on.
        size: The number of positions that slide.
        jump: The distance in input positions between neighboring elements.
        fixed: The positions that every element depends on in addition.
        merged: Whether ``dim`` combines several dimensions, as after flattening.
    """

    dim: int | None
    length: int
    start: int
    size: int
    jump: int
    fixed: Interval | None = None
    merged: bool = False

    @property
    def extent(self) -> int:
        """The receptive field: the length of the longest interval that an element depends on."""
        return max(
            last - first + 1 for first, last in (self.interval(0), self.interval(self.length - 1))
        )

    def interval(self, i: int) -> Interval:
        """Return the positions that element ``i`` depends on, including padding."""
        first = self.start + i * self.jump
        sliding = None if self.dim is None else (first, first + self.size - 1)
        interval = join_intervals(self.fixed, sliding)
        assert interval is not None  # an axis that does not slide has a fixed interval
        return interval

    def collapse(self) -> Axis:
        """Return the axis after mixing: every element depends on what any element depended on."""
        if self.dim is None:
            return self
        everything = join_intervals(self.interval(0), self.interval(self.length - 1))
        return replace(self, dim=None, length=1, fixed=everything, merged=False)

    def slide_window(
        self, kernel: int, stride: int, padding: int, dilation: int, length: int
    ) -> Axis:
        """Return the axis after sliding a window over it, with ``length`` output elements."""
        return replace(
            self,
            length=length,
            start=self.start - padding * self.jump,
            size=self.size + (kernel - 1) * dilation * self.jump,
            jump=self.jump * stride,
        )


Field = tuple[Axis, ...] | None  # one Axis for each axis of the input; None if unknown


def join_intervals(one: Interval | None, other: Interval | None) -> Interval | None:
    """Return the shortest interval that contains both; None is empty."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def input_field(shape: Sequence[int]) -> Field:
    """Return the field of the input itself, whose shape is ``N C`` and then its axes."""
    return tuple(Axis(dim, shape[dim], 0, 1, 1) for dim in range(2, len(shape)))


def remap_dims(field: Field, where: Sequence[int | None]) -> Field:
    """Renumber dimensions: ``where[d]`` is the new number of dimension ``d``, None if removed."""
    if field is None:
        return None
    axes = []
    for axis in field:
        to = None if axis.dim is None else where[axis.dim]
        axes.append(axis.collapse() if to is None else replace(axis, dim=to))
    return tuple(axes)


def collapse(field: Field, dims: Sequence[int] | None = None) -> Field:
    """Return the field after mixing the elements along ``dims``, by default along all."""
    if field is None:
        return None
    return tuple(axis.collapse() if dims is None or axis.dim in dims else axis for axis in field)


def join_fields(fields: Sequence[Field]) -> Field:
    """Return the field of a tensor computed from several tensors of one shape."""
    if not fields or any(field is None for field in fields):
        return None
    joined: list[Axis] = []
    for axes in zip(*(field for field in fields if field is not None), strict=True):
        sliding = [axis for axis in axes if axis.dim is not None]
        fixed = None
        for axis in axes:
            fixed = join_intervals(fixed, axis.fixed)
        if not sliding:
            joined.append(replace(axes[0], fixed=fixed))
            continue
        first = sliding[0]
        if any(
            (a.dim, a.length, a.jump, a.merged)
            != (first.dim, first.length, first.jump, first.merged)
            for a in sliding
        ):
            return None  # the grids do not align
        start = min(axis.start for axis in sliding)
        end = max(axis.start + axis.size for axis in sliding)
        joined.append(replace(first, start=start, size=end - start, fixed=fixed))
    return tuple(joined)


def broadcast_field(field: Field, shape: Sequence[int], to: Sequence[int]) -> Field:
    """Return the field of a tensor of ``shape`` after broadcasting it to the shape ``to``."""
    if field is None:
        return None
    ahead = len(to) - len(shape)
    spread = [dim for dim, n in enumerate(shape) if n == 1 and to[dim + ahead] != 1]
    return remap_dims(collapse(field, spread), [dim + ahead for dim in range(len(shape))])


def reshape_field(field: Field, old: Sequence[int], new: Sequence[int]) -> Field:
    """Return the field after a view of the same elements in another shape.

    Dimensions that stay or are merged keep a known field; after a split along an axis of the image,
    the field is unknown.
    """
    if field is None:
        return None
    # A dimension of one element cannot slide.
    field = collapse(field, [dim for dim, n in enumerate(old) if n == 1])
    assert field is not None
    to: dict[int, tuple[int, bool] | None] = {}
    for olds, news in _matching_groups(old, new):
        for dim in olds:
            to[dim] = (news[0], len(olds) > 1) if len(news) == 1 else None
    axes: list[Axis] = []
    for axis in field:
        if axis.dim is None:
            axes.append(axis)
            continue
        place = to.get(axis.dim)
        if place is None:
            return None
        axes.append(replace(axis, dim=place[0], merged=axis.merged or place[1]))
    return tuple(axes)


def _matching_groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Return groups of dimensions, from the left, with equally many elements before and after.

    Dimensions of size one are left out.
    """
    olds = [dim for dim, n in enumerate(old) if n != 1]
    news = [dim for dim, n in enumerate(new) if n != 1]
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(olds) and j < len(news):
        a, b = [olds[i]], [news[j]]
        left, right = old[olds[i]], new[news[j]]
        i, j = i + 1, j + 1
        while left != right:
            if left < right and i < len(olds):
                left *= old[olds[i]]
                a.append(olds[i])
                i += 1
            elif left > right and j < len(news):
                right *= new[news[j]]
                b.append(news[j])
                j += 1
            else:
                return groups
        groups.append((a, b))
    return groups
