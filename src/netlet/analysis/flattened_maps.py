"""Which positions of a map the features of a dense layer come from.

Its receptive field does not tell: after upsampling, neighboring positions depend on the same part
of the image, and after a norm over the map all of them do. So the features are followed back to the
map, through the operations that put its elements in other places or leave each in its own. Features
of several maps that are joined are followed to each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

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
        values = graph.nodes[value - 1].inputs
        parts = tuple(_positions_of_part(graph, part, effects) for part in values)
        shapes = tuple(full_shape(graph, part) for part in values)
        return apply_rule(operation, Reach(parts, shapes, shape)).field
    return None


def _in_maps(shape: Sequence[int], dims: Iterable[int]) -> Field:
    axes = [(fields.grid_axis(shape, dim), shape[dim]) for dim in dims]
    return tuple(replace(axis, last=np.full_like(axis.last, size)) for axis, size in axes)


def _positions_of_part(graph: Graph, value: int, effects: Sequence[Effect]) -> Field:
    """Return the positions of a value that is joined with others.

    Elements with one field, as of a global average or a dense layer, are those of a map of one
    position. Others that are not followed to a map have a size that no map has.
    """
    followed, field = follow_in_map(graph, value, effects), effects[value].field
    if followed is not None or field is None:
        return followed
    return tuple(_number_intervals(axis, -value) for axis in field)


def _number_intervals(axis: Axis, size: int) -> Axis:
    pairs = np.stack([axis.first.ravel(), axis.last.ravel()], axis=1)
    found, numbers = np.unique(pairs, axis=0, return_inverse=True)
    first = numbers.reshape(axis.first.shape)
    return replace(axis, first=first, last=np.full_like(first, size if len(found) > 1 else 1))


def _find_dim(axis: Axis) -> int | None:
    """Return the dimension of a map that is an axis of the image; None if none is, or several."""
    if axis.dim is not None:
        return axis.dim
    varying = [dim for dim, n in enumerate(axis.first.shape) if n > 1]
    return varying[0] if len(varying) == 1 and varying[0] >= 2 else None
