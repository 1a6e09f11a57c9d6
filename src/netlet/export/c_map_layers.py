"""C code of layers that move, resample or normalize the elements of feature maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlet.export.c_code import (
    CLayer,
    LayerContext,
    emit_array,
    emit_rescale_struct,
    emit_struct,
    format_c_float,
)
from netlet.export.map_layers import (
    ChannelSlope,
    Constant,
    Normalization,
    Rearrangement,
    Resampling,
)


def emit_map_layer(context: LayerContext) -> CLayer:
    """Return the C code of a layer of ``map_layers``.

    Args:
        context: The layer, with ``integers`` and ``params`` for int8.
    """
    layer = context.layer
    if isinstance(layer, Constant):
        return _emit_constant(context, layer)
    if isinstance(layer, Rearrangement):
        return _emit_rearrangement(context, layer)
    if isinstance(layer, Resampling):
        return _emit_resampling(context, layer)
    if isinstance(layer, ChannelSlope):
        return _emit_slopes(context, layer)
    assert isinstance(layer, Normalization)
    return _emit_normalization(context, layer)


def _emit_constant(context: LayerContext, layer: Constant) -> CLayer:
    kind: str = "float"
    values: NDArray[Any] = layer.values
    if context.integers is not None:
        assert context.integers.table is not None
        kind, values = "uint8_t", context.integers.table.reshape(layer.shape)
    pixels = values.transpose(1, 2, 0)
    return CLayer((), emit_array(f"static const {kind} {context.output}", pixels), "")


def _emit_rearrangement(context: LayerContext, layer: Rearrangement) -> CLayer:
    (read,), n = context.inputs, context.number
    if read == context.output and layer.is_copy(context.shapes[0]):
        return CLayer((), "", "")  # the same memory
    tables = "".join(
        _emit_axis(f"{name}_{n}", np.array(offsets, np.int32))
        for name, offsets in (
            ("rows", layer.rows),
            ("columns", layer.columns),
            ("channels", layer.channels),
        )
    )
    fill = format_c_float(layer.fill) if context.integers is None else context.integers.fill
    axes = f"&rows_{n}, &columns_{n}, &channels_{n}"
    return CLayer(
        ("rearrangement",), tables, f"rearrange({axes}, {read}, {context.output}, {fill});"
    )


def _emit_axis(name: str, offsets: NDArray[np.int32]) -> str:
    steps = np.diff(offsets)
    step = int(steps[0]) if steps.size else 1
    if offsets.min() < 0 or (steps != step).any():
        table = emit_array(f"static const int32_t offsets_of_{name}", offsets)
        fields = {"count": offsets.size, "table": f"offsets_of_{name}"}
        return table + emit_struct("axis", name, fields)
    return emit_struct("axis", name, {"count": offsets.size, "start": offsets[0], "step": step})


def _emit_resampling(context: LayerContext, layer: Resampling) -> CLayer:
    n, (c, _, w) = context.number, context.shapes[0]
    down: NDArray[Any] = layer.down
    across: NDArray[Any] = layer.across
    tables, scale = "", ""
    if context.integers is not None:
        assert context.integers.taps is not None
        down, across = context.integers.taps
        tables = emit_rescale_struct(context, context.integers, str(n), [0])
        scale = f"&rescale_{n}, "
    tables += _emit_taps(f"rows_{n}", down) + _emit_taps(f"columns_{n}", across)
    arguments = f"{scale}{context.inputs[0]}, {context.output}, {w}, {c}"
    return CLayer(("*/resampling",), tables, f"resample(&rows_{n}, &columns_{n}, {arguments});")


def _emit_taps(name: str, matrix: NDArray[Any]) -> str:
    """Return the weights of each row of a matrix, without the zeros around them."""
    used = [np.flatnonzero(row) for row in matrix]
    first = np.array([places[0] if places.size else 0 for places in used])
    lengths = [
        int(places[-1]) - a + 1 for places, a in zip(used, first, strict=True) if places.size
    ]
    taps = max(lengths, default=1)
    first = np.minimum(first, matrix.shape[1] - taps).astype(np.int32)
    weights = np.stack([row[a : a + taps] for row, a in zip(matrix, first, strict=True)])
    kind = "float" if matrix.dtype.kind == "f" else "int16_t"
    fields = {
        "count": len(matrix),
        "taps": taps,
        "first": f"first_of_{name}",
        "weights": f"weights_of_{name}",
    }
    return (
        emit_array(f"static const int32_t first_of_{name}", first)
        + emit_array(f"static const {kind} weights_of_{name}", weights)
        + emit_struct("taps", name, fields)
    )


def _emit_slopes(context: LayerContext, layer: ChannelSlope) -> CLayer:
    n, pixels = context.number, math.prod(layer.shape[1:])
    arguments = f"{context.inputs[0]}, {context.output}, {pixels}, {layer.shape[0]}"
    if context.integers is None:
        table = emit_array(f"static const float slopes_{n}", layer.slopes)
    else:
        multipliers = context.integers.multipliers
        assert multipliers is not None
        table = emit_array(f"static const int32_t slopes_{n}", multipliers.values)
        read, written = (params.zero_point for params in context.params)
        arguments += f", {read}, {written}, {multipliers.shift}"
    return CLayer(("*/prelu",), table, f"prelu(slopes_{n}, {arguments});")


def _emit_normalization(context: LayerContext, layer: Normalization) -> CLayer:
    n, channels, pixels = context.number, layer.shape[0], math.prod(layer.shape[1:])
    width = channels // layer.groups
    sizes = {"groups": layer.groups, "step": width, "pixels": pixels, "width": width}
    if layer.per_pixel:
        sizes = {"groups": pixels, "step": channels, "pixels": 1, "width": channels}
    sizes["channels"] = channels
    maps = f"{context.inputs[0]}, {context.output}"
    if context.integers is None:
        numbers = ", ".join(map(str, sizes.values()))
        call = f"normalize({maps}, {numbers}, {format_c_float(layer.eps)});"
        return CLayer(("float32/normalization",), "", call)
    norm = context.integers.norm
    assert norm is not None
    read, written = (params.zero_point for params in context.params)
    fields = {
        "numerator": norm.numerator,
        "eps": norm.eps,
        **sizes,
        "bits": norm.bits,
        "shift": norm.shift,
        "zero_point_from": read,
        "zero_point": written,
    }
    table = emit_struct("norm", f"norm_{n}", fields)
    return CLayer(("int8/normalization",), table, f"normalize(&norm_{n}, {maps});")
