"""Turn each ATen operation of a traced run into a layer, or say why it cannot be exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from netlet.export.activation_operations import (
    ACTIVATIONS,
    add_activation,
    add_prelu,
    append_activation,
    clamp_bounds,
)
from netlet.export.graph import (
    Concatenation,
    Convolution,
    FinalSoftmax,
    Product,
    Sum,
)
from netlet.export.graph_builder import BATCH, GraphBuilder, map_shape, to_float64
from netlet.export.pooling_operations import (
    add_adaptive_pooling,
    add_global_pooling,
    add_pooling,
)
from netlet.export.unsupported import ALTERNATIVES, SUPPORTED
from netlet.text import format_shape

# Operations that return their input unchanged.
_IDENTITIES = frozenset(["alias", "clone", "contiguous", "detach", "lift_fresh", "to", "_to_copy"])
_VIEWS = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "unsqueeze",
        "squeeze",
        "flatten",
        "expand",
    ]
)
PASS_THROUGH = _IDENTITIES | _VIEWS
_SOFTMAXES: dict[str, FinalSoftmax] = {"_log_softmax": "log_softmax", "_softmax": "softmax"}
_CLAMPS = frozenset(["clamp", "clamp_max", "clamp_min", "hardtanh", "relu", "relu6"])
# Operations that read only the shape of a feature map.
_SHAPE_ONLY = frozenset(
    [
        "empty_like",
        "full_like",
        "new_empty",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "zeros_like",
    ]
)


def add_operation(
    builder: GraphBuilder, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> None:
    """Add an operation that reads a feature map to the graph.

    Args:
        builder: The graph so far.
        name: The operation's ATen name, without overload and trailing underscore.
        args: Its positional arguments; PyTorch leaves out defaults.
        kwargs: Its keyword arguments.
        out: Its first output.

    Raises:
        ExportError: No export supports it; the message names the layer and an alternative.
    """
    if name in _SHAPE_ONLY:
        return
    builder.operation = name.strip("_").removesuffix("_with_indices")
    if not isinstance(out, torch.Tensor) or name in ALTERNATIVES:
        raise builder.unsupported(*ALTERNATIVES.get(name, (name, SUPPORTED)))
    x = args[0]
    if name in _IDENTITIES:
        around = builder.padded.get(id(x))
        builder.bind(out, builder.number_of(x, handles_padding=True))
        if around:
            builder.padded[id(out)] = around
    elif name in _VIEWS:
        _add_view(builder, name, x, out)
    elif name == "constant_pad_nd":
        _add_padding(builder, x, args[1], args[2] if len(args) > 2 else 0, out)
    elif name == "convolution":
        _add_convolution(builder, args, out)
    elif name in ("addmm", "mm"):
        _add_linear(builder, name, args, kwargs, out)
    elif "batch_norm" in name:
        _add_batch_norm(builder, args, out)
    elif name in ("max_pool2d_with_indices", "max_pool2d", "avg_pool2d"):
        add_pooling(builder, name, args, out)
    elif name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d"):
        add_adaptive_pooling(builder, "max" if "max" in name else "mean", x, out)
    elif name in ("mean", "amax"):
        add_global_pooling(builder, "max" if name == "amax" else "mean", x, args, out)
    elif name in ("add", "sub", "rsub", "mul", "div"):
        _add_arithmetic(builder, name, args, kwargs, out)
    elif name == "cat":
        _add_concatenation(builder, args, kwargs, out)
    elif name in _CLAMPS:
        append_activation(builder, x, out, "clamp", bounds=clamp_bounds(name, args, kwargs))
    elif name in ACTIVATIONS:
        add_activation(builder, name, args, kwargs, out)
    elif name in ("prelu", "_prelu_kernel"):
        add_prelu(builder, args, out)
    elif name in _SOFTMAXES:
        if args[1] % x.dim() != 1 or x.dim() != 2:
            raise builder.unsupported("softmax over anything but the classes", "dim=1 of N K")
        builder.bind(out, builder.number_of(x))
        builder.softmaxes[id(out)] = _SOFTMAXES[name]
    else:
        raise builder.unsupported(name, SUPPORTED)


# --- One function for each kind of operation.


def _add_view(builder: GraphBuilder, name: str, x: torch.Tensor, out: torch.Tensor) -> None:
    number = builder.number_of(x)
    c, h, w = builder.shape_of(number)
    allowed = {(c, h, w), (c * h * w,), (c * h * w, 1, 1)}
    squeezed = tuple(n for n in out.shape[1:] if n != 1) == tuple(n for n in (c, h, w) if n != 1)
    if (
        name == "expand"
        or out.shape[:1] != (BATCH,)
        or not (squeezed or tuple(out.shape[1:]) in allowed)
    ):
        before, after = format_shape((c, h, w)), format_shape(out.shape[1:])
        raise builder.unsupported(
            f"{name} from {before} to {after}", "flattening of a whole feature map"
        )
    softmax = builder.softmaxes.get(id(x))
    builder.bind(out, number)
    if softmax:
        builder.softmaxes[id(out)] = softmax


def _add_padding(
    builder: GraphBuilder, x: torch.Tensor, pad: Sequence[int], value: float, out: torch.Tensor
) -> None:
    left, right, top, bottom = (*pad, 0, 0, 0, 0)[:4]
    if value != 0 or min(pad) < 0 or any(pad[4:]) or x.dim() != 4:
        raise builder.unsupported(
            "padding with anything but rows and columns of zeros", "F.pad(x, (1, 1, 1, 1))"
        )
    before = builder.padded.get(id(x), (0, 0, 0, 0))
    builder.bind(out, builder.number_of(x, handles_padding=True))
    builder.padded[id(out)] = (
        top + before[0],
        left + before[1],
        bottom + before[2],
        right + before[3],
    )


def _add_convolution(builder: GraphBuilder, args: tuple[Any, ...], out: torch.Tensor) -> None:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    if transposed or out.dim() != 4:
        raise builder.unsupported("a transposed or one-dimensional convolution", "nn.Conv2d")
    number = builder.number_of(x, handles_padding=True)
    builder.check_not_reshaped(x, number)
    before = builder.padded.get(id(x), (0, 0, 0, 0))
    around = (padding[0], padding[1], padding[0], padding[1])
    builder.add_layer(
        out,
        Convolution(
            builder.name,
            (number,),
            map_shape(out),
            to_float64(weight),
            to_float64(bias) if bias is not None else np.zeros(len(weight)),
            (stride[0], stride[1]),
            tuple(a + b for a, b in zip(around, before, strict=True)),
            (dilation[0], dilation[1]),
            groups,
        ),
    )


def _add_linear(
    builder: GraphBuilder,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: torch.Tensor,
) -> None:
    bias, x, weight = args if name == "addmm" else (None, *args)
    if x not in builder or weight in builder or any(v != 1 for v in kwargs.values()):
        raise builder.unsupported("a matrix product of feature maps", SUPPORTED)
    number = builder.number_of(x)
    c, h, w = builder.shape_of(number)
    kernel = to_float64(weight.t()).reshape(-1, c, h, w)
    biases = to_float64(bias.expand(out.shape[1])) if bias is not None else np.zeros(len(kernel))
    shape = (len(kernel), 1, 1)
    builder.add_layer(out, Convolution(builder.name, (number,), shape, kernel, biases))


def _add_batch_norm(builder: GraphBuilder, args: tuple[Any, ...], out: torch.Tensor) -> None:
    x, weight, bias, mean, var, *rest = args
    if not isinstance(mean, torch.Tensor) or any(value is True for value in rest):
        raise builder.unsupported(
            "batch norm by each batch's own statistics",
            "batch norm with running statistics (track_running_stats=True)",
        )
    builder.check_not_reshaped(x, builder.number_of(x))
    eps = rest[-1] if isinstance(rest[-1], float) else rest[-2]
    scale = (weight.double() if weight is not None else 1) / (var.double() + eps).sqrt()
    shift = (bias.double() if bias is not None else 0) - mean.double() * scale
    builder.add_scale(builder.number_of(x), out, scale, shift)


def _add_arithmetic(
    builder: GraphBuilder,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: torch.Tensor,
) -> None:
    one, other = args[:2]
    alpha = kwargs.get("alpha", 1)
    if kwargs.get("rounding_mode"):
        raise builder.unsupported("division that rounds", "division without rounding_mode")
    is_map = [isinstance(v, torch.Tensor) and v in builder for v in (one, other)]
    if all(is_map):
        if name not in ("add", "mul") or alpha != 1:
            raise builder.unsupported(f"{name} of two feature maps", "their sum or product")
        numbers = [builder.number_of(one), builder.number_of(other)]
        if builder.shape_of(numbers[0])[1:] == (1, 1):
            numbers.reverse()
        first, second = (builder.shape_of(number) for number in numbers)
        if second not in (first, (first[0], 1, 1)) or first != map_shape(out):
            raise builder.unsupported(
                f"{name} of feature maps {format_shape(first)} and {format_shape(second)}",
                "feature maps of equal shape, or C 1 1 and C H W",
            )
        layer = Sum if name == "add" else Product
        builder.add_layer(out, layer(builder.name, (numbers[0], numbers[1]), first))
        return
    x, constant = (one, other) if is_map[0] else (other, one)
    number = builder.number_of(x)
    values = _channel_constant(builder, constant, number, name)
    plus, times = torch.zeros(()), torch.ones(())
    if name == "mul":
        times = values
    elif name == "div" and is_map[0]:
        times = 1 / values
    elif name == "add":
        plus, times = (alpha * values, times) if is_map[0] else (values, alpha * times)
    elif name == "sub":
        plus, times = (-alpha * values, times) if is_map[0] else (values, -alpha * times)
    elif name == "rsub":
        plus, times = values, -alpha * times
    else:
        raise builder.unsupported("a number divided by a feature map", SUPPORTED)
    builder.add_scale(number, out, times, plus)


def _channel_constant(builder: GraphBuilder, constant: Any, number: int, name: str) -> torch.Tensor:
    values = torch.as_tensor(constant).detach().double()
    channels, h, w = builder.shape_of(number)
    aligned = values
    if values.dim() <= 4:
        aligned = values.reshape((1,) * (4 - values.dim()) + tuple(values.shape))
    vector = values.dim() in (1, 2) and (h, w) == (1, 1) and values.numel() in (1, channels)
    if values.numel() != 1 and not vector and tuple(aligned.shape) != (1, channels, 1, 1):
        raise builder.unsupported(
            f"{name} with a constant for each position", "a constant for each channel"
        )
    return values.reshape(-1) if values.numel() != 1 else values.reshape(())


def _add_concatenation(
    builder: GraphBuilder, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor
) -> None:
    parts = args[0]
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    if dim != 1 or any(part not in builder for part in parts):
        raise builder.unsupported(
            "concatenation along anything but channels", "torch.cat(feature_maps, 1)"
        )
    numbers = tuple(builder.number_of(part) for part in parts)
    shapes = [builder.shape_of(number) for number in numbers]
    if len({shape[1:] for shape in shapes}) != 1:
        raise builder.unsupported(
            "concatenation of flattened feature maps", "torch.cat before flattening"
        )
    builder.add_layer(
        out,
        Concatenation(builder.name, numbers, (sum(shape[0] for shape in shapes), *shapes[0][1:])),
    )
