"""How a receptive field passes through operations of which only the dependence is known."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np

from netlet.analysis import fields
from netlet.analysis.axis import NOWHERE, Axis
from netlet.analysis.fields import Field
from netlet.analysis.reach import Effect, Reach, passes
from netlet.analysis.windows import transposed_mask
from netlet.graph.dependence import (
    Choice,
    Contributions,
    Distances,
    LastDimension,
    MapMixture,
    Mixture,
    Recurrence,
    Unpooling,
)
from netlet.graph.operations import Pooling
from netlet.graph.rare_operations import FurtherOutput


@passes(Mixture)
def _mixture(operation: Mixture, reach: Reach) -> Effect:
    read = []
    for field, shape in zip(reach.fields, reach.shapes, strict=True):
        dims = [dim for dim in operation.dims if dim < len(shape)]
        mixed = fields.collapse(field, dims)
        if operation.removed:
            mixed = fields.remove_dims(mixed, dims)
        elif len(shape) != len(reach.output):  # what is left along other dimensions is the same
            mixed = fields.collapse(mixed, range(1, len(shape)))
            mixed = fields.remove_dims(mixed, range(1, len(shape)))
            for dim in range(1, len(reach.output)):
                mixed = fields.insert_dim(mixed, dim)
        read.append(fields.broadcast_field(mixed, reach.output))
    return Effect(fields.join_fields(read))


@passes(LastDimension)
def _last_dimension(operation: LastDimension, reach: Reach) -> Effect:
    if operation.added:
        return Effect(fields.insert_dim(reach.field, reach.rank))
    last = reach.rank - 1
    return Effect(fields.remove_dims(fields.collapse(reach.field, [last]), [last]))


@passes(Distances)
def _distances(operation: Distances, reach: Reach) -> Effect:
    sides, known = [], iter(zip(reach.fields, reach.shapes, strict=True))
    for at, constant in enumerate(operation.operands):
        if constant is not None:
            continue
        field, shape = next(known)
        order = list(range(len(shape)))
        rows = fields.collapse(field, [order[-1]])
        if at == 1:
            order[-2:] = reversed(order[-2:])
            rows = fields.permute(rows, order)
        sides.append(fields.broadcast_field(rows, reach.output))
    return Effect(fields.join_fields(sides))


@passes(Contributions)
def _contributions(operation: Contributions, reach: Reach) -> Effect:
    known = [field for field in reach.fields if field is not None]
    if len(known) < len(reach.fields):
        return Effect(None)
    kept = operation.targets >= 0
    targets = operation.targets[kept]
    found = []
    for axes in zip(*known, strict=True):
        tables = []
        for side, nowhere, join in (("first", NOWHERE, np.minimum), ("last", -NOWHERE, np.maximum)):
            parts = [
                np.broadcast_to(getattr(axis, side), shape).reshape(-1)
                for axis, shape in zip(axes, reach.shapes, strict=True)
            ]
            table = np.full(prod(reach.output), nowhere, dtype=np.int64)
            join.at(table, targets, np.concatenate(parts)[kept])
            tables.append(table.reshape(reach.output))
        jump = axes[0].jump if len(axes) == 1 else None
        found.append(Axis(tables[0], tables[1], None, jump).narrow().find_dim())
    return Effect(tuple(found))


@passes(MapMixture)
def _map_mixture(operation: MapMixture, reach: Reach) -> Effect:
    if reach.field is None:
        return Effect(None)
    ahead, old = reach.shapes[0][: -operation.rank], reach.shapes[0][-operation.rank :]
    new = reach.output[-operation.rank :]
    found = []
    for axis in reach.field:
        shape = (*axis.first.shape[: len(ahead)], *old)

        def flatten(table: np.ndarray, shape: tuple[int, ...] = shape) -> np.ndarray:
            return np.broadcast_to(table, shape).reshape(*shape[: len(ahead)], -1)

        flat = Axis(flatten(axis.first), flatten(axis.last), None, axis.jump)
        mixed = flat.mix(len(ahead), operation.mask, None)
        spread = mixed.change(
            lambda table, shape=shape: table.reshape(*shape[: len(ahead)], *new)  # type: ignore[misc]
        )
        found.append(spread.narrow().find_dim())
    return Effect(tuple(found))


@passes(Choice)
def _choice(operation: Choice, reach: Reach) -> Effect:
    """Return a field if the choice depends on all that can be chosen; else it is unknown."""
    if len(reach.fields) != 2:
        return Effect(None)
    choice = reach.fields[1]
    if operation.coordinates:  # N H W 2, for all channels
        last = len(reach.shapes[1]) - 1
        choice = fields.remove_dims(fields.collapse(choice, [last]), [last])
        choice = fields.insert_dim(choice, 1)
    choice = fields.broadcast_field(choice, reach.output)
    chosen = fields.collapse(reach.field, operation.dims)
    if not fields.fits(chosen, reach.output) or not fields.fits(choice, reach.output):
        return Effect(None)
    joined = fields.join_fields([choice, chosen])
    assert choice is not None
    assert joined is not None
    same = all(
        (a.first == np.broadcast_to(b.first, reach.output)).all()
        and (a.last == np.broadcast_to(b.last, reach.output)).all()
        for a, b in zip(joined, choice, strict=True)
    )
    return Effect(joined if same else None)


@passes(Unpooling)
def _unpooling(operation: Unpooling, reach: Reach) -> Effect:
    """Follow elements back through the windows of the pooling that the indices are from."""
    made, pooled = reach.makers[1] if len(reach.makers) == 2 else (None, ())
    pooling = made.of if isinstance(made, FurtherOutput) else None
    if not isinstance(pooling, Pooling):
        return Effect(None)
    rank = len(pooling.window)
    # An index counts the elements of the map that was pooled.
    if reach.output[-rank:] != pooled[-rank:] or reach.shapes[0] != reach.shapes[1]:
        return Effect(None)
    both = fields.join_fields(reach.fields)
    for at in range(rank):
        dim = reach.rank - rank + at
        k, s, p = pooling.window[at], pooling.stride[at], pooling.padding[at]
        n, length = reach.shapes[0][dim], reach.output[dim]
        mask = transposed_mask(k, s, p, pooling.dilation[at], n, length)
        both = fields.mix(both, dim, mask, Fraction(1, s))
    return Effect(both)


@passes(Recurrence)
def _recurrence(operation: Recurrence, reach: Reach) -> Effect:
    steps = reach.shapes[0][0]
    field: Field = fields.collapse(reach.field, [2])
    if len(reach.output) == 3 and reach.output[0] == steps:
        mask = np.triu(np.ones((steps, steps), dtype=np.bool_))
        field = fields.mix(field, 0, mask.T if operation.reverse else mask, Fraction(1))
        field = field and tuple(axis.measure_jump() for axis in field)
    else:  # the last state
        field = fields.collapse(field, [0])
        if len(reach.output) == 2:
            field = fields.remove_dims(field, [0])
    read = [field]
    for state, shape in zip(reach.fields[1:], reach.shapes[1:], strict=True):
        read.append(fields.collapse(state, range(len(shape) - 1)))
        read[-1] = fields.collapse(read[-1], [len(shape) - 1])
    return Effect(fields.join_fields([fields.broadcast_field(f, reach.output) for f in read]))
