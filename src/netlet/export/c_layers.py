"""C code of one layer: the files of ``c/`` that it needs, its constants and its call."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from netlet.export.c_code import (
    CLayer,
    LayerContext,
    emit_array,
    emit_layer_struct,
    emit_rescale_struct,
    format_c_float,
    integer_sizes,
    layer_sizes,
)
from netlet.export.c_convolutions import emit_convolution, emit_narrow_convolution
from netlet.export.c_functions import C_FUNCTIONS
from netlet.export.c_map_layers import emit_map_layer
from netlet.export.inference_graph import (
    Activation,
    Concatenation,
    Convolution,
    Layer,
    Pooling,
    Product,
    Sum,
)
from netlet.export.quantize_weights import Multipliers
from netlet.text import format_shape


def emit_layer(context: LayerContext) -> CLayer:
    """Return the C code of a layer.

    Args:
        context: With ``integers`` and ``params`` for int8, without them for float32.

    Raises:
        ExportError: The layer is too large.
    """
    layer = context.layer
    if isinstance(layer, Convolution):
        narrow = context.integers is not None and context.integers.offsets is not None
        code = (emit_narrow_convolution if narrow else emit_convolution)(context, layer)
    elif isinstance(layer, Pooling):
        code = _emit_pooling(context, layer)
    elif isinstance(layer, Activation):
        code = _emit_activation(context, layer)
    elif isinstance(layer, Concatenation):
        code = _emit_concatenation(context, layer)
    elif isinstance(layer, Sum | Product):
        code = _emit_sum_or_product(context, layer)
    else:
        code = emit_map_layer(context)
    before = f"{format_shape(context.shapes[0])} to " if context.shapes else ""
    shapes = f"{before}{format_shape(layer.shape)}"
    comment = f"/* {_comment_safe(layer.name)}: {layer.kind}, {shapes} */\n"
    tables = comment + code.tables if code.tables else ""
    return dataclasses.replace(code, tables=tables, call=code.call and f"    {code.call}\n")


def _emit_pooling(context: LayerContext, layer: Pooling) -> CLayer:
    n, integers = context.number, context.integers
    sizes = layer_sizes(context.shapes[0], layer, (1, 1)) | {
        "count_include_pad": int(layer.count_include_pad)
    }
    arguments = f"{context.inputs[0]}, {context.output}"
    if layer.mode == "max":
        call = f"max_pooling(&layer_{n}, {arguments});"
        return CLayer(("max_pooling",), emit_layer_struct(n, sizes), call)
    multiplier = ""
    if integers is not None:
        # A last layer with 32-bit output is a sum, and has no multiplier.
        multipliers = integers.multipliers or Multipliers(np.zeros(1, np.int32), 0)
        sizes |= integer_sizes(context, integers, multipliers.shift)
        multiplier = f"{multipliers.values[0]}, "
    call = f"mean_pooling(&layer_{n}, {multiplier}{arguments});"
    return CLayer(("*/mean_pooling",), emit_layer_struct(n, sizes), call)


def _emit_activation(context: LayerContext, layer: Activation) -> CLayer:
    n, count = context.number, math.prod(layer.shape)
    if context.integers is not None:
        assert context.integers.table is not None
        table = emit_array(f"static const uint8_t table_{n}", context.integers.table)
        call = f"lookup_table(table_{n}, {context.inputs[0]}, {context.output}, {count});"
        return CLayer(("int8/lookup_table",), table, call)
    function = C_FUNCTIONS[layer.function]
    numbers = map(format_c_float, function.numbers(layer))
    arguments = [context.inputs[0], context.output, str(count), *numbers]
    call = f"{function.name or layer.function}({', '.join(arguments)});"
    return CLayer((f"float32/{layer.function}",), "", call)


def _emit_concatenation(context: LayerContext, layer: Concatenation) -> CLayer:
    n, channels, pixels = context.number, layer.shape[0], math.prod(layer.shape[1:])
    tables, calls, before = "", [], 0
    for i, (shape, read) in enumerate(zip(context.shapes, context.inputs, strict=True)):
        scales = ""
        if context.integers is not None:
            tables += emit_rescale_struct(context, context.integers, f"{n}_{i}", [i])
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
        tables = emit_rescale_struct(context, context.integers, str(n), [0, 1])
        arguments = [f"&rescale_{n}", *arguments]
    elif isinstance(layer, Sum):
        arguments += map(format_c_float, layer.clamp)
    return CLayer((part,), tables, f"{name}({', '.join(arguments)});")


def _comment_safe(name: str) -> str:
    return "".join(c if (c.isascii() and c.isalnum()) or c in "._" else " " for c in name)
