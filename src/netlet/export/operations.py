"""Turn each ATen operation of a traced run into a layer, or say why it cannot be exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from netlet.export.graph import (
    UNBOUNDED,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    FinalSoftmax,
    FunctionName,
    Pooling,
    Product,
    Sum,
)
from netlet.export.graph_builder import BATCH, GraphBuilder, map_shape, to_float64
from netlet.export.unsupported import ALTERNATIVES, SUPPORTED
from netlet.text import format_shape

_Mode = Literal["max", "mean"]
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
_ACTIVATIONS: dict[str, FunctionName] = {
    "elu": "elu",
    "gelu": "gelu",
    "hardsigmoid": "hardsigmoid",
    "hardswish": "hardswish",
    "leaky_relu": "leaky_relu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "tanh": "tanh",
}
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
        _add_pooling(builder, name, args, out)
    elif name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d"):
        _add_adaptive_pooling(builder, "max" if "max" in name else "mean", x, out)
    elif name in ("mean", "amax"):
        _add_global_pooling(builder, "max" if name == "amax" else "mean", x, args, out)
    elif name in ("add", "sub", "rsub", "mul", "div"):
        _add_arithmetic(builder, name, args, kwargs, out)
    elif name == "cat":
        _add_concatenation(builder, args, kwargs, out)
    elif name in _CLAMPS:
        _append_activation(builder, x, out, "clamp", bounds=_clamp_bounds(name, args, kwargs))
    elif name in _ACTIVATIONS:
        _add_activation(builder, name, args, kwargs, out)
    elif name in ("prelu", "_prelu_kernel"):
        _add_prelu(builder, args, out)
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


def _add_pooling(
    builder: GraphBuilder, name: str, args: tuple[Any, ...], out: torch.Tensor
) -> None:
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
    mode: _Mode = "max" if "max" in name else "mean"
    builder.add_layer(
        out, Pooling(builder.name, (number,), shape, mode, window, stride, around, counts)
    )


def _add_adaptive_pooling(
    builder: GraphBuilder, mode: _Mode, x: torch.Tensor, out: torch.Tensor
) -> None:
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


def _add_global_pooling(
    builder: GraphBuilder, mode: _Mode, x: torch.Tensor, args: tuple[Any, ...], out: torch.Tensor
) -> None:
    number = builder.number_of(x)
    builder.check_not_reshaped(x, number)
    dims = {dim % x.dim() for dim in (args[1] if len(args) > 1 and args[1] else range(x.dim()))}
    c, h, w = builder.shape_of(number)
    if x.dim() != 4 or dims != {2, 3}:
        raise builder.unsupported(f"{mode} over anything but rows and columns", "x.mean((2, 3))")
    builder.add_layer(out, Pooling(builder.name, (number,), (c, 1, 1), mode, (h, w), (h, w)))


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


def _add_activation(
    builder: GraphBuilder,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: torch.Tensor,
) -> None:
    function, parameter = _ACTIVATIONS[name], 0.0
    if name == "leaky_relu":
        parameter = float(args[1]) if len(args) > 1 else 0.01
    elif name == "elu":
        parameter = float(args[1]) if len(args) > 1 else 1.0
        if any(float(scale) != 1 for scale in args[2:4]):
            raise builder.unsupported("SELU or a scaled ELU", "nn.ELU")
    elif name == "gelu" and kwargs.get("approximate", "none") == "tanh":
        function = "gelu_tanh"
    _append_activation(builder, args[0], out, function, parameter)


def _add_prelu(builder: GraphBuilder, args: tuple[Any, ...], out: torch.Tensor) -> None:
    slopes = args[1].detach().reshape(-1)
    if not bool((slopes == slopes[0]).all()):
        raise builder.unsupported(
            "PReLU with a slope for each channel", "nn.PReLU() with one slope, or LeakyReLU"
        )
    _append_activation(builder, args[0], out, "leaky_relu", float(slopes[0]))


def _append_activation(
    builder: GraphBuilder,
    x: torch.Tensor,
    out: torch.Tensor,
    function: FunctionName,
    parameter: float = 0.0,
    bounds: Clamp = UNBOUNDED,
) -> None:
    number = builder.number_of(x)
    shape = builder.shape_of(number)
    builder.add_layer(out, Activation(builder.name, (number,), shape, function, parameter, bounds))


def _clamp_bounds(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Clamp:
    inf = float("inf")
    if name == "relu":
        return 0.0, inf
    if name == "relu6":
        return 0.0, 6.0
    if name == "hardtanh":
        low, high = (
            (*args[1:3], -1.0, 1.0)[:2]
            if len(args) > 2
            else (args[1] if len(args) > 1 else -1.0, 1.0)
        )
        return float(low), float(high)
    low = args[1] if len(args) > 1 and name != "clamp_max" else kwargs.get("min")
    high = (
        args[1]
        if len(args) > 1 and name == "clamp_max"
        else args[2]
        if len(args) > 2
        else kwargs.get("max")
    )
    return (-inf if low is None else float(low)), (inf if high is None else float(high))


def _to_pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])
