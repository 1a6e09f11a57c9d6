"""A layer as C: the files of ``c/`` that it needs, its weights and sizes, and the call."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlet.errors import ShipError
from netlet.export.graph import (
    Activation,
    Concatenation,
    Convolution,
    Layer,
    Pooling,
    Product,
    Shape,
    Sum,
)
from netlet.export.quantize import Grid, Numbers

_LINE = 110  # characters of a line of numbers
_MOST_COLUMNS = (
    8  # with 16 channels each a vector register holds sums of so many, and some are left
)
_MOST_WINDOWS = 4_096  # numbers of the windows that are gathered at once
_LARGEST = 2**15 - 1  # that a size may be
_WITHOUT_EXPONENTIAL = ("clamp", "leaky_relu", "hardswish", "hardsigmoid")


@dataclass(frozen=True)
class Place:
    """A layer among the others."""

    number: int  # of the map it gives
    layer: Layer
    shapes: tuple[Shape, ...]  # of the maps it reads
    reads: tuple[str, ...]  # where they lie, in C
    gives: str  # where its own goes
    numbers: Numbers | None = None  # in integers
    grids: tuple[Grid, ...] = ()  # of the maps it reads, then of its own


@dataclass(frozen=True)
class Written:
    """A layer in C."""

    parts: tuple[str, ...]  # files of ``c/``
    tables: str
    call: str
    window: int = 1  # numbers that it gathers for one column
    columns: int = 1


def written(place: Place) -> Written:
    """A layer in C.

    Args:
        place: With ``numbers`` and ``grids`` for integers, without for float32.

    Raises:
        ShipError: It is too large, or cannot be computed in float32 without an exponential.
    """
    layer = place.layer
    about = (
        f"/* {_plain(layer.name)}: {layer.kind}, {_x(place.shapes[0])} to {_x(layer.shape)} */\n"
    )
    if isinstance(layer, Convolution):
        found = _convolution(place, layer)
    elif isinstance(layer, Pooling):
        found = _pooling(place, layer)
    elif isinstance(layer, Activation):
        found = _activation(place, layer)
    else:
        found = _combination(place, layer)
    return dataclasses.replace(
        found, tables=about + found.tables if found.tables else "", call=f"    {found.call}\n"
    )


def c_float(value: float) -> str:
    """The nearest float32, written so that a compiler reads just that; the largest one in place of what is infinite."""
    largest = float(np.finfo(np.float32).max)
    text = f"{np.float32(min(max(float(value), -largest), largest)):.9g}"
    return f"{text if any(sign in text for sign in '.en') else f'{text}.0'}F"


def _convolution(place: Place, layer: Convolution) -> Written:
    weight: NDArray[Any] | None = layer.weight if place.numbers is None else place.numbers.weight
    assert weight is not None
    out, per_group, kh, kw = weight.shape
    c, _, w = place.shapes[0]
    depthwise = per_group == 1 and layer.groups == c == out
    pack = 1 if place.numbers is None else 4
    depth = per_group * kh * kw
    packed = -(-depth // pack) * pack
    # One window after the other is in the map already, if it is as wide as the map or a single row.
    direct = (
        not any(layer.padding)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and (kh == 1 or kw == w)
    )
    direct = direct and packed == depth
    columns = 1 if depthwise else _columns(layer.shape[2], 0 if direct else packed)
    sizes = _sizes(place.shapes[0], layer, layer.window, layer.dilation) | {
        "groups": layer.groups,
        "columns": columns,
        "direct": int(direct),
    }
    if depthwise:
        laid = weight.transpose(2, 3, 0, 1)
    else:
        of_group = weight.reshape(layer.groups, out // layer.groups, per_group, kh * kw)
        rows = of_group.transpose(0, 3, 2, 1).reshape(layer.groups, depth, -1)
        rows = np.pad(rows, ((0, 0), (0, packed - depth), (0, 0)))
        laid = rows.reshape(layer.groups, packed // pack, pack, -1).swapaxes(2, 3)
    n = place.number
    if place.numbers is None:
        kind, channel_kind, channels = "float", "float", layer.bias
        sizes |= {"low": layer.clamp[0], "high": layer.clamp[1]}
    else:
        bias, factors = place.numbers.bias, place.numbers.factors
        assert bias is not None
        assert factors is not None
        kind, channel_kind, channels = "int8_t", "int32_t", np.concatenate([bias, factors.factors])
        sizes |= _integer_sizes(place, factors.shift)
    function = "depthwise" if depthwise else "convolution"
    parts = ("*/finish", function) if depthwise else ("*/finish", "window", "accumulate", function)
    return Written(
        parts,
        _numbers(f"static const {kind} weights_{n}", laid)
        + _numbers(f"static const {channel_kind} channels_{n}", channels)
        + _struct(n, sizes),
        f"{function}(&layer_{n}, weights_{n}, channels_{n}, {place.reads[0]}, {place.gives});",
        window=1 if direct or depthwise else packed,
        columns=columns,
    )


def _columns(width: int, window: int) -> int:
    """How many columns of a row are done at once: as even a share of it as possible, and not too much to keep."""
    most = max(1, min(_MOST_COLUMNS, _MOST_WINDOWS // max(window, 1)))
    return -(-width // -(-width // most))


def _pooling(place: Place, layer: Pooling) -> Written:
    n = place.number
    sizes = _sizes(place.shapes[0], layer, layer.window, (1, 1)) | {
        "counts_padding": int(layer.counts_padding)
    }
    if layer.how == "max":
        return Written(
            ("max_pooling",),
            _struct(n, sizes),
            f"max_pooling(&layer_{n}, {place.reads[0]}, {place.gives});",
        )
    factor = ""
    if place.numbers is not None:
        factors = place.numbers.factors
        sizes |= _integer_sizes(place, factors.shift if factors else 0)
        factor = f"{factors.factors[0] if factors else 0}, "
    return Written(
        ("*/mean_pooling",),
        _struct(n, sizes),
        f"mean_pooling(&layer_{n}, {factor}{place.reads[0]}, {place.gives});",
    )


def _activation(place: Place, layer: Activation) -> Written:
    n, count = place.number, math.prod(layer.shape)
    if place.numbers is not None:
        assert place.numbers.table is not None
        table = _numbers(f"static const uint8_t table_{n}", place.numbers.table)
        return Written(
            ("int8/look_up",),
            table,
            f"look_up(table_{n}, {place.reads[0]}, {place.gives}, {count});",
        )
    if layer.function not in _WITHOUT_EXPONENTIAL:
        raise ShipError(
            f"{layer.name}: {layer.function} cannot be exported to C in float32, which has no exponential without "
            "<math.h>; --int8, which looks it up in a table, or ReLU, LeakyReLU, Hardswish or Hardsigmoid would"
        )
    more = {"clamp": layer.bounds, "leaky_relu": (layer.parameter,)}.get(layer.function, ())
    arguments = ", ".join([place.reads[0], place.gives, str(count), *map(c_float, more)])
    return Written((f"float32/{layer.function}",), "", f"{layer.function}({arguments});")


def _combination(place: Place, layer: Layer) -> Written:
    """A sum, a product or a concatenation."""
    n, (channels, *rows_columns) = place.number, layer.shape
    pixels = math.prod(rows_columns)
    tables = ""
    if isinstance(layer, Concatenation):
        calls, before = [], 0
        for at, (shape, read) in enumerate(zip(place.shapes, place.reads, strict=True)):
            pair = ""
            if place.numbers is not None:
                tables += _pair(place, f"{n}_{at}", [at])
                pair = f"&pair_{n}_{at}, "
            calls.append(
                f"place({pair}{read}, {place.gives} + {before}, {pixels}, {shape[0]}, {channels});"
            )
            before += shape[0]
        return Written(("*/concatenation",), tables, "\n    ".join(calls))
    name, part = ("add", "*/sum") if isinstance(layer, Sum) else ("multiply", "*/product")
    each = channels if place.shapes[1] == layer.shape else 0
    arguments = [*place.reads, place.gives, str(pixels), str(channels), str(each)]
    if place.numbers is not None:
        tables = _pair(place, str(n), [0, 1])
        arguments = [f"&pair_{n}", *arguments]
    elif isinstance(layer, Sum):
        arguments += map(c_float, layer.clamp)
    else:
        assert isinstance(layer, Product)
    return Written((part,), tables, f"{name}({', '.join(arguments)});")


def _sizes(
    shape: Shape, layer: Convolution | Pooling, window: tuple[int, int], dilation: tuple[int, int]
) -> dict[str, float]:
    sizes: dict[str, float] = {
        "height": shape[1],
        "width": shape[2],
        "channels": shape[0],
        "out_height": layer.shape[1],
        "out_width": layer.shape[2],
        "out_channels": layer.shape[0],
        "window_height": window[0],
        "window_width": window[1],
        "stride_y": layer.stride[0],
        "stride_x": layer.stride[1],
        "top": layer.padding[0],
        "left": layer.padding[1],
        "dilation_y": dilation[0],
        "dilation_x": dilation[1],
        "padded": int(any(layer.padding)),
    }
    if max(sizes.values()) > _LARGEST:
        raise ShipError(
            f"{layer.name}: {_x(shape)} to {_x(layer.shape)} is too large for C; sizes to {_LARGEST:,} would"
        )
    return sizes


def _integer_sizes(place: Place, shift: int) -> dict[str, float]:
    numbers = place.numbers
    assert numbers is not None
    return {
        "blank": place.grids[0].zero,
        "zero": place.grids[-1].zero,
        "low": numbers.low,
        "high": numbers.high,
        "shift": shift,
        "wide": int(numbers.wide),
    }


def _struct(n: int, sizes: dict[str, float]) -> str:
    fields = [
        f".{name} = {value if isinstance(value, int) else c_float(value)}"
        for name, value in sizes.items()
        if value
    ]
    return f"static const struct layer layer_{n} = {{\n{_lines(fields)}}};\n"


def _pair(place: Place, name: str, inputs: Sequence[int]) -> str:
    numbers = place.numbers
    assert numbers is not None
    assert numbers.factors is not None
    factors = numbers.factors.factors
    fields = {
        f"multiplier_{side}": factors[at]
        for side, at in zip("ab", inputs, strict=False)
        if at < len(factors)
    }
    fields |= {f"zero_{side}": place.grids[at].zero for side, at in zip("ab", inputs, strict=False)}
    fields |= {
        "zero": place.grids[-1].zero,
        "low": numbers.low,
        "high": numbers.high,
        "shift": numbers.factors.shift,
    }
    lines = _lines(f".{key} = {value}" for key, value in fields.items())
    return f"static const struct pair pair_{name} = {{\n{lines}}};\n"


def _numbers(declared: str, values: NDArray[Any]) -> str:
    flat = values.reshape(-1).tolist()
    texts = map(c_float, flat) if values.dtype.kind == "f" else map(str, flat)
    return f"{declared}[{values.size}] = {{\n{_lines(texts)}}};\n"


def _lines(texts: Iterable[str]) -> str:
    lines, line = [], ""
    for text in texts:
        if len(line) + len(text) + 2 > _LINE:
            lines.append(line.rstrip())
            line = ""
        line += f"{text}, "
    return "".join(f"    {line}\n" for line in [*lines, line.rstrip()])


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else " " for c in name)


def _x(shape: Shape) -> str:
    return "x".join(map(str, shape))
