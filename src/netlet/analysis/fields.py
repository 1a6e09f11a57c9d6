"""Receptive fields as intervals, and how they combine.

Along each axis of the image (height, width) an element of a feature map depends on an interval of
input positions. Most maps slide: element ``i`` depends on ``start + i*jump`` and the ``size - 1``
positions after it. What has passed a global pooling or a dense layer is fixed: every element
depends on the same interval. A gated map is both. Padding is not clipped: positions before 0 or
beyond the last are padding, as in the usual arithmetic (Araujo et al., "Computing Receptive Fields
of Convolutional Neural Networks", Distill 2019), which this follows and extends to branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

Interval = tuple[int, int]  # first and last position


@dataclass(frozen=True)
class Axis:
    """What the elements of a tensor depend on along one axis of the input."""

    dim: int | None  # the tensor's dimension along which the field slides; None: it does not
    length: int  # elements along dim
    start: int
    size: int
    jump: int
    fixed: Interval | None = None  # what every element depends on besides
    merged: bool = False  # dim holds other dimensions too, as after flattening

    @property
    def extent(self) -> int:
        """The receptive field: the longest interval that some element depends on."""
        return max(
            last - first + 1 for first, last in (self.interval(0), self.interval(self.length - 1))
        )

    def interval(self, i: int) -> Interval:
        """The positions that element ``i`` depends on, padding included."""
        first = self.start + i * self.jump
        sliding = None if self.dim is None else (first, first + self.size - 1)
        interval = join_intervals(self.fixed, sliding)
        assert interval is not None  # an axis without a dimension has a fixed interval
        return interval

    def collapsed(self) -> Axis:
        """Every element depends on all that any element did."""
        if self.dim is None:
            return self
        whole = join_intervals(self.interval(0), self.interval(self.length - 1))
        return replace(self, dim=None, length=1, fixed=whole, merged=False)

    def window(self, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Axis:
        """The field after a window of ``kernel`` taps has slid over it, giving ``length`` elements."""
        return replace(
            self,
            length=length,
            start=self.start - padding * self.jump,
            size=self.size + (kernel - 1) * dilation * self.jump,
            jump=self.jump * stride,
        )


Field = tuple[Axis, ...] | None  # one for each axis of the input; None: not known


class FieldMap:
    """The fields of tensors that depend on the input; it keeps the tensors alive, so none is mistaken for another."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[torch.Tensor, Field]] = {}

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._known

    def __setitem__(self, tensor: torch.Tensor, field: Field) -> None:
        self._known[id(tensor)] = (tensor, field)

    def get(self, tensor: torch.Tensor) -> Field:
        """The field of a tensor; None where it is not known, or the tensor does not depend on the input."""
        return self._known[id(tensor)][1] if tensor in self else None


def join_intervals(one: Interval | None, other: Interval | None) -> Interval | None:
    """The shortest interval that holds both."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def input_field(shape: Sequence[int]) -> Field:
    """The field of the input itself, ``N C`` and then its axes."""
    return tuple(Axis(dim, shape[dim], 0, 1, 1) for dim in range(2, len(shape)))


def remap_dims(field: Field, where: Sequence[int | None]) -> Field:
    """Dimensions renamed: ``where[d]`` is the new place of dimension ``d``, None if it is gone."""
    if field is None:
        return None
    axes = []
    for axis in field:
        to = None if axis.dim is None else where[axis.dim]
        axes.append(axis.collapsed() if to is None else replace(axis, dim=to))
    return tuple(axes)


def collapse(field: Field, dims: Sequence[int] | None = None) -> Field:
    """Elements along ``dims`` (all, if not given) are mixed, so each depends on what any did."""
    if field is None:
        return None
    return tuple(axis.collapsed() if dims is None or axis.dim in dims else axis for axis in field)


def join_fields(fields: Sequence[Field]) -> Field:
    """What depends on several tensors of one shape depends on all that they did."""
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
            return None  # grids that do not line up
        start = min(axis.start for axis in sliding)
        end = max(axis.start + axis.size for axis in sliding)
        joined.append(replace(first, start=start, size=end - start, fixed=fixed))
    return tuple(joined)


def broadcast_field(field: Field, shape: Sequence[int], to: Sequence[int]) -> Field:
    """The field of a tensor of ``shape`` spread over a larger shape, dimensions counted from the right."""
    if field is None:
        return None
    ahead = len(to) - len(shape)
    spread = [dim for dim, n in enumerate(shape) if n == 1 and to[dim + ahead] != 1]
    return remap_dims(collapse(field, spread), [dim + ahead for dim in range(len(shape))])


def reshape_field(field: Field, old: Sequence[int], new: Sequence[int]) -> Field:
    """The field after a view of the same elements in another shape.

    Dimensions that stay, and those that are merged into one, are followed; a split along an axis of
    the image is not.
    """
    if field is None:
        return None
    # A single element slides nowhere.
    field = collapse(field, [dim for dim, n in enumerate(old) if n == 1])
    assert field is not None
    to: dict[int, tuple[int, bool] | None] = {}
    for olds, news in _groups(old, new):
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


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    # Runs of dimensions, from the left, that hold the same elements before and after; ones are left
    # out.
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
