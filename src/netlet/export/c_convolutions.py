"""C code of a convolution: its weights in the order in which the C functions read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlet.export.c_code import (
    CLayer,
    LayerContext,
    NarrowBuffers,
    emit_array,
    emit_layer_struct,
    integer_sizes,
    layer_sizes,
)
from netlet.export.inference_graph import Convolution

# Columns computed at once: with 16 channels each, their sums leave some vector registers free.
_MAX_COLUMNS = 8
_MAX_WINDOW_BUFFER = 4_096  # elements of the windows that are gathered at once


@dataclass(frozen=True)
class _Weights:
    """The weights of a convolution in the order in which the C code reads them."""

    values: NDArray[Any]
    depthwise: bool
    direct: bool  # whether each window is contiguous in the input, and need not be gathered
    depth: int  # elements of a gathered window


def emit_convolution(context: LayerContext, layer: Convolution) -> CLayer:
    """Return the C code of a convolution, in int8 of one with 32-bit sums."""
    integers = context.integers
    weights = _arrange_weights(context, layer)
    columns = 1
    if not weights.depthwise:
        columns = _columns(layer.shape[2], 0 if weights.direct else weights.depth)
    sizes = layer_sizes(context.shapes[0], layer, layer.dilation) | {
        "groups": layer.groups,
        "columns": columns,
        "direct": int(weights.direct),
    }
    if integers is None:
        kind, channel_kind, channels = "float", "float", layer.bias
        sizes |= {"low": layer.clamp[0], "high": layer.clamp[1]}
    else:
        assert integers.bias is not None
        assert integers.multipliers is not None
        kind, channel_kind = "int8_t", "int32_t"
        channels = np.concatenate([integers.bias, integers.multipliers.values])
        sizes |= integer_sizes(context, integers, integers.multipliers.shift)
    n = context.number
    function = "depthwise" if weights.depthwise else "convolution"
    parts = () if weights.depthwise else ("gather_window", "accumulate")
    gathers = not (weights.direct or weights.depthwise)
    arguments = f"&layer_{n}, weights_{n}, channels_{n}, {context.inputs[0]}, {context.output}"
    return CLayer(
        ("*/store_outputs", *parts, function),
        emit_array(f"static const {kind} weights_{n}", weights.values)
        + emit_array(f"static const {channel_kind} channels_{n}", channels)
        + emit_layer_struct(n, sizes),
        f"{function}({arguments});",
        gathers=gathers,
        window=weights.depth if gathers else 1,
        operands=1 if weights.depthwise else weights.depth,
        columns=columns,
    )


def emit_narrow_convolution(context: LayerContext, layer: Convolution) -> CLayer:
    """Return the C code of a depthwise convolution in int8 whose sums fit 16 bits."""
    n, integers = context.number, context.integers
    assert integers is not None
    assert integers.bias is not None
    assert integers.multipliers is not None
    assert integers.offsets is not None
    weights = _arrange_weights(context, layer)
    sizes = layer_sizes(context.shapes[0], layer, layer.dilation)
    sizes |= integer_sizes(context, integers, integers.multipliers.shift)
    channels = np.concatenate([integers.bias, integers.multipliers.values, integers.offsets])
    arguments = f"&layer_{n}, weights_{n}, channels_{n}, {context.inputs[0]}, {context.output}"
    width = (layer.shape[2] - 1) * layer.stride[1] + (layer.window[1] - 1) * layer.dilation[1] + 1
    rows = layer.window[0] * width * layer.shape[0] if any(layer.padding) else 1
    return CLayer(
        ("int8/narrow_depthwise",),
        emit_array(f"static const int8_t weights_{n}", weights.values)
        + emit_array(f"static const uint16_t channels_{n}", channels % 2**16)
        + emit_layer_struct(n, sizes),
        f"narrow_depthwise({arguments});",
        narrow=NarrowBuffers(layer.shape[0], math.prod(layer.window), rows),
    )


def _arrange_weights(context: LayerContext, layer: Convolution) -> _Weights:
    """Arrange weights as ``KH KW C`` (depthwise) or by group as ``depth x channels``.

    In int8 four rows of depth are interleaved, zero-padded to a multiple of four.
    """
    weight: NDArray[Any] | None = (
        layer.weight if context.integers is None else context.integers.weight
    )
    assert weight is not None
    out, per_group, kh, kw = weight.shape
    w = context.shapes[0][2]
    pack = 1 if context.integers is None else 4
    depth = per_group * kh * kw
    packed = -(-depth // pack) * pack
    # Without padding a window is contiguous if it is as wide as the input or a single row.
    simple = not any(layer.padding) and layer.dilation == (1, 1) and layer.groups == 1
    direct = simple and (kh == 1 or kw == w) and packed == depth
    if layer.is_depthwise:
        return _Weights(weight.transpose(2, 3, 0, 1), True, direct, packed)
    by_group = weight.reshape(layer.groups, out // layer.groups, per_group, kh * kw)
    rows = by_group.transpose(0, 3, 2, 1).reshape(layer.groups, depth, -1)
    rows = np.pad(rows, ((0, 0), (0, packed - depth), (0, 0)))
    values = rows.reshape(layer.groups, packed // pack, pack, -1).swapaxes(2, 3)
    return _Weights(values, False, direct, packed)


def _columns(width: int, window: int) -> int:
    """Return how many columns of a row are computed at once.

    As equal a share of the row as possible, within the registers and the window buffer.
    """
    most = max(1, min(_MAX_COLUMNS, _MAX_WINDOW_BUFFER // max(window, 1)))
    return -(-width // -(-width // most))
