"""Which positions of a map the features of a dense layer come from.

Its receptive field does not tell: after upsampling, neighboring positions depend on the same part
of the image, and after a norm over the map all of them do. So the features are followed back to the
map, through the operations that put its elements in other places or leave each in its own.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    Convolution,
    Dropout,
    Elementwise,
    Opaque,
    Operation,
    Permutation,
    Pooling,
    Reshape,
    Softmax,
    TensorClamp,
)
from netlet.graph.rare_operations import Interpolation, OtherNorm

_KEEP_PLACES = (
    *(Activation, Arithmetic, BatchNorm, Dropout, Elementwise, OtherNorm, Softmax, TensorClamp),
)
_MOVE = (Permutation, Reshape)
_MAKE_MAPS = (AdaptivePooling, Convolution, Interpolation, Pooling)


def follow_in_map(graph: Graph, value: int, effects: Sequence[Effect]) -> Field:
    """Return the positions of the elements of a value in the map that they are taken from.

    Args:
        graph: The graph.
        value: The number of the value.
        effects: For each value up to that one its receptive field.

    Returns:
        The positions as a receptive field in that map; None if the elements are not those of one.
    """
    moved: list[tuple[Operation, int, int]] = []
    while (field := _positions(graph, value, effects[value].field)) is None:
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


def _positions(graph: Graph, value: int, field: Field) -> Field:
    """Return the positions of the elements of a map, as its receptive field in itself.

    None if the value is not, or not known to be, a map with all axes of the image.
    """
    shape = full_shape(graph, value)
    if len(shape) != len(graph.shape) + 1:
        return None
    if value and isinstance(_understood(graph.nodes[value - 1]), _MAKE_MAPS):
        return fields.input_field(shape)
    dims = [_find_dim(axis) for axis in field or ()]
    known = [dim for dim in dims if dim is not None]
    if not known or len(set(known)) < len(dims):
        return None
    return tuple(fields.grid_axis(shape, dim) for dim in known)


def _find_dim(axis: Axis) -> int | None:
    """Return the dimension of a map that is an axis of the image; None if none is, or several."""
    if axis.dim is not None:
        return axis.dim
    varying = [dim for dim, n in enumerate(axis.first.shape) if n > 1]
    return varying[0] if len(varying) == 1 and varying[0] >= 2 else None
