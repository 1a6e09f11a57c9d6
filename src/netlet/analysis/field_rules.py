"""How a receptive field passes through an operation, with one function for each operation.

After an operation without a function here, the receptive field is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from netlet.analysis import fields, layout_rules, mixing_rules
from netlet.analysis.flattened_maps import follow_in_map
from netlet.analysis.multiply_adds import operand_shapes
from netlet.analysis.reach import RULES, Effect, Reach, apply_rule, full_shape, passes
from netlet.analysis.resampling import Resampled
from netlet.analysis.unknown_fields import why_unknown
from netlet.analysis.windows import (
    Sliding,
    adaptive_mask,
    cover_map,
    cover_vector,
    slide_over_map,
    slide_transposed,
)
from netlet.graph import Graph, Node
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Pooling,
    Reduction,
    Softmax,
    TensorClamp,
)
from netlet.graph.rare_operations import (
    Attention,
    FurtherOutput,
    GatedHalf,
    Interpolation,
    MatrixProduct,
    OtherNorm,
    Scan,
    Sorting,
)

__all__ = ["RULES", "Effect", "follow_fields", "full_shape"]

Shape = tuple[int, ...]
READERS = (layout_rules, mixing_rules)  # whose import registers their rules
# Reductions that are poolings if they cover the map.
_POOLING_REDUCTIONS = frozenset(["mean", "sum", "amax", "amin"])


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
            tuple(_maker(graph, value) for value in node.inputs),
            follow_in_map(graph, node.inputs[-1], found) if _is_dense(node) else None,
        )
        effect = apply_rule(node.operation, reach)
        if number > certain or not fields.fits(effect.field, reach.output):
            before = next((found[value].why for value in node.inputs if found[value].why), "")
            effect = Effect(None, effect.window, before or why_unknown(node))
        found.append(effect)
    return found


def _is_dense(node: Node) -> bool:
    return bool(node.inputs) and isinstance(node.operation, Linear | MatrixProduct)


def _maker(graph: Graph, value: int) -> tuple[Operation | None, Shape]:
    if not value:
        return None, ()
    node = graph.nodes[value - 1]
    return node.operation, full_shape(graph, node.inputs[0]) if node.inputs else ()


@passes(Convolution)
def _convolution(operation: Convolution, reach: Reach) -> Effect:
    weights = operation.weight.tensor
    kernel, groups = tuple(weights.shape[2:]), operation.groups
    channels = weights.shape[1] * groups if operation.transposed else weights.shape[0]
    before = reach.map_field(len(kernel))
    mixed = fields.mix_channels(before, groups, channels)
    sliding = Sliding(kernel, operation.stride, operation.padding, operation.dilation)
    slide = slide_transposed if operation.transposed else slide_over_map
    window = slide(sliding, mixed, reach.shapes[0], reach.output)
    after = window.after
    if reach.fields[1:]:  # weights computed from the image are the same for every position
        computed = [fields.collapse(field) for field in reach.fields[1:]]
        everywhere = [fields.broadcast_field(field, reach.output) for field in computed]
        after = fields.join_fields([after, *everywhere])
    return Effect(after, replace(window, before=before, after=after))


@passes(Pooling)
def _pooling(operation: Pooling, reach: Reach) -> Effect:
    sliding = Sliding(operation.window, operation.stride, operation.padding, operation.dilation)
    field = reach.map_field(len(operation.window))
    window = slide_over_map(sliding, field, reach.shapes[0], reach.output)
    return Effect(window.after, window)


@passes(AdaptivePooling)
def _adaptive_pooling(operation: AdaptivePooling, reach: Reach) -> Effect:
    rank = len(operation.size)
    field = reach.map_field(rank)
    sizes = list(zip(reach.shapes[0][-rank:], reach.output[-rank:], strict=True))
    if any(n % m for n, m in sizes):  # the windows differ in size
        for dim, (n, m) in enumerate(sizes, start=reach.rank - rank):
            field = fields.mix(field, dim, adaptive_mask(n, m), Fraction(n, m))
        return Effect(field)
    kernel = tuple(n // m for n, m in sizes)
    sliding = Sliding(kernel, kernel, (0,) * rank, (1,) * rank)
    window = slide_over_map(sliding, field, reach.shapes[0], reach.output)
    return Effect(window.after, window)


@passes(Interpolation)
def _interpolation(operation: Interpolation, reach: Reach) -> Effect:
    rank = len(operation.size)
    field = reach.map_field(rank)
    for at in range(rank):
        dim = reach.rank - rank + at
        resampled = Resampled(operation, at, reach.shapes[0][dim])
        field = fields.mix(field, dim, resampled.mask(), resampled.jump())
    return Effect(field)


@passes(Linear)
def _linear(operation: Linear, reach: Reach) -> Effect:
    last = reach.rank - 1
    after = fields.collapse(reach.field, [last])
    return Effect(after, cover_vector(reach.field, last, after, reach.in_map))


@passes(MatrixProduct)
def _matrix_product(operation: MatrixProduct, reach: Reach) -> Effect:
    """Mix along ``K`` of ``[B] M K`` and ``[B] K N``."""
    shapes = operand_shapes(operation.operands, reach.shapes)
    last = len(shapes[-1]) - 1
    known = iter(reach.fields)
    found = [next(known) if constant is None else None for constant in operation.operands]
    first, second = operation.operands[-2:]
    sides = []
    if len(operation.operands) == 3 and operation.operands[0] is None:
        sides.append(found[0])
    if first is None:
        sides.append(fields.collapse(found[-2], [last]))
    if second is None:
        sides.append(fields.collapse(found[-1], [last - 1]))
    after = fields.join_fields([fields.broadcast_field(side, reach.output) for side in sides])
    dense = first is None and second is not None
    window = cover_vector(found[-2], last, after, reach.in_map) if dense else None
    return Effect(after, window)


@passes(Attention)
def _attention(operation: Attention, reach: Reach) -> Effect:
    """Mix queries ``... L E`` with all keys ``... S E`` and values ``... S V``."""
    last = len(reach.output) - 1
    known = iter(reach.fields)
    sides = []
    # Along V, elements of the values stay apart.
    for constant, dims in zip(
        operation.operands, ([last], [last - 1, last], [last - 1]), strict=True
    ):
        if constant is None:
            sides.append(fields.collapse(next(known), dims))
    if next(known, None) is not None:  # a mask that is computed from the image
        return Effect(None)
    return Effect(
        fields.join_fields([fields.broadcast_field(side, reach.output) for side in sides])
    )


@passes(BatchNorm)
def _batch_norm(operation: BatchNorm, reach: Reach) -> Effect:
    # Without running statistics it uses the whole map.
    others = [dim for dim in range(reach.rank) if dim != 1]
    return Effect(fields.mix_in_place(reach.field, others) if operation.by_batch else reach.field)


@passes(OtherNorm)
def _other_norm(operation: OtherNorm, reach: Reach) -> Effect:
    read = [fields.broadcast_field(field, reach.shapes[0]) for field in reach.fields]
    joined = fields.join_fields(read)
    if operation.dims:
        return Effect(fields.mix_in_place(joined, operation.dims))
    mixed = fields.mix_in_place(joined, range(2, reach.rank))
    return Effect(fields.mix_channels(mixed, operation.groups, reach.shapes[0][1]))


@passes(Softmax)
def _softmax(operation: Softmax, reach: Reach) -> Effect:
    return Effect(fields.mix_in_place(reach.field, [operation.dim]))


@passes(Sorting)
def _sorting(operation: Sorting, reach: Reach) -> Effect:
    return Effect(fields.collapse(reach.field, [operation.dim]))


@passes(Scan)
def _scan(operation: Scan, reach: Reach) -> Effect:
    n = reach.shapes[0][operation.dim]
    mask = np.triu(np.ones((n, n), dtype=np.bool_))
    field = fields.mix(reach.field, operation.dim, mask, Fraction(1))
    return Effect(field and tuple(axis.measure_jump() for axis in field))


@passes(GatedHalf)
def _gated_half(operation: GatedHalf, reach: Reach) -> Effect:
    half = reach.output[operation.dim]
    halves = [fields.slice_field(reach.field, operation.dim, start, 1, half) for start in (0, half)]
    return Effect(fields.join_fields(halves))


@passes(Activation, Arithmetic, Dropout, Elementwise, TensorClamp)
def _elementwise(operation: Operation, reach: Reach) -> Effect:
    broadcast = [fields.broadcast_field(field, reach.output) for field in reach.fields]
    return Effect(fields.join_fields(broadcast))


@passes(Reduction)
def _reduction(operation: Reduction, reach: Reach) -> Effect:
    if operation.function in _POOLING_REDUCTIONS:
        field = reach.map_field(len(operation.dims))
        window = cover_map(field, operation.dims, reach.shapes[0], keepdim=operation.keepdim)
        if window is not None:
            return Effect(window.after, window)
    mixed = fields.collapse(reach.field, operation.dims)
    return Effect(mixed if operation.keepdim else fields.remove_dims(mixed, operation.dims))


@passes(FurtherOutput)
def _further_output(operation: FurtherOutput, reach: Reach) -> Effect:
    return Effect(apply_rule(operation.of, reach).field)


@passes(Opaque)
def _opaque(operation: Opaque, reach: Reach) -> Effect:
    return Effect(None) if operation.like is None else apply_rule(operation.like, reach)
