"""C code of one layer: the files of ``c/`` that it needs, its constants and its call."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlet.errors import ExportError
from netlet.export.c_functions import C_FUNCTIONS
from netlet.export.inference_graph import (
    Activation,
    Concatenation,
    Convolution,
    Layer,
    Pooling,
    Product,
    Shape,
    Sum,
)
from netlet.export.quantize import Multipliers, QuantizedLayer, QuantParams
from netlet.text import format_shape

_LINE = 110  # characters in a line of numbers
# Columns computed at once: with 16 channels each, their sums leave some vector registers free.
_MAX_COLUMNS = 8
_MAX_WINDOW_BUFFER = 4_096  # elements of the windows that are gathered at once
_MAX_SIZE = 2**15 - 1  # sizes are int16_t


@dataclass(frozen=True)
class LayerContext:
    """A layer and where its inputs and its output are stored."""

    number: int  # of its output
    layer: Layer
    shapes: tuple[Shape, ...]  # of its inputs
    inputs: tuple[str, ...]  # C expressions
    output: str  # C expression
    integers: QuantizedLayer | None = None  # None: float32
    params: tuple[QuantParams, ...] = ()  # of its inputs, then of its output; empty for float32


@dataclass(frozen=True)
class CLayer:
    """The C code of a layer."""

    parts: tuple[str, ...]  # files of ``c/``; ``*`` stands for float32 or int8
    tables: str  # its constants
    call: str
    window: int = 1  # elements that it gathers for one column
    columns: int = 1  # computed at once


@dataclass(frozen=True)
class _Weights:
    """The weights of a convolution in the order in which the C code reads them."""

    values: NDArray[Any]
    depthwise: bool
    direct: bool  # whether each window is contiguous in the input, and need not be gathered
    depth: int  # elements of a gathered window


def emit_layer(context: LayerContext) -> CLayer:
    """Return the C code of a layer.

    Args:
        context: With ``integers`` and ``params`` for int8, without them for float32.

    Raises:
        ExportError: The layer is too large, or needs an exponential in float32.
    """
    layer = context.layer
    if isinstance(layer, Convolution):
        code = _emit_convolution(context, layer)
    elif isinstance(layer, Pooling):
        code = _emit_pooling(context, layer)
    elif isinstance(layer, Activation):
        code = _emit_activation(context, layer)
    elif isinstance(layer, Concatenation):
        code = _emit_concatenation(context, layer)
    else:
        code = _emit_sum_or_product(context, layer)
    shapes = f"{format_shape(context.shapes[0])} to {format_shape(layer.shape)}"
    comment = f"/* {_comment_safe(layer.name)}: {layer.kind}, {shapes} */\n"
    tables = comment + code.tables if code.tables else ""
    return dataclasses.replace(code, tables=tables, call=f"    {code.call}\n")


def format_c_float(value: float) -> str:
    """Return a C literal of the nearest float32; infinity becomes the largest finite number."""
    largest = float(np.finfo(np.float32).max)
    text = f"{np.float32(min(max(float(value), -largest), largest)):.9g}"
    return f"{text if any(sign in text for sign in '.en') else f'{text}.0'}F"


def _emit_convolution(context: LayerContext, layer: Convolution) -> CLayer:
    integers = context.integers
    weights = _arrange_weights(context, layer)
    columns = 1
    if not weights.depthwise:
        columns = _columns(layer.shape[2], 0 if weights.direct else weights.depth)
    sizes = _layer_sizes(context.shapes[0], layer, layer.dilation) | {
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
        sizes |= _integer_sizes(context, integers, integers.multipliers.shift)
    n = context.number
    function = "depthwise" if weights.depthwise else "convolution"
    gathering = () if weights.depthwise else ("gather_window", "accumulate")
    arguments = f"&layer_{n}, weights_{n}, channels_{n}, {context.inputs[0]}, {context.output}"
    return CLayer(
        ("*/store_outputs", *gathering, function),
        _emit_array(f"static const {kind} weights_{n}", weights.values)
        + _emit_array(f"static const {channel_kind} channels_{n}", channels)
        + _emit_layer_struct(n, sizes),
        f"{function}({arguments});",
        window=1 if weights.direct or weights.depthwise else weights.depth,
        columns=columns,
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
    c, _, w = context.shapes[0]
    pack = 1 if context.integers is None else 4
    depth = per_group * kh * kw
    packed = -(-depth // pack) * pack
    # Without padding a window is contiguous if it is as wide as the input or a single row.
    simple = not any(layer.padding) and layer.dilation == (1, 1) and layer.groups == 1
    direct = simple and (kh == 1 or kw == w) and packed == depth
    if per_group == 1 and layer.groups == c == out:
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


def _emit_pooling(context: LayerContext, layer: Pooling) -> CLayer:
    n, integers = context.number, context.integers
    sizes = _layer_sizes(context.shapes[0], layer, (1, 1)) | {
        "count_include_pad": int(layer.count_include_pad)
    }
    arguments = f"{context.inputs[0]}, {context.output}"
    if layer.mode == "max":
        call = f"max_pooling(&layer_{n}, {arguments});"
        return CLayer(("max_pooling",), _emit_layer_struct(n, sizes), call)
    multiplier = ""
    if integers is not None:
        # A last layer with 32-bit output is a sum, and has no multiplier.
        multipliers = integers.multipliers or Multipliers(np.zeros(1, np.int32), 0)
        sizes |= _integer_sizes(context, integers, multipliers.shift)
        multiplier = f"{multipliers.values[0]}, "
    call = f"mean_pooling(&layer_{n}, {multiplier}{arguments});"
    return CLayer(("*/mean_pooling",), _emit_layer_struct(n, sizes), call)


def _emit_activation(context: LayerContext, layer: Activation) -> CLayer:
    n, count = context.number, math.prod(layer.shape)
    if context.integers is not None:
        assert context.integers.table is not None
        table = _emit_array(f"static const uint8_t table_{n}", context.integers.table)
        call = f"lookup_table(table_{n}, {context.inputs[0]}, {context.output}, {count});"
        return CLayer(("int8/lookup_table",), table, call)
    function = C_FUNCTIONS.get(layer.function)
    if function is None:
        raise ExportError(
            f"{layer.name}: {layer.function} cannot be exported to C in float32, which has no "
            "exponential without <math.h>; use --int8, which looks it up in a table, or ReLU, "
            "LeakyReLU, Hardswish or Hardsigmoid"
        )
    numbers = map(format_c_float, function.numbers(layer))
    arguments = [context.inputs[0], context.output, str(count), *numbers]
    call = f"{layer.function}({', '.join(arguments)});"
    return CLayer((f"float32/{layer.function}",), "", call)


def _emit_concatenation(context: LayerContext, layer: Concatenation) -> CLayer:
    n, channels, pixels = context.number, layer.shape[0], math.prod(layer.shape[1:])
    tables, calls, before = "", [], 0
    for i, (shape, read) in enumerate(zip(context.shapes, context.inputs, strict=True)):
        scales = ""
        if context.integers is not None:
            tables += _emit_rescale_struct(context, context.integers, f"{n}_{i}", [i])
            scales = f"&rescale_{n}_{i}, "
        target = f"{context.output} + {before}"
        calls.append(f"copy_channels({scales}{read}, {target}, {pixels}, {shape[0]}, {channels});")
        before += shape[0]
    return CLayer(("*/concatenation",), tables, "\n    ".join(calls))


def _emit_sum_or_product(context: LayerContext, layer: Layer) -> CLayer:
    n, channels, pixels = context.number, layer.shape[0], math.prod(layer.shape[1:])
    name, part = ("add_maps", "*/sum")
    if not isinstance(layer, Sum):
        assert isinstance(layer, Product)
        name, part = ("multiply_maps", "*/product")
    second_pixel = channels if context.shapes[1] == layer.shape else 0  # 0: broadcast
    sizes = map(str, (pixels, channels, second_pixel))
    arguments = [*context.inputs, context.output, *sizes]
    tables = ""
    if context.integers is not None:
        tables = _emit_rescale_struct(context, context.integers, str(n), [0, 1])
        arguments = [f"&rescale_{n}", *arguments]
    elif isinstance(layer, Sum):
        arguments += map(format_c_float, layer.clamp)
    return CLayer((part,), tables, f"{name}({', '.join(arguments)});")


def _layer_sizes(
    shape: Shape, layer: Convolution | Pooling, dilation: tuple[int, int]
) -> dict[str, float]:
    """Return the fields of ``struct layer`` that both arithmetics share."""
    sizes: dict[str, float] = {
        "height": shape[1],
        "width": shape[2],
        "channels": shape[0],
        "out_height": layer.shape[1],
        "out_width": layer.shape[2],
        "out_channels": layer.shape[0],
        "window_height": layer.window[0],
        "window_width": layer.window[1],
        "stride_y": layer.stride[0],
        "stride_x": layer.stride[1],
        "top": layer.padding[0],
        "left": layer.padding[1],
        "dilation_y": dilation[0],
        "dilation_x": dilation[1],
        "padded": int(any(layer.padding)),
    }
    if max(sizes.values()) > _MAX_SIZE:
        raise ExportError(
            f"{layer.name}: {format_shape(shape)} to {format_shape(layer.shape)} is too large for "
            f"the C export; use sizes up to {_MAX_SIZE:,}"
        )
    return sizes


def _integer_sizes(context: LayerContext, integers: QuantizedLayer, shift: int) -> dict[str, float]:
    """Return the fields of ``struct layer`` that int8 adds."""
    return {
        "pad_value": context.params[0].zero_point,
        "zero_point": context.params[-1].zero_point,
        "low": integers.low,
        "high": integers.high,
        "shift": shift,
        "int32_output": int(integers.int32_output),
    }


def _emit_layer_struct(number: int, sizes: dict[str, float]) -> str:
    fields = [
        f".{name} = {value if isinstance(value, int) else format_c_float(value)}"
        for name, value in sizes.items()
        if value
    ]
    return f"static const struct layer layer_{number} = {{\n{_wrap_lines(fields)}}};\n"


def _emit_rescale_struct(
    context: LayerContext, integers: QuantizedLayer, name: str, inputs: Sequence[int]
) -> str:
    assert integers.multipliers is not None
    values = integers.multipliers.values
    sides = list(zip("ab", inputs, strict=False))
    fields = {f"multiplier_{side}": values[i] for side, i in sides if i < len(values)}
    fields |= {f"zero_point_{side}": context.params[i].zero_point for side, i in sides}
    fields |= {
        "zero_point": context.params[-1].zero_point,
        "low": integers.low,
        "high": integers.high,
        "shift": integers.multipliers.shift,
    }
    lines = _wrap_lines(f".{key} = {value}" for key, value in fields.items())
    return f"static const struct rescale rescale_{name} = {{\n{lines}}};\n"


def _emit_array(declaration: str, values: NDArray[Any]) -> str:
    flat = values.reshape(-1).tolist()
    texts = map(format_c_float, flat) if values.dtype.kind == "f" else map(str, flat)
    return f"{declaration}[{values.size}] = {{\n{_wrap_lines(texts)}}};\n"


def _wrap_lines(texts: Iterable[str]) -> str:
    lines, line = [], ""
    for text in texts:
        if len(line) + len(text) + 2 > _LINE:
            lines.append(line.rstrip())
            line = ""
        line += f"{text}, "
    return "".join(f"    {line}\n" for line in [*lines, line.rstrip()])


def _comment_safe(name: str) -> str:
    return "".join(c if (c.isascii() and c.isalnum()) or c in "._" else " " for c in name)
