"""The parts of the C code of a layer: constants, tables, and the sizes in ``struct layer``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlet.errors import ExportError
from netlet.export.inference_graph import Convolution, Layer, Pooling, Shape
from netlet.export.quantize import QuantizedLayer
from netlet.export.quantize_weights import QuantParams
from netlet.text import format_shape

_LINE = 110  # characters in a line of numbers
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
class NarrowBuffers:
    """Sizes of the buffers of a depthwise convolution with 16-bit sums."""

    channels: int
    taps: int  # elements of the window
    rows: int  # elements of the rows of the input that a row of the output needs, with padding


@dataclass(frozen=True)
class CLayer:
    """The C code of a layer."""

    parts: tuple[str, ...]  # files of ``c/``; ``*`` stands for float32 or int8
    tables: str  # its constants
    call: str
    gathers: bool = False  # whether it copies windows that are not contiguous in the input
    window: int = 1  # elements that it gathers for one column
    operands: int = 1  # the same where even a window that is contiguous in the input is gathered
    columns: int = 1  # computed at once
    narrow: NarrowBuffers | None = None


def format_c_float(value: float) -> str:
    """Return a C literal of the nearest float32; infinity becomes the largest finite number."""
    largest = float(np.finfo(np.float32).max)
    text = f"{np.float32(min(max(float(value), -largest), largest)):.9g}"
    return f"{text if any(sign in text for sign in '.en') else f'{text}.0'}F"


def layer_sizes(
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


def integer_sizes(context: LayerContext, integers: QuantizedLayer, shift: int) -> dict[str, float]:
    """Return the fields of ``struct layer`` that int8 adds."""
    return {
        "pad_value": context.params[0].zero_point,
        "zero_point": context.params[-1].zero_point,
        "low": integers.low,
        "high": integers.high,
        "shift": shift,
        "int32_output": int(integers.int32_output),
    }


def emit_layer_struct(number: int, sizes: dict[str, float]) -> str:
    """Return the ``struct layer`` of a layer; fields that are 0 are left out."""
    fields = [
        f".{name} = {value if isinstance(value, int) else format_c_float(value)}"
        for name, value in sizes.items()
        if value
    ]
    return f"static const struct layer layer_{number} = {{\n{wrap_lines(fields)}}};\n"


def emit_rescale_struct(
    context: LayerContext, integers: QuantizedLayer, name: str, inputs: Sequence[int]
) -> str:
    """Return the constants that bring one or two feature maps to the scale of the output.

    Args:
        context: The layer.
        integers: Its integers.
        name: What follows ``rescale_`` in their name.
        inputs: Which of the layer's inputs.
    """
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
    return emit_struct("rescale", f"rescale_{name}", fields)


def emit_struct(kind: str, name: str, fields: Mapping[str, object]) -> str:
    """Return the definition of a constant structure of a kind."""
    lines = wrap_lines(f".{key} = {value}" for key, value in fields.items())
    return f"static const struct {kind} {name} = {{\n{lines}}};\n"


def emit_array(declaration: str, values: NDArray[Any]) -> str:
    """Return the definition of an array; the declaration lacks its size."""
    flat = values.reshape(-1).tolist()
    texts = map(format_c_float, flat) if values.dtype.kind == "f" else map(str, flat)
    return f"{declaration}[{values.size}] = {{\n{wrap_lines(texts)}}};\n"


def wrap_lines(texts: Iterable[str]) -> str:
    """Return texts separated by commas, in indented lines."""
    lines, line = [], ""
    for text in texts:
        if len(line) + len(text) + 2 > _LINE:
            lines.append(line.rstrip())
            line = ""
        line += f"{text}, "
    return "".join(f"    {line}\n" for line in [*lines, line.rstrip()])
