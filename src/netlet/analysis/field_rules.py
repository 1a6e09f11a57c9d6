"""How a receptive field passes through an operation, with one function for each operation.

After an operation without a function here, the receptive field is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from netlet.analysis import fields
from netlet.analysis.fields import Field
from netlet.analysis.multiply_adds import operand_shapes
from netlet.analysis.windows import Sliding, Window, cover_map, cover_vector, slide_over_map
from netlet.graph import BATCH, Graph
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenation,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Padding,
    Permutation,
    Pooling,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    TensorClamp,
)
from netlet.graph.rare_operations import (
    Attention,
    EdgePadding,
    FurtherOutput,
    MatrixProduct,
    OtherNorm,
    Stack,
)

Shape = tuple[int, ...]
# Reductions that are poolings if they cover the map.
_POOLING_REDUCTIONS = frozenset(["mean", "sum", "amax", "amin"])


@dataclass(frozen=True)
class Reach:
    """What an operation works on.

    Attributes:
        fields: Receptive fields of the values that it reads.
        shapes: Their shapes, with all dimensions.
        output: Shape of its output, with all dimensions.
    """

    fields: tuple[Field, ...]
    shapes: tuple[Shape, ...]
    output: Shape

    @property
    def field(self) -> Field:
        """The field of the first value."""
        return self.fields[0]

    @property
    def rank(self) -> int:
        """The number of dimensions of the first value."""
        return len(self.shapes[0])


@dataclass(frozen=True)
class Effect:
    """The receptive field after an operation, and the window that it slides, if any."""

    field: Field
    window: Window | None = None


Rule = Callable[[Any, Reach], Effect]
RULES: dict[type[Operation], Rule] = {}


def follow_fields(graph: Graph, certain: int) -> list[Effect]:
    """Return for each value of a graph its receptive field and the window that made it.

    Args:
        graph: The graph.
        certain: The number of its first nodes whose fields are known; those of the others are not.
    """
    found = [Effect(fields.input_field(full_shape(graph, 0)))]
    for number, node in enumerate(graph.nodes, start=1):
        reach = Reach(
            tuple(found[value].field for value in node.inputs),
            tuple(full_shape(graph, value) for value in node.inputs),
            full_shape(graph, number),
        )
        effect = _apply(node.operation, reach)
        found.append(effect if number <= certain else Effect(None, effect.window))
    return found


def full_shape(graph: Graph, value: int) -> Shape:
    """Return the shape of a value with all dimensions, also the batch."""
    batched = not value or graph.nodes[value - 1].batched
    return (BATCH, *graph.shape_of(value)) if batched else graph.shape_of(value)


def _apply(operation: Operation, reach: Reach) -> Effect:
    rule = RULES.get(type(operation))
    return Effect(None) if rule is None else rule(operation, reach)


def _passes(*kinds: type[Operation]) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


@_passes(Convolution)
def _convolution(operation: Convolution, reach: Reach) -> Effect:
    if operation.transposed:
        return Effect(None)
    sliding = Sliding(
        tuple(operation.weight.tensor.shape[2:]),
        operation.stride,
        operation.padding,
        operation.dilation,
    )
    window = slide_over_map(sliding, reach.field, reach.shapes[0], reach.output)
    # Weights computed from the image are the same for every position.
    weights = [fields.collapse(field) for field in reach.fields[1:]]
    return Effect(fields.join_fields([window.after, *weights]), window)


@_passes(Pooling)
def _pooling(operation: Pooling, reach: Reach) -> Effect:
    sliding = Sliding(operation.window, operation.stride, operation.padding, operation.dilation)
    window = slide_over_map(sliding, reach.field, reach.shapes[0], reach.output)
    return Effect(window.after, window)


@_passes(AdaptivePooling)
def _adaptive_pooling(operation: AdaptivePooling, reach: Reach) -> Effect:
    rank = len(operation.size)
    sizes = list(zip(reach.shapes[0][-rank:], reach.output[-rank:], strict=True))
    if any(n % m for n, m in sizes):
        return Effect(None)  # the windows differ in size
    kernel = tuple(n // m for n, m in sizes)
    sliding = Sliding(kernel, kernel, (0,) * rank, (1,) * rank)
    window = slide_over_map(sliding, reach.field, reach.shapes[0], reach.output)
    return Effect(window.after, window)


@_passes(Linear)
def _linear(operation: Linear, reach: Reach) -> Effect:
    last = reach.rank - 1
    after = fields.collapse(reach.field, [last])
    return Effect(after, cover_vector(reach.field, last, after))


@_passes(MatrixProduct)
def _matrix_product(operation: MatrixProduct, reach: Reach) -> Effect:
    """Mix along ``K`` of ``[B] M K`` and ``[B] K N``."""
    shapes = operand_shapes(operation.operands, reach.shapes)
    last = len(shapes[-1]) - 1
    known = iter(reach.fields)
    found = [next(known) if constant is None else None for constant in operation.operands]
    first, second = operation.operands[-2:]
    sides = []
    if len(operation.operands) == 3 and operation.operands[0] is None:
        sides.append(fields.broadcast_field(found[0], shapes[0], reach.output))
    if first is None:
        sides.append(fields.collapse(found[-2], [last]))
    if second is None:
        sides.append(fields.collapse(found[-1], [last - 1]))
    after = fields.join_fields(sides)
    dense = first is None and second is not None
    return Effect(after, cover_vector(found[-2], last, after) if dense else None)


@_passes(Attention)
def _attention(operation: Attention, reach: Reach) -> Effect:
    return Effect(fields.collapse(fields.join_fields(reach.fields)))


@_passes(BatchNorm)
def _batch_norm(operation: BatchNorm, reach: Reach) -> Effect:
    # Without running statistics it uses the whole map.
    return Effect(fields.collapse(reach.field) if operation.by_batch else reach.field)


@_passes(OtherNorm)
def _other_norm(operation: OtherNorm, reach: Reach) -> Effect:
    return Effect(fields.collapse(fields.join_fields(reach.fields), operation.dims or None))


@_passes(Softmax)
def _softmax(operation: Softmax, reach: Reach) -> Effect:
    return Effect(fields.collapse(reach.field, [operation.dim]))


@_passes(Activation, Arithmetic, Dropout, Elementwise, TensorClamp)
def _elementwise(operation: Operation, reach: Reach) -> Effect:
    read = zip(reach.fields, reach.shapes, strict=True)
    broadcast = [fields.broadcast_field(field, shape, reach.output) for field, shape in read]
    return Effect(fields.join_fields(broadcast))


@_passes(Reduction)
def _reduction(operation: Reduction, reach: Reach) -> Effect:
    if operation.function in _POOLING_REDUCTIONS:
        window = cover_map(reach.field, operation.dims, reach.shapes[0], keepdim=operation.keepdim)
        if window is not None:
            return Effect(window.after, window)
    mixed = fields.collapse(reach.field, operation.dims)
    return Effect(mixed if operation.keepdim else _without(mixed, operation.dims, reach.rank))


@_passes(Concatenation)
def _concatenation(operation: Concatenation, reach: Reach) -> Effect:
    dim, parts = operation.dim, list(reach.fields)
    if any(_slides(part, dim) for part in parts):
        # Concatenated vectors: what they depend on together is known, but not which element depends
        # on what.
        merged = all(part is None or all(a.merged or a.dim != dim for a in part) for part in parts)
        parts = [fields.collapse(part, [dim]) if merged else None for part in parts]
    return Effect(fields.join_fields(parts))


@_passes(Stack)
def _stack(operation: Stack, reach: Reach) -> Effect:
    where = [dim + (dim >= operation.dim) for dim in range(reach.rank)]
    return Effect(fields.join_fields([fields.remap_dims(part, where) for part in reach.fields]))


@_passes(Reshape)
def _reshape(operation: Reshape, reach: Reach) -> Effect:
    return Effect(fields.reshape_field(reach.field, reach.shapes[0], reach.output))


@_passes(Permutation)
def _permutation(operation: Permutation, reach: Reach) -> Effect:
    where = [operation.order.index(dim) for dim in range(reach.rank)]
    return Effect(fields.remap_dims(reach.field, where))


@_passes(Slice)
def _slice(operation: Slice, reach: Reach) -> Effect:
    field, dim = reach.field, operation.dim
    if field is not None and _slides(field, dim):
        if any(axis.dim == dim and axis.merged for axis in field) or not operation.length:
            return Effect(None)
        # A slice is a window with a kernel of 1 that starts later.
        start, step, length = operation.start, operation.step, operation.length
        field = tuple(
            axis.slide_window(1, step, -start, 1, length) if axis.dim == dim else axis
            for axis in field
        )
    return Effect(_without(field, [dim], reach.rank) if operation.removed else field)


@_passes(Padding, EdgePadding)
def _padding(operation: Padding | EdgePadding, reach: Reach) -> Effect:
    if reach.field is None:
        return Effect(None)
    # Padding is given from the last dimension backwards, two numbers for each.
    before = {reach.rank - 1 - i: pad for i, pad in enumerate(operation.sizes[::2])}
    axes = (
        axis
        if axis.dim is None
        else axis.slide_window(1, 1, before.get(axis.dim, 0), 1, reach.output[axis.dim])
        for axis in reach.field
    )
    return Effect(tuple(axes))


@_passes(FurtherOutput)
def _further_output(operation: FurtherOutput, reach: Reach) -> Effect:
    return Effect(_apply(operation.of, reach).field)


@_passes(Opaque)
def _opaque(operation: Opaque, reach: Reach) -> Effect:
    return Effect(None) if operation.like is None else _apply(operation.like, reach)


def _slides(field: Field, dim: int) -> bool:
    return field is not None and any(axis.dim == dim for axis in field)


def _without(field: Field, gone: Sequence[int], rank: int) -> Field:
    """Return a field after some dimensions have been removed."""
    where = [None if d in gone else d - sum(g < d for g in gone) for d in range(rank)]
    return fields.remap_dims(field, where)
