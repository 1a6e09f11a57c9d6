"""Operations that pad, cut, repeat or mirror feature maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import torch

from netlet.backends.cpu.lowering import Builder, Value, lowers
from netlet.backends.cpu.parts import maps
from netlet.backends.cpu.parts.base import MapShape
from netlet.backends.cpu.parts.take import Take
from netlet.graph import Node
from netlet.graph.operations import Padding, Slice
from netlet.graph.rare_operations import EdgePadding, Interpolation


@lowers(Padding)
def _lower_padding(builder: Builder, node: Node, operation: Padding) -> Value:
    sizes = (*operation.sizes, 0, 0, 0, 0)
    if operation.value or any(sizes[4:]):
        builder.refuse("pads with values other than zero, or other dimensions")
    value = builder.whole_map()
    return builder.result(
        maps.Pad(
            (value.part,),
            MapShape(*node.shape),
            source=value.shape,
            top=sizes[2],
            left=sizes[0],
        )
    )


@lowers(Slice)
def _lower_slice(builder: Builder, node: Node, operation: Slice) -> Value:
    value = builder.value()
    if not operation.dim:
        builder.refuse("is not supported")
    if not operation.removed and operation.length == value.dims[operation.dim - 1]:
        return dataclasses.replace(value, dims=tuple(node.shape))
    value = builder.map()
    axis = value.axes()[operation.dim - 1]
    shape = value.shape
    part: maps.Channels | maps.Pad | Take
    if axis in ("H", "W") and operation.step != 1:
        last = operation.start + operation.step * operation.length
        taken = range(operation.start, last, operation.step)
        part = _take(value, **{"rows" if axis == "H" else "columns": taken})
    elif operation.step != 1:
        builder.refuse("is not supported")
    elif axis == "C" and not operation.removed:
        part = maps.Channels(
            (value.part,),
            MapShape(operation.length, shape.h, shape.w),
            first=operation.start,
        )
    elif axis in ("H", "W"):
        rows = axis == "H"
        h, w = (operation.length, shape.w) if rows else (shape.h, operation.length)
        part = maps.Pad(
            (value.part,),
            MapShape(shape.channels, h, w),
            source=shape,
            top=-operation.start if rows else 0,
            left=0 if rows else -operation.start,
        )
    else:
        builder.refuse("is not supported")
    return builder.result(part)


@lowers(EdgePadding)
def _lower_edge_padding(builder: Builder, node: Node, operation: EdgePadding) -> Value:
    value = builder.whole_map()
    left, right, top, bottom = (*operation.sizes, 0, 0, 0, 0)[:4]
    if len(operation.sizes) > 4 or min(operation.sizes) < 0:
        builder.refuse("is not supported")
    shape, mode = value.shape, operation.numpy_mode
    rows = np.pad(np.arange(shape.h), (top, bottom), mode=mode)
    columns = np.pad(np.arange(shape.w), (left, right), mode=mode)
    return builder.result(_take(value, rows, columns))


@lowers(Interpolation)
def _lower_interpolation(builder: Builder, node: Node, operation: Interpolation) -> Value:
    if "nearest" not in operation.function or len(operation.size) != 2:
        builder.refuse("is not supported, only mode='nearest' of maps is")
    value = builder.whole_map()
    function = getattr(torch.ops.aten, operation.function)
    (high, wide), (down, across) = operation.size, operation.scales
    rows = torch.arange(value.shape.h, dtype=torch.float64).view(1, 1, -1, 1)
    columns = torch.arange(value.shape.w, dtype=torch.float64).view(1, 1, 1, -1)
    part = _take(
        value,
        function(rows, (high, 1), down, None).flatten().tolist(),
        function(columns, (1, wide), None, across).flatten().tolist(),
    )
    return builder.result(part)


def _take(
    value: Value, rows: Iterable[float] | None = None, columns: Iterable[float] | None = None
) -> Take:
    """Return rows and columns of a map, by their numbers; None: all of them, as they are."""
    shape = value.shape
    taken_rows = tuple(map(int, range(shape.h) if rows is None else rows))
    taken_columns = tuple(map(int, range(shape.w) if columns is None else columns))
    return Take(
        (value.part,),
        MapShape(shape.channels, len(taken_rows), len(taken_columns)),
        source=shape,
        rows=taken_rows,
        columns=taken_columns,
    )
