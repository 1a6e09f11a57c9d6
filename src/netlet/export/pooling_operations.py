"""Turn the ATen operations of poolings into layers."""

from __future__ import annotations

from typing import Any, Literal

import torch

from netlet.export.graph import Pooling
from netlet.export.graph_builder import GraphBuilder, map_shape

Mode = Literal["max", "mean"]


def add_pooling(builder: GraphBuilder, name: str, args: tuple[Any, ...], out: torch.Tensor) -> None:
    """Add a max or mean pooling with a window.

    Raises:
        ExportError: No export supports its options.
    """
    x, window, *rest = args
    names = (
        ("stride", "padding", "dilation", "ceil")
        if "max" in name
        else ("stride", "padding", "ceil", "counts", "divisor")
    )
    options = dict(zip(names, rest, strict=False))
    window = _to_pair(window)
    stride, padding = _to_pair(options.get("stride") or window), _to_pair(options.get("padding", 0))
    if _to_pair(options.get("dilation", 1)) != (1, 1):
        raise builder.unsupported("dilated pooling", "pooling without dilation")
    if options.get("divisor") not in (None, window[0] * window[1]):
        raise builder.unsupported("divisor_override", "mean pooling without it")
    counts = bool(options.get("counts", True)) and "avg" in name and padding != (0, 0)
    number = builder.number_of(x)
    builder.check_not_reshaped(x, number)
    shape = map_shape(out)
    size = builder.shape_of(number)[1:]
    # With ceil_mode the last windows reach beyond the edge, as if there were more padding below
    # and to the right.
    over = [(shape[1 + i] - 1) * stride[i] + window[i] - size[i] - padding[i] for i in (0, 1)]
    if counts and any(over[i] > padding[i] for i in (0, 1)):
        raise builder.unsupported(
            "mean pooling with padding and ceil_mode", "count_include_pad=False"
        )
    around = (*padding, max(padding[0], over[0]), max(padding[1], over[1]))
    mode: Mode = "max" if "max" in name else "mean"
    builder.add_layer(
        out, Pooling(builder.name, (number,), shape, mode, window, stride, around, counts)
    )


def add_adaptive_pooling(
    builder: GraphBuilder, mode: Mode, x: torch.Tensor, out: torch.Tensor
) -> None:
    """Add an adaptive pooling whose windows all have one size.

    Raises:
        ExportError: No export supports its options.
    """
    number = builder.number_of(x)
    builder.check_not_reshaped(x, number)
    _, h, w = builder.shape_of(number)
    c, to_h, to_w = map_shape(out)
    if h % to_h or w % to_w:
        raise builder.unsupported(
            f"adaptive pooling from {h}x{w} to {to_h}x{to_w} (windows of several sizes)",
            "an output size that divides the input size",
        )
    window = (h // to_h, w // to_w)
    shape = (c, to_h, to_w)
    builder.add_layer(out, Pooling(builder.name, (number,), shape, mode, window, window))


def add_global_pooling(
    builder: GraphBuilder, mode: Mode, x: torch.Tensor, args: tuple[Any, ...], out: torch.Tensor
) -> None:
    """Add a pooling over whole feature maps.

    Raises:
        ExportError: No export supports its options.
    """
    number = builder.number_of(x)
    builder.check_not_reshaped(x, number)
    dims = {dim % x.dim() for dim in (args[1] if len(args) > 1 and args[1] else range(x.dim()))}
    c, h, w = builder.shape_of(number)
    if x.dim() != 4 or dims != {2, 3}:
        raise builder.unsupported(f"{mode} over anything but rows and columns", "x.mean((2, 3))")
    builder.add_layer(out, Pooling(builder.name, (number,), (c, 1, 1), mode, (h, w), (h, w)))


def _to_pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])
