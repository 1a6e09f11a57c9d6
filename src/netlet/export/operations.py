"""What each operation that PyTorch dispatches becomes in a graph, or why it cannot be exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from netlet.export.graph import (
    FREE,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    Ending,
    Pooling,
    Product,
    Shape,
    Sum,
)
from netlet.export.notes import BATCH, Notes, chw, floats
from netlet.export.refusals import INSTEAD, WOULD_WORK

# Operations that give what they are given, image by image.
_SAME = frozenset(["alias", "clone", "contiguous", "detach", "lift_fresh", "to", "_to_copy"])
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
KEEPING = _SAME | _VIEWS
_ENDINGS: dict[str, Ending] = {"_log_softmax": "log_softmax", "_softmax": "softmax"}
_FUNCTIONS = {
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
# Of a map only the shape is read.
_CONSTANT = frozenset(
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


def take(notes: Notes, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Write down an operation that reads a map.

    Args:
        notes: So far.
        name: Its ATen name, without overload and trailing underscore.
        args: As it was called, defaults left out.
        kwargs: Likewise.
        out: Its first output.

    Raises:
        ShipError: No export knows it; names the layer and what would work.
    """
    if name in _CONSTANT:
        return
    notes.operation = name.strip("_").removesuffix("_with_indices")
    if not isinstance(out, torch.Tensor) or name in INSTEAD:
        raise notes.refused(*INSTEAD.get(name, (name, WOULD_WORK)))
    x = args[0]
    if name in _SAME:
        around = notes.padded.get(id(x))
        notes.know(out, notes.map(x, padded=True))
        if around:
            notes.padded[id(out)] = around
    elif name in _VIEWS:
        _view(notes, name, x, out)
    elif name == "constant_pad_nd":
        _pad(notes, x, args[1], args[2] if len(args) > 2 else 0, out)
    elif name == "convolution":
        _convolve(notes, args, out)
    elif name in ("addmm", "mm"):
        _dense(notes, name, args, kwargs, out)
    elif "batch_norm" in name:
        _normalise(notes, args, out)
    elif name in ("max_pool2d_with_indices", "max_pool2d", "avg_pool2d"):
        _pool(notes, name, args, out)
    elif name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d"):
        _pool_evenly(notes, "max" if "max" in name else "mean", x, out)
    elif name in ("mean", "amax"):
        _pool_whole(notes, "max" if name == "amax" else "mean", x, args, out)
    elif name in ("add", "sub", "rsub", "mul", "div"):
        _combine(notes, name, args, kwargs, out)
    elif name == "cat":
        _concatenate(notes, args, kwargs, out)
    elif name in _CLAMPS:
        _activate(notes, x, out, "clamp", bounds=_bounds(name, args, kwargs))
    elif name in _FUNCTIONS:
        _function(notes, name, args, kwargs, out)
    elif name in ("prelu", "_prelu_kernel"):
        _prelu(notes, args, out)
    elif name in _ENDINGS:
        if args[1] % x.dim() != 1 or x.dim() != 2:
            raise notes.refused("softmax over anything but the classes", "dim=1 of N K would")
        notes.know(out, notes.map(x))
        notes.endings[id(out)] = _ENDINGS[name]
    else:
        raise notes.refused(name, WOULD_WORK)


# --- what each operation becomes
# ------------------------------------------------------------------------------


def _view(notes: Notes, name: str, x: torch.Tensor, out: torch.Tensor) -> None:
    number = notes.map(x)
    c, h, w = notes.shape_of(number)
    allowed = {(c, h, w), (c * h * w,), (c * h * w, 1, 1)}
    squeezed = tuple(n for n in out.shape[1:] if n != 1) == tuple(n for n in (c, h, w) if n != 1)
    if (
        name == "expand"
        or out.shape[:1] != (BATCH,)
        or not (squeezed or tuple(out.shape[1:]) in allowed)
    ):
        was, now = ("x".join(map(str, shape)) for shape in ((c, h, w), out.shape[1:]))
        raise notes.refused(f"{name} from {was} to {now}", "flattening a whole map would")
    ending = notes.endings.get(id(x))
    notes.know(out, number)
    if ending:
        notes.endings[id(out)] = ending


def _pad(
    notes: Notes, x: torch.Tensor, pad: Sequence[int], value: float, out: torch.Tensor
) -> None:
    left, right, top, bottom = (*pad, 0, 0, 0, 0)[:4]
    if value != 0 or min(pad) < 0 or any(pad[4:]) or x.dim() != 4:
        raise notes.refused(
            "padding with anything but rows and columns of zeros", "F.pad(x, (1, 1, 1, 1)) would"
        )
    before = notes.padded.get(id(x), (0, 0, 0, 0))
    notes.know(out, notes.map(x, padded=True))
    notes.padded[id(out)] = (
        top + before[0],
        left + before[1],
        bottom + before[2],
        right + before[3],
    )


def _convolve(notes: Notes, args: tuple[Any, ...], out: torch.Tensor) -> None:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    if transposed or out.dim() != 4:
        raise notes.refused("a transposed or one-dimensional convolution", "nn.Conv2d would")
    number = notes.map(x, padded=True)
    notes.same_shape(x, number)
    before = notes.padded.get(id(x), (0, 0, 0, 0))
    around = (padding[0], padding[1], padding[0], padding[1])
    notes.add(
        out,
        Convolution(
            notes.name,
            (number,),
            chw(out),
            floats(weight),
            floats(bias) if bias is not None else np.zeros(len(weight)),
            (stride[0], stride[1]),
            tuple(a + b for a, b in zip(around, before, strict=True)),
            (dilation[0], dilation[1]),
            groups,
        ),
    )


def _dense(
    notes: Notes, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor
) -> None:
    bias, x, weight = args if name == "addmm" else (None, *args)
    if x not in notes or weight in notes or any(v != 1 for v in kwargs.values()):
        raise notes.refused("a product of maps", WOULD_WORK)
    number = notes.map(x)
    c, h, w = notes.shape_of(number)
    given = floats(weight.t()).reshape(-1, c, h, w)
    biases = floats(bias.expand(out.shape[1])) if bias is not None else np.zeros(len(given))
    notes.add(out, Convolution(notes.name, (number,), (len(given), 1, 1), given, biases))


def _normalise(notes: Notes, args: tuple[Any, ...], out: torch.Tensor) -> None:
    x, weight, bias, mean, var, *rest = args
    if not isinstance(mean, torch.Tensor) or any(value is True for value in rest):
        raise notes.refused(
            "batch norm by each batch's own statistics", "one with running statistics would"
        )
    notes.same_shape(x, notes.map(x))
    eps = rest[-1] if isinstance(rest[-1], float) else rest[-2]
    scale = (weight.double() if weight is not None else 1) / (var.double() + eps).sqrt()
    shift = (bias.double() if bias is not None else 0) - mean.double() * scale
    notes.scale(notes.map(x), out, scale, shift)


def _pool(notes: Notes, name: str, args: tuple[Any, ...], out: torch.Tensor) -> None:
    x, window, *rest = args
    names = (
        ("stride", "padding", "dilation", "ceil")
        if "max" in name
        else ("stride", "padding", "ceil", "counts", "divisor")
    )
    told = dict(zip(names, rest, strict=False))
    window = _two(window)
    stride, padding = _two(told.get("stride") or window), _two(told.get("padding", 0))
    if _two(told.get("dilation", 1)) != (1, 1):
        raise notes.refused("dilated pooling", "pooling without dilation would")
    if told.get("divisor") not in (None, window[0] * window[1]):
        raise notes.refused("a divisor of its own", "mean pooling without divisor_override would")
    counts = bool(told.get("counts", True)) and "avg" in name and padding != (0, 0)
    number = notes.map(x)
    notes.same_shape(x, number)
    shape = chw(out)
    size = notes.shape_of(number)[1:]
    # With ceil_mode the last windows hang over: as if there were more padding below and to the
    # right.
    over = [(shape[1 + i] - 1) * stride[i] + window[i] - size[i] - padding[i] for i in (0, 1)]
    if counts and any(over[i] > padding[i] for i in (0, 1)):
        raise notes.refused(
            "mean pooling with padding and ceil_mode", "count_include_pad=False would"
        )
    around = (*padding, max(padding[0], over[0]), max(padding[1], over[1]))
    how = "max" if "max" in name else "mean"
    notes.add(out, Pooling(notes.name, (number,), shape, how, window, stride, around, counts))  # type: ignore[arg-type]


def _pool_evenly(notes: Notes, how: str, x: torch.Tensor, out: torch.Tensor) -> None:
    number = notes.map(x)
    notes.same_shape(x, number)
    _, h, w = notes.shape_of(number)
    c, to_h, to_w = chw(out)
    if h % to_h or w % to_w:
        raise notes.refused(
            f"adaptive pooling from {h}x{w} to {to_h}x{to_w}, by windows of several sizes",
            "an output that divides it would",
        )
    window = (h // to_h, w // to_w)
    notes.add(out, Pooling(notes.name, (number,), (c, to_h, to_w), how, window, window))  # type: ignore[arg-type]


def _pool_whole(
    notes: Notes, how: str, x: torch.Tensor, args: tuple[Any, ...], out: torch.Tensor
) -> None:
    number = notes.map(x)
    notes.same_shape(x, number)
    dims = {dim % x.dim() for dim in (args[1] if len(args) > 1 and args[1] else range(x.dim()))}
    c, h, w = notes.shape_of(number)
    if x.dim() != 4 or dims != {2, 3}:
        raise notes.refused(f"{how} over anything but rows and columns", "x.mean((2, 3)) would")
    notes.add(out, Pooling(notes.name, (number,), (c, 1, 1), how, (h, w), (h, w)))  # type: ignore[arg-type]


def _combine(
    notes: Notes, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor
) -> None:
    one, other = args[:2]
    alpha = kwargs.get("alpha", 1)
    if kwargs.get("rounding_mode"):
        raise notes.refused("division that rounds", "plain division would")
    known = [isinstance(v, torch.Tensor) and v in notes for v in (one, other)]
    if all(known):
        if name not in ("add", "mul") or alpha != 1:
            raise notes.refused(f"{name} of two maps", "adding or multiplying them would")
        numbers = [notes.map(one), notes.map(other)]
        if notes.shape_of(numbers[0])[1:] == (1, 1):
            numbers.reverse()
        first, second = (notes.shape_of(number) for number in numbers)
        if second not in (first, (first[0], 1, 1)) or first != chw(out):
            raise notes.refused(
                f"{name} of maps {_x(first)} and {_x(second)}",
                "maps of one shape, or C 1 1 beside C H W, would",
            )
        layer = Sum if name == "add" else Product
        notes.add(out, layer(notes.name, (numbers[0], numbers[1]), first))
        return
    x, constant = (one, other) if known[0] else (other, one)
    number = notes.map(x)
    values = _by_channel(notes, constant, number, name)
    plus, times = torch.zeros(()), torch.ones(())
    if name == "mul":
        times = values
    elif name == "div" and known[0]:
        times = 1 / values
    elif name == "add":
        plus, times = (alpha * values, times) if known[0] else (values, alpha * times)
    elif name == "sub":
        plus, times = (-alpha * values, times) if known[0] else (values, -alpha * times)
    elif name == "rsub":
        plus, times = values, -alpha * times
    else:
        raise notes.refused("a number divided by a map", WOULD_WORK)
    notes.scale(number, out, times, plus)


def _by_channel(notes: Notes, constant: Any, number: int, name: str) -> torch.Tensor:
    values = torch.as_tensor(constant).detach().double()
    channels, h, w = notes.shape_of(number)
    aligned = (
        values.reshape((1,) * (4 - values.dim()) + tuple(values.shape))
        if values.dim() <= 4
        else values
    )
    vector = values.dim() in (1, 2) and (h, w) == (1, 1) and values.numel() in (1, channels)
    if values.numel() != 1 and not vector and tuple(aligned.shape) != (1, channels, 1, 1):
        raise notes.refused(f"{name} with a constant for each place", "one for each channel would")
    return values.reshape(-1) if values.numel() != 1 else values.reshape(())


def _concatenate(
    notes: Notes, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor
) -> None:
    parts = args[0]
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    if dim != 1 or any(part not in notes for part in parts):
        raise notes.refused("concatenation along anything but channels", "torch.cat(maps, 1) would")
    numbers = tuple(notes.map(part) for part in parts)
    shapes = [notes.shape_of(number) for number in numbers]
    if len({shape[1:] for shape in shapes}) != 1:
        raise notes.refused("concatenation of flattened maps", "torch.cat before flattening would")
    notes.add(
        out, Concatenation(notes.name, numbers, (sum(shape[0] for shape in shapes), *shapes[0][1:]))
    )


def _function(
    notes: Notes, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor
) -> None:
    function, parameter = _FUNCTIONS[name], 0.0
    if name == "leaky_relu":
        parameter = float(args[1]) if len(args) > 1 else 0.01
    elif name == "elu":
        parameter = float(args[1]) if len(args) > 1 else 1.0
        if any(float(scale) != 1 for scale in args[2:4]):
            raise notes.refused("SELU or a scaled ELU", "nn.ELU would")
    elif name == "gelu" and kwargs.get("approximate", "none") == "tanh":
        function = "gelu_tanh"
    _activate(notes, args[0], out, function, parameter)


def _prelu(notes: Notes, args: tuple[Any, ...], out: torch.Tensor) -> None:
    slopes = args[1].detach().reshape(-1)
    if not bool((slopes == slopes[0]).all()):
        raise notes.refused(
            "PReLU with a slope for each channel", "nn.PReLU() with one slope, or LeakyReLU, would"
        )
    _activate(notes, args[0], out, "leaky_relu", float(slopes[0]))


def _activate(
    notes: Notes,
    x: torch.Tensor,
    out: torch.Tensor,
    function: str,
    parameter: float = 0.0,
    bounds: Clamp = FREE,
) -> None:
    number = notes.map(x)
    shape = notes.shape_of(number)
    notes.add(out, Activation(notes.name, (number,), shape, function, parameter, bounds))  # type: ignore[arg-type]


def _bounds(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Clamp:
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


def _two(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])


def _x(shape: Shape) -> str:
    return "x".join(map(str, shape))
