"""How a receptive field passes through operations that put elements in other places."""

from __future__ import annotations

from netlet.analysis import fields
from netlet.analysis.reach import Effect, Reach, passes
from netlet.analysis.reshaping import rearrange, reshape_field
from netlet.graph.operations import Concatenation, Padding, Permutation, Reshape, Slice
from netlet.graph.rare_operations import EdgePadding, Rearrangement, Stack


@passes(Concatenation)
def _concatenation(operation: Concatenation, reach: Reach) -> Effect:
    return Effect(fields.concatenate(reach.fields, reach.shapes, operation.dim))


@passes(Stack)
def _stack(operation: Stack, reach: Reach) -> Effect:
    dim = operation.dim
    parts = [fields.insert_dim(field, dim) for field in reach.fields]
    shapes = [(*shape[:dim], 1, *shape[dim:]) for shape in reach.shapes]
    return Effect(fields.concatenate(parts, shapes, dim))


@passes(Reshape)
def _reshape(operation: Reshape, reach: Reach) -> Effect:
    return Effect(reshape_field(reach.field, reach.shapes[0], reach.output))


@passes(Permutation)
def _permutation(operation: Permutation, reach: Reach) -> Effect:
    return Effect(fields.permute(reach.field, operation.order))


@passes(Rearrangement)
def _rearrangement(operation: Rearrangement, reach: Reach) -> Effect:
    return Effect(rearrange(reach.fields, reach.shapes, operation.source))


@passes(Slice)
def _slice(operation: Slice, reach: Reach) -> Effect:
    if not operation.length:
        return Effect(None)
    dim = operation.dim
    field = fields.slice_field(reach.field, dim, operation.start, operation.step, operation.length)
    return Effect(fields.remove_dims(field, [dim]) if operation.removed else field)


@passes(Padding, EdgePadding)
def _padding(operation: Padding | EdgePadding, reach: Reach) -> Effect:
    field = reach.field
    sides = zip(operation.sizes[::2], operation.sizes[1::2], strict=True)
    # Padding is given from the last dimension backwards, two numbers for each.
    for i, (before, after) in enumerate(sides, start=1):
        dim = reach.rank - i
        field = fields.pad_field(field, dim, before, after, reach.shapes[0][dim])
    return Effect(field)
