"""Which positions of a map the features of a dense layer come from.

Its receptive field does not tell: after upsampling, neighboring positions depend on the same part
of the image, and after a norm over the map all of them do. So the features are followed back to the
map, through the operations that put its elements in other places or leave each in its own. Features
of several maps that are joined are followed to each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from netlet.analysis import fields
from netlet.analysis.axis import Axis
from netlet.analysis.fields import Field
from netlet.analysis.reach import Effect, Reach, apply_rule, full_shape
from netlet.graph import Graph, Node
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenation,
    Convolution,
    Dropout,
    Elementwise,
    Opaque,
    Operation,
    Permutation,
    Pooling,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    TensorClamp,
)
from netlet.graph.rare_operations import Interpolation, OtherNorm, Stack

_KEEP_PLACES = (
    *(Activation, Arithmetic, BatchNorm, Dropout, Elementwise, OtherNorm, Softmax, TensorClamp),
)
_MOVE = (Permutation, Reshape)
_JOIN = (Concatenation, Stack)
_MAKE_MAPS = (AdaptivePooling, Convolution, Interpolation, Pooling)


def follow_in_map(graph: Graph, value: int, effects: Sequence[Effect]) -> Field:
    """Return the positions of the elements of a value in the maps that they are taken from.

    Args:
        graph: The graph.
        value: The number of the value.
        effects: For each value up to that one its receptive field.

    Returns:
        The positions along each axis of the image. In place of an interval, an element has its
        position and the size of its map. None if the elements are not those of known maps.
    """
    moved: list[tuple[Operation, int, int]] = []
    while (field := _positions(graph, value, effects)) is None:
        source = _find_source(graph, value) if value else None
        if source is None:
            return None
        operation, before = source
        if isinstance(operation, _MOVE):
            moved.append((operation, before, value))
        value = before
    for operation, before, after in reversed(moved):
        reach = Reach((field,), (full_shape(graph, before),), full_shape(graph, after))
        field = apply_rule(operation, reach).field
    return field


def _find_source(graph: Graph, value: int) -> tuple[Operation, int] | None:
    """Return the operation that made a value, and the value whose elements these are.

    None if the operation computes elements of other places.
    """
    node = graph.nodes[value - 1]
    operation = _understood(node)
    if isinstance(operation, _MOVE):
        return operation, node.inputs[0]
    if isinstance(operation, _KEEP_PLACES):
        shape = full_shape(graph, value)
        of_same_shape = (one for one in node.inputs if full_shape(graph, one) == shape)
        return next(((operation, one) for one in of_same_shape), None)
    return None


def _understood(node: Node) -> Operation:
    operation = node.operation
    like = operation.like if isinstance(operation, Opaque) else None
    return operation if like is None else like


def _positions(graph: Graph, value: int, effects: Sequence[Effect]) -> Field:
    """Return the positions of the elements of a map, of its average, or of several joined ones.

    None if the value is not, or not known to be, a map with all axes of the image.
    """
    shape, field = full_shape(graph, value), effects[value].field
    operation = _understood(graph.nodes[value - 1]) if value else None
    if len(shape) == len(graph.shape) + 1:
        if isinstance(operation, _MAKE_MAPS):
            return _in_maps(shape, range(2, len(shape)))
        dims = [_find_dim(axis) for axis in field or ()]
        known = [dim for dim in dims if dim is not None]
        if known and len(set(known)) == len(dims):
            return _in_maps(shape, known)
    if isinstance(operation, Reduction) and effects[value].window:  # a pooling over the whole map
        return _in_maps((1,) * len(shape), [0] * (len(graph.shape) - 1))
    if isinstance(operation, _JOIN):
        return _positions_of_joined(graph, value, effects)
    return None


def _in_maps(shape: Sequence[int], dims: Iterable[int]) -> Field:
    axes = [(fields.grid_axis(shape, dim), shape[dim]) for dim in dims]
    return tuple(replace(axis, last=np.full_like(axis.last, size)) for axis, size in axes)


def _positions_of_joined(graph: Graph, value: int, effects: Sequence[Effect]) -> Field:
    """Return the positions of the elements of several joined values.

    Parts of one map that are joined again are that map. Others are followed each to its own map,
    and different maps of one size have the same positions. None if intervals tell the positions
    better: if these maps are made of different parts of one, or if parts that are not followed to
    a map have no other intervals than the rest.
    """
    if (one_map := _trace_to_one_map(graph, value, effects)) is not None:
        return one_map[0]
    parts = graph.nodes[value - 1].inputs
    if _are_of_parts_of_one(graph, parts, effects):
        return None
    followed = [follow_in_map(graph, part, effects) for part in parts]
    unknown = any(field is None for field in followed)
    if unknown and _have_intervals_of_one(value, parts, effects):
        return None
    known = [
        _number_part(part, effects[part].field) if field is None else field
        for part, field in zip(parts, followed, strict=True)
    ]
    return _apply(graph, value, known)


def _trace_to_one_map(
    graph: Graph, value: int, effects: Sequence[Effect]
) -> tuple[Field, int] | None:
    """Return the positions of elements in a map that they are parts of, and the map's number.

    None if they are not of a known map, or of several.
    """
    operation = _understood(graph.nodes[value - 1]) if value else None
    if isinstance(operation, _JOIN):
        parts = graph.nodes[value - 1].inputs
        traced = [_trace_to_one_map(graph, part, effects) for part in parts]
        known = [one for one in traced if one is not None]
        if len({number for _, number in known}) == 1 and len(known) == len(parts):
            return _apply(graph, value, [field for field, _ in known]), known[0][1]
    positions = None if isinstance(operation, _JOIN) else _positions(graph, value, effects)
    if positions is not None and not isinstance(operation, (*_KEEP_PLACES, Slice)):
        return positions, value
    source = _find_source(graph, value) if value else None
    if isinstance(operation, Slice):
        source = operation, graph.nodes[value - 1].inputs[0]
    before = None if source is None else _trace_to_one_map(graph, source[1], effects)
    if source is None or before is None:
        return None if positions is None else (positions, value)
    if isinstance(operation, (*_MOVE, Slice)):
        return _apply(graph, value, [before[0]]), before[1]
    return before


def _apply(graph: Graph, value: int, positions: Sequence[Field]) -> Field:
    """Return the positions after the operation that made a value from others."""
    node = graph.nodes[value - 1]
    shapes = tuple(full_shape(graph, one) for one in node.inputs)
    reach = Reach(tuple(positions), shapes, full_shape(graph, value))
    return apply_rule(_understood(node), reach).field


def _are_of_parts_of_one(graph: Graph, values: Sequence[int], effects: Sequence[Effect]) -> bool:
    """Return whether values are computed from different places of one value, by slices of it."""
    sliced: dict[int, list[set[int]]] = {}  # for a value its slices that are read, for each of ours
    for at, value in enumerate(values):
        for number in _ancestors(graph, value):
            node = graph.nodes[number - 1] if number else None
            if node is None or not isinstance(node.operation, Slice):
                continue
            field, dim = effects[node.inputs[0]].field, node.operation.dim
            if field is not None and any(axis.first.shape[dim] > 1 for axis in field):
                sliced.setdefault(node.inputs[0], [set() for _ in values])[at].add(number)
    return any(
        not fewer <= more
        for sets in sliced.values()
        for fewer, more in pairwise(sorted(sets, key=len))
    )


def _ancestors(graph: Graph, value: int) -> set[int]:
    """Return the numbers of a value and of all values that it is computed from."""
    found, left = {value}, [value]
    while left:
        number = left.pop()
        new = set(graph.nodes[number - 1].inputs) - found if number else set()
        found |= new
        left += new
    return found


def _have_intervals_of_one(value: int, parts: Sequence[int], effects: Sequence[Effect]) -> bool:
    """Return whether joined values have no more intervals than one of them, along each axis."""
    joined = effects[value].field
    each = [effects[part].field for part in parts]
    known = [field for field in each if field is not None]
    return joined is not None and all(
        _count_intervals(axis) == max(_count_intervals(part) for part in of_parts)
        for axis, *of_parts in zip(joined, *known, strict=True)
    )


def _number_part(value: int, field: Field) -> Field:
    """Return the positions of a value that is not followed to a map and joined with others.

    Elements with one field, as of a global average or a dense layer, are those of a map of one
    position. Others have a size that no map has.
    """
    return field and tuple(_number_intervals(axis, -value) for axis in field)


def _count_intervals(axis: Axis) -> int:
    return len(np.unique(_list_intervals(axis), axis=0))


def _list_intervals(axis: Axis) -> NDArray[np.int64]:
    return np.stack([axis.first.ravel(), axis.last.ravel()], axis=1)


def _number_intervals(axis: Axis, size: int) -> Axis:
    found, numbers = np.unique(_list_intervals(axis), axis=0, return_inverse=True)
    first = numbers.reshape(axis.first.shape)
    return replace(axis, first=first, last=np.full_like(first, size if len(found) > 1 else 1))


def _find_dim(axis: Axis) -> int | None:
    """Return the dimension of a map that is an axis of the image; None if none is, or several."""
    if axis.dim is not None:
        return axis.dim
    varying = [dim for dim, n in enumerate(axis.first.shape) if n > 1]
    return varying[0] if len(varying) == 1 and varying[0] >= 2 else None
