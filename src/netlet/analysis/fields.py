"""Receptive fields, one :class:`Axis` for each axis of the image, and how they combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import reduce

import numpy as np

from netlet.analysis.axis import Axis, Mask, Table

Field = tuple[Axis, ...] | None  # None if unknown
Shape = Sequence[int]


def input_field(shape: Shape) -> Field:
    """Return the field of the input itself, whose shape is ``N C`` and then its axes."""
    return tuple(grid_axis(shape, dim) for dim in range(2, len(shape)))


def grid_axis(shape: Shape, dim: int) -> Axis:
    """Return the axis of a tensor whose elements are the positions along one of its dimensions."""
    positions = np.arange(shape[dim], dtype=np.int64)
    table = positions.reshape([-1 if d == dim else 1 for d in range(len(shape))])
    return Axis(table, table, dim, Fraction(1))


def fits(field: Field, shape: Shape) -> bool:
    """Return whether a field can be that of a tensor of a shape."""
    return field is not None and all(
        axis.first.ndim == len(shape)
        and all(a in (1, b) for a, b in zip(axis.first.shape, shape, strict=True))
        and (axis.dim is None or axis.first.shape[axis.dim] == shape[axis.dim])
        for axis in field
    )


def collapse(field: Field, dims: Sequence[int] | None = None) -> Field:
    """Return the field after mixing the elements along ``dims``, by default along all."""
    return field and tuple(axis.collapse(dims) for axis in field)


def mix_in_place(field: Field, dims: Sequence[int]) -> Field:
    """Return the field after mixing elements along ``dims`` that keep their places, by a norm."""
    return field and tuple(axis.mix_in_place(dims) for axis in field)


def permute(field: Field, order: Sequence[int]) -> Field:
    """Return the field of a tensor whose dimensions have been put in another order."""
    return field and tuple(
        replace(
            axis.change(lambda table: table.transpose(order)),
            dim=None if axis.dim is None else list(order).index(axis.dim),
        )
        for axis in field
    )


def remove_dims(field: Field, dims: Sequence[int]) -> Field:
    """Return the field after removing dimensions along which there is one element left."""
    return field and tuple(
        replace(
            axis.change(lambda table: table.squeeze(tuple(dims))),
            dim=None
            if axis.dim is None or axis.dim in dims
            else axis.dim - sum(dim < axis.dim for dim in dims),
        )
        for axis in field
    )


def insert_dim(field: Field, at: int) -> Field:
    """Return the field after inserting a dimension of one element."""
    return field and tuple(
        replace(
            axis.change(lambda table: np.expand_dims(table, at)),
            dim=None if axis.dim is None else axis.dim + (axis.dim >= at),
        )
        for axis in field
    )


def broadcast_field(field: Field, shape: Shape) -> Field:
    """Return the field of a tensor after broadcasting it to a shape."""
    return field and tuple(_broadcast_axis(axis, shape) for axis in field)


def _broadcast_axis(axis: Axis, shape: Shape) -> Axis:
    ahead = len(shape) - axis.first.ndim
    axis = axis.change(lambda table: table.reshape((1,) * ahead + table.shape))
    if axis.dim is None:
        return axis
    dim = axis.dim + ahead
    spread = axis.first.shape[dim] != shape[dim]
    return replace(axis, dim=None if spread else dim)


def join_fields(fields: Sequence[Field]) -> Field:
    """Return the field of a tensor computed from several tensors with the same dimensions."""
    known = [field for field in fields if field is not None]
    if not known or len(known) < len(fields):
        return None
    return tuple(
        _combine(
            axes,
            reduce(np.minimum, [axis.first for axis in axes]),
            reduce(np.maximum, [axis.last for axis in axes]),
        )
        for axes in zip(*known, strict=True)
    )


def concatenate(fields: Sequence[Field], shapes: Sequence[Shape], dim: int) -> Field:
    """Return the field of tensors of some shapes after joining them along a dimension."""
    known = [field for field in fields if field is not None]
    if not known or len(known) < len(fields):
        return None
    lengths = [shape[dim] for shape in shapes]
    return tuple(
        _combine(
            axes,
            _concatenate([axis.first for axis in axes], lengths, dim),
            _concatenate([axis.last for axis in axes], lengths, dim),
            along=dim,
        ).narrow()
        for axes in zip(*known, strict=True)
    )


def _concatenate(tables: Sequence[Table], lengths: Sequence[int], dim: int) -> Table:
    common = list(
        np.broadcast_shapes(*[table.take([0], dim).shape for table in tables if table.size])
    )
    parts = []
    for table, length in zip(tables, lengths, strict=True):
        common[dim] = length
        parts.append(np.broadcast_to(table, common))
    return np.concatenate(parts, axis=dim)


def _combine(axes: Sequence[Axis], first: Table, last: Table, along: int | None = None) -> Axis:
    """Return the axis of a tensor computed from several, whose tables are known.

    Args:
        axes: The axes of the tensors.
        first: The first positions.
        last: The last positions.
        along: The dimension along which the tensors were joined, if they were.
    """
    placed = [axis for axis in axes if axis.dim is not None]
    sliding = [axis for axis in placed if not axis.level]
    placed = sliding or placed
    jumps = {axis.jump for axis in placed or axes}
    jump = jumps.pop() if len(jumps) == 1 else None
    if not placed:
        one = axes[0]
        same = all(
            np.array_equal(axis.first, one.first) and np.array_equal(axis.last, one.last)
            for axis in axes
        )
        return Axis(first, last, None, jump if along is None or same else None)
    dims = {axis.dim for axis in placed}
    if len(dims) > 1:
        return Axis(first, last, None, None).narrow().find_dim()
    if not sliding and along in dims and len(placed) < len(axes):
        return Axis(first, last, None, jump)  # the elements of the other tensors have no places
    joined = Axis(first, last, dims.pop(), jump, level=not sliding)
    return joined.measure_jump() if jump is None or joined.dim == along else joined


def find_places(field: Field, dims: Sequence[int]) -> Field:
    """Return the field of a map, with the dimensions of its places, if it slides along them again.

    An axis of the image may have been in several dimensions, as in space to depth by reshaping.
    """
    return field and tuple(axis.find_place(dims) for axis in field)


def slice_field(field: Field, dim: int, start: int, step: int, length: int) -> Field:
    """Return the field of every ``step``-th element along a dimension."""
    return field and tuple(_slice_axis(axis, dim, start, step, length) for axis in field)


def _slice_axis(axis: Axis, dim: int, start: int, step: int, length: int) -> Axis:
    if axis.first.shape[dim] == 1 and dim != axis.dim:
        return axis
    at = (slice(None),) * dim + (slice(start, start + (length - 1) * step + 1, step),)
    jump = axis.jump
    if dim == axis.dim and jump is not None:
        jump *= step
    return replace(axis.change(lambda table: table[at]), jump=jump).narrow()


def mix(field: Field, dim: int, mask: Mask, factor: Fraction) -> Field:
    """Return the field after mixing elements along a dimension as a mask says.

    Args:
        field: Before.
        dim: The dimension.
        mask: Which of the old elements (rows) each new element (column) is computed from.
        factor: Distance between new elements in old ones.
    """
    return field and tuple(
        axis.mix(dim, mask, None if axis.jump is None else axis.jump * factor) for axis in field
    )


def mix_channels(field: Field, groups: int, channels: int) -> Field:
    """Return the field after computing ``channels`` channels from all others of their group."""
    return field and tuple(_mix_channels(axis, groups, channels) for axis in field)


def _mix_channels(axis: Axis, groups: int, channels: int) -> Axis:
    if groups == 1 or axis.first.shape[1] == 1:
        return axis.collapse([1])
    n, c, *rest = axis.first.shape
    shape = (n, groups, c // groups, *rest)
    mixed = replace(
        axis,
        first=axis.first.reshape(shape).min(axis=2),
        last=axis.last.reshape(shape).max(axis=2),
    )
    return mixed.change(lambda table: table.repeat(channels // groups, axis=1)).narrow()


def pad_field(field: Field, dim: int, before: int, after: int, n: int) -> Field:
    """Return the field after padding a dimension of ``n`` elements, or cutting off some of them."""
    return field and tuple(_pad_axis(axis, dim, before, after, n) for axis in field)


def _pad_axis(axis: Axis, dim: int, before: int, after: int, n: int) -> Axis:
    shape = list(axis.first.shape)
    if dim != axis.dim and shape[dim] == 1:
        if before <= 0 and after <= 0:
            return axis
        shape[dim] = n
        axis = axis.change(lambda table: np.broadcast_to(table, shape))
    return axis.slide_window(dim, 1, 1, before, 1, n + before + after)


def field_size(field: Field) -> tuple[int, ...] | None:
    """Return the receptive field along each axis, or None if it is unknown or empty."""
    sizes = None if field is None else tuple(axis.extent for axis in field)
    return None if sizes is None or not all(sizes) else sizes
