"""How a receptive field passes through views of a tensor and orders of its elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netlet.analysis.axis import NOWHERE, Axis
from netlet.analysis.fields import Field, Shape, grid_axis


def reshape_field(field: Field, old: Shape, new: Shape) -> Field:
    """Return the field after a view of the same elements in another shape."""
    return field and tuple(_reshape_axis(axis, field, old, new) for axis in field)


def _reshape_axis(axis: Axis, field: Sequence[Axis], old: Shape, new: Shape) -> Axis:
    if axis.level and axis.dim is not None:
        return _move_places(
            axis,
            _reshape_axis(replace(axis, dim=None), field, old, new),
            _reshape_axis(grid_axis(old, axis.dim), field, old, new),
        )
    others = [other for other in field if other is not axis]
    is_map = len(new) == len(field) + 2
    full, target = [1] * len(old), [1] * len(new)
    kept: int | None = None
    parts: list[int] = []  # dimensions along one of which it may slide now
    tokens = 0  # dimensions of places along several axes
    cut_anew = False  # whether places along several axes are cut in other places
    for olds, news in _matching_groups(old, new):
        varying = [d for d in olds if axis.first.shape[d] > 1]
        if not varying:
            continue
        for d in olds:
            full[d] = old[d]
        for d in news:
            target[d] = new[d]
        if len(olds) == len(news) == 1:
            kept = news[0] if olds == [axis.dim] else kept
        elif axis.dim is not None and axis.dim not in olds:
            continue
        elif len(olds) == 1:
            parts += news
        elif any(_has_places(other, olds) for other in others):
            cut_anew |= len(news) > 1
            tokens += news[0] > 0
        elif (is_map and news[0] > 0) or varying == olds:
            parts += news
    moved = axis.change(lambda table: np.broadcast_to(table, full).reshape(target))
    if cut_anew:
        return replace(moved, dim=None).narrow().find_dim()
    known = None if tokens > 1 else axis.jump
    unplaced = replace(moved, dim=kept, jump=known).narrow()
    if not parts:
        return unplaced
    found = replace(unplaced, dim=None).slide_along(parts)
    # Elsewhere than in a map, what has been merged may be channels as well as places. In a map, it
    # does not slide if the intervals come again, as after attention within grids.
    slides = found.jump is not None or (is_map and not found.repeats())
    return found if slides else unplaced


def _has_places(axis: Axis, dims: Sequence[int]) -> bool:
    """Return whether one of some dimensions has places along an axis of the image."""
    if axis.dim is not None:
        return axis.dim in dims
    return any(axis.first.shape[d] > 1 for d in dims)


def _move_places(axis: Axis, moved: Axis, places: Axis) -> Axis:
    """Return an axis with all elements depending on the same positions, after moving them.

    Args:
        axis: The axis before.
        moved: Its tables after that.
        places: The axis of the elements' places along its dimension, after that.
    """
    if places.dim is None:
        apart = sum(n > 1 for n in places.first.shape) > 1  # there is no distance between them
        return replace(moved, dim=None, jump=None if apart else axis.jump)
    jump = axis.jump and places.jump and axis.jump * places.jump
    return moved.spread_along(places.dim, places.length, jump)


def rearrange(fields: Sequence[Field], shapes: Sequence[Shape], source: NDArray[np.int64]) -> Field:
    """Return the field of a tensor whose elements are those of others, or constants.

    Args:
        fields: The fields of the others.
        shapes: Their shapes.
        source: For each element, its place among those of all others, one after the other; -1 for
            a constant.
    """
    known = [field for field in fields if field is not None]
    if not known or len(known) < len(fields):
        return None
    rearranged = []
    for axes in zip(*known, strict=True):
        tables = []
        for side, nowhere in (("first", NOWHERE), ("last", -NOWHERE)):
            parts = [
                np.broadcast_to(getattr(axis, side), shape).reshape(-1)
                for axis, shape in zip(axes, shapes, strict=True)
            ]
            tables.append(np.concatenate([*parts, [nowhere]])[source])
        jump = axes[0].jump if len(axes) == 1 else None
        axis = Axis(tables[0], tables[1], None, jump).narrow()
        if len(axes) == 1 and axes[0].level and axes[0].dim is not None:
            grid = rearrange([(grid_axis(shapes[0], axes[0].dim),)], shapes, source)
            assert grid is not None
            rearranged.append(_move_places(axes[0], axis, grid[0]))
        else:
            rearranged.append(axis.find_dim())
    return tuple(rearranged)


def _matching_groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
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
