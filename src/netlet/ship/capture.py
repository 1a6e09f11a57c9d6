"""From a net to its graph: the net runs once, and each operation that PyTorch dispatches becomes a layer or is refused.

What the net does in Python (branches, loops, functions, shared layers) is seen as it is. A net that chooses a path by
the values of an image cannot be told apart by one run from one that does not, unless it reads them back: that is
refused here, and every export is held against the net on many images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.errors import NetError, ShipError
from netlet.nets.modes import evaluating
from netlet.nets.outputs import logits_of
from netlet.ship.graph import (
    FREE,
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    Ending,
    Floats,
    Graph,
    Layer,
    Padding,
    Pooling,
    Product,
    Shape,
    Sum,
    window_shape,
)

_BATCH = 2  # some nets squeeze away a batch of one
# Operations that give what they are given, image by image.
_SAME = frozenset(["alias", "clone", "contiguous", "detach", "lift_fresh", "to", "_to_copy"])
_VIEWS = frozenset(["view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "flatten", "expand"])
_ENDINGS: dict[str, Ending] = {"_log_softmax": "log_softmax", "_softmax": "softmax"}
_FUNCTIONS = {
    "elu": "elu", "gelu": "gelu", "hardsigmoid": "hardsigmoid", "hardswish": "hardswish", "leaky_relu": "leaky_relu",
    "sigmoid": "sigmoid", "silu": "silu", "tanh": "tanh",
}  # fmt: skip
_CLAMPS = frozenset(["clamp", "clamp_max", "clamp_min", "hardtanh", "relu", "relu6"])
_STEADY = "nn.BatchNorm2d, which is folded away, would"
# What people use that is not exported, and what would work in its place.
_INSTEAD = {
    "native_group_norm": ("GroupNorm or InstanceNorm", _STEADY),
    "native_layer_norm": ("LayerNorm", _STEADY),
    "bernoulli": ("dropout that acts in evaluation too", "F.dropout(x, training=self.training) would"),
    "native_dropout": ("dropout that acts in evaluation too", "F.dropout(x, training=self.training) would"),
    "_local_scalar_dense": ("reading a value back", "a net that does the same to every image would"),
    "permute": ("permute", "maps in PyTorch's order, C H W, would"),
    "transpose": ("transpose", "maps in PyTorch's order, C H W, would"),
    "slice": ("slicing", "a convolution with fewer channels would"),
    "split": ("split", "a convolution of each part's own would"),
    "split_with_sizes": ("split", "a convolution of each part's own would"),
    "bmm": ("a product of maps (attention)", "convolutions, or multiplying element by element, would"),
    "upsample_nearest2d": ("upsampling", "a net that only shrinks its maps would"),
    "upsample_bilinear2d": ("upsampling", "a net that only shrinks its maps would"),
    "pixel_shuffle": ("pixel_shuffle", "a strided convolution would"),
}
_WOULD_WORK = (
    "convolutions, dense layers, batch norm, max and mean pooling, sums, products, concatenation and the usual "
    "activations would"
)


def capture(net: nn.Module, shape: Sequence[int], mean: float, std: float) -> Graph:
    """What a net does to an image of grey levels 0 to 255, its normalisation included, up to the logits.

    A softmax or log-softmax at the end is left out: logits differ from log-probabilities by one number for each image.

    Args:
        net: Any module; it is run in evaluation mode, on the CPU, and left as it was.
        shape: Of one image, ``C H W``.
        mean: Of the grey levels 0..1 that the net was taught on, subtracted first.
        std: Likewise; then divided by.

    Raises:
        ShipError: It does something that no export knows; names the layer, the operation and what would work.
        NetError: It does not run on such an image.
    """
    recorder = _Recorder(net, tuple(shape), mean, std)
    image = torch.zeros(_BATCH, *shape)
    recorder.begin(image)
    with evaluating(net), torch.no_grad(), ExitStack() as hooks:
        for path, module in net.named_modules():
            hooks.callback(module.register_forward_pre_hook(recorder.entering(path)).remove)
            hooks.callback(module.register_forward_hook(recorder.left).remove)
        try:
            with recorder:
                out = net(image)
        except ShipError:
            raise
        except Exception as error:
            raise NetError(
                f"{type(net).__name__}: does not run on an image {'x'.join(map(str, shape))} ({error})"
            ) from error
        return recorder.ended(logits_of(out))


class _Recorder(TorchDispatchMode):
    """Writes down what is done to tensors that depend on the image."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...], mean: float, std: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if len(shape) != 3:
            raise ShipError(f"images of shape {'x'.join(map(str, shape))}: an export takes C H W")
        self._net = type(net).__name__
        self._shape: Shape = (shape[0], shape[1], shape[2])
        self._layers: list[Layer] = []
        self._numbers: dict[int, int] = {}  # id of a tensor -> the map it holds
        self._alive: list[torch.Tensor] = []  # so that no id is used twice
        self._padded: dict[int, Padding] = {}  # zeros that a map is still to be given
        self._ending: int | None = None  # the map that a softmax gave
        self._ended_by: Ending = ""
        self._paths: list[str] = [""]
        self._normalisation = (mean, std)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Asked by torch; yes would import its compiler, a second's work, to tell it of a mode that it never meets.
        return False

    def begin(self, image: torch.Tensor) -> None:
        """The net will be given this tensor."""
        mean, std = self._normalisation
        self._know(image, 0)
        self._scale(0, image, 1 / (255 * std), -mean / std, name="input")

    def entering(self, path: str) -> Callable[..., None]:
        """A hook for the module of that path."""
        return lambda *_: self._paths.append(path)

    def left(self, *_: object) -> None:
        """A hook: the module last entered has returned."""
        self._paths.pop()

    def ended(self, out: torch.Tensor) -> Graph:
        """The graph, given what the net gave.

        Raises:
            ShipError: That is no vector of logits, or not what the recorded layers gave last.
        """
        number = self._numbers.get(id(out))
        if number is None and self._alive and out.dim() == 2:
            # logits_of may have flattened K 1 1 outside of the run.
            number = next((self._numbers[id(t)] for t in self._alive if t.data_ptr() == out.data_ptr()), None)
        if number is None or out.dim() != 2 or len(out) != _BATCH:
            raise ShipError(
                f"{self._net}: gives {'x'.join(map(str, out.shape))}, not logits N K that come from the image"
            )
        if self._layers[number - 1].shape != (out.shape[1], 1, 1):
            raise ShipError(f"{self._net}: ends in a map, not in K numbers for an image; flatten a 1x1 map at its end")
        return Graph(self._shape, tuple(self._layers[:number]), self._ended_by if self._ending == number else "")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and write it down."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__.rstrip("_")
        read = [self._numbers[id(a)] for a in _tensors((args, kwargs)) if id(a) in self._numbers]
        if read and self._ending in read and name not in _SAME | _VIEWS:
            raise self._refused("softmax before the net's end", "logits, with the softmax last or in the loss, would")
        out = func(*args, **kwargs)
        if read:
            self._take(name, args, kwargs, out[0] if isinstance(out, tuple | list) else out)
        return out

    def _take(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        if not isinstance(out, torch.Tensor) or name in _INSTEAD:
            raise self._refused(*_INSTEAD.get(name, (name, _WOULD_WORK)))
        x = args[0]
        if name in _SAME:
            self._know(out, self._map(x, padded=True))
            self._padded.update({id(out): self._padded[id(x)]} if id(x) in self._padded else {})
        elif name in _VIEWS:
            self._view(name, x, out)
        elif name == "constant_pad_nd":
            self._pad(x, args[1], args[2] if len(args) > 2 else 0, out)
        elif name == "convolution":
            self._convolve(args, out)
        elif name in ("addmm", "mm"):
            self._dense(name, args, kwargs, out)
        elif "batch_norm" in name:
            self._normalise(args, out)
        elif name in ("max_pool2d_with_indices", "max_pool2d", "avg_pool2d"):
            self._pool(name, args, out)
        elif name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d"):
            self._pool_evenly("max" if "max" in name else "mean", x, out)
        elif name in ("mean", "amax"):
            self._pool_whole("max" if name == "amax" else "mean", x, args, out)
        elif name in ("add", "sub", "rsub", "mul", "div"):
            self._combine(name, args, kwargs, out)
        elif name == "cat":
            self._concatenate(args, kwargs, out)
        elif name in _CLAMPS:
            self._activate(x, out, "clamp", bounds=_bounds(name, args, kwargs))
        elif name in _FUNCTIONS:
            self._function(name, args, kwargs, out)
        elif name in ("prelu", "_prelu_kernel"):
            self._prelu(args, out)
        elif name in _ENDINGS:
            self._ending, self._ended_by = self._map(x), _ENDINGS[name]
            self._know(out, self._ending)
        else:
            raise self._refused(name, _WOULD_WORK)

    # --- what each operation becomes ------------------------------------------------------------------------------

    def _view(self, name: str, x: torch.Tensor, out: torch.Tensor) -> None:
        number = self._map(x)
        c, h, w = self._shape_of(number)
        allowed = {(c, h, w), (c * h * w,), (c * h * w, 1, 1)}
        squeezed = tuple(n for n in out.shape[1:] if n != 1) == tuple(n for n in (c, h, w) if n != 1)
        if name == "expand" or out.shape[:1] != (_BATCH,) or not (squeezed or tuple(out.shape[1:]) in allowed):
            was, now = ("x".join(map(str, shape)) for shape in ((c, h, w), out.shape[1:]))
            raise self._refused(f"{name} from {was} to {now}", "flattening a whole map would")
        self._know(out, number)

    def _pad(self, x: torch.Tensor, pad: Sequence[int], value: float, out: torch.Tensor) -> None:
        left, right, top, bottom = (*pad, 0, 0, 0, 0)[:4]
        if value != 0 or min(pad) < 0 or any(pad[4:]) or x.dim() != 4:
            raise self._refused("padding with anything but rows and columns of zeros", "F.pad(x, (1, 1, 1, 1)) would")
        before = self._padded.get(id(x), (0, 0, 0, 0))
        self._know(out, self._map(x, padded=True))
        self._padded[id(out)] = (top + before[0], left + before[1], bottom + before[2], right + before[3])

    def _convolve(self, args: tuple[Any, ...], out: torch.Tensor) -> None:
        x, weight, bias, stride, padding, dilation, transposed, _, groups = args
        if transposed or out.dim() != 4:
            raise self._refused("a transposed or one-dimensional convolution", "nn.Conv2d would")
        number = self._map(x, padded=True)
        self._same_shape(x, number)
        before = self._padded.get(id(x), (0, 0, 0, 0))
        around = (padding[0], padding[1], padding[0], padding[1])
        self._add(
            out,
            Convolution(
                self._name, (number,), _chw(out), _floats(weight),
                _floats(bias) if bias is not None else np.zeros(len(weight)),
                (stride[0], stride[1]), tuple(a + b for a, b in zip(around, before, strict=True)),
                (dilation[0], dilation[1]), groups,
            ),
        )  # fmt: skip

    def _dense(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor) -> None:
        bias, x, weight = args if name == "addmm" else (None, *args)
        if id(x) not in self._numbers or id(weight) in self._numbers or any(v != 1 for v in kwargs.values()):
            raise self._refused("a product of maps", _WOULD_WORK)
        number = self._map(x)
        c, h, w = self._shape_of(number)
        given = _floats(weight.t()).reshape(-1, c, h, w)
        biases = _floats(bias.expand(out.shape[1])) if bias is not None else np.zeros(len(given))
        self._add(out, Convolution(self._name, (number,), (len(given), 1, 1), given, biases))

    def _normalise(self, args: tuple[Any, ...], out: torch.Tensor) -> None:
        x, weight, bias, mean, var, *rest = args
        if not isinstance(mean, torch.Tensor) or any(value is True for value in rest):
            raise self._refused("batch norm by each batch's own statistics", "one with running statistics would")
        self._same_shape(x, self._map(x))
        eps = rest[-1] if isinstance(rest[-1], float) else rest[-2]
        scale = (weight.double() if weight is not None else 1) / (var.double() + eps).sqrt()
        shift = (bias.double() if bias is not None else 0) - mean.double() * scale
        self._scale(self._map(x), out, scale, shift)

    def _pool(self, name: str, args: tuple[Any, ...], out: torch.Tensor) -> None:
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
            raise self._refused("dilated pooling", "pooling without dilation would")
        if told.get("divisor") not in (None, window[0] * window[1]):
            raise self._refused("a divisor of its own", "mean pooling without divisor_override would")
        counts = bool(told.get("counts", True)) and "avg" in name and padding != (0, 0)
        number = self._map(x)
        shape = _chw(out)
        size = self._shape_of(number)[1:]
        # With ceil_mode the last windows hang over: as if there were more padding below and to the right.
        over = [(shape[1 + i] - 1) * stride[i] + window[i] - size[i] - padding[i] for i in (0, 1)]
        if counts and any(over[i] > padding[i] for i in (0, 1)):
            raise self._refused("mean pooling with padding and ceil_mode", "count_include_pad=False would")
        around = (*padding, max(padding[0], over[0]), max(padding[1], over[1]))
        how = "max" if "max" in name else "mean"
        self._add(out, Pooling(self._name, (number,), shape, how, window, stride, around, counts))  # type: ignore[arg-type]

    def _pool_evenly(self, how: str, x: torch.Tensor, out: torch.Tensor) -> None:
        number = self._map(x)
        _, h, w = self._shape_of(number)
        c, to_h, to_w = _chw(out)
        if h % to_h or w % to_w:
            raise self._refused(
                f"adaptive pooling from {h}x{w} to {to_h}x{to_w}, by windows of several sizes",
                "an output that divides it would",
            )
        window = (h // to_h, w // to_w)
        self._add(out, Pooling(self._name, (number,), (c, to_h, to_w), how, window, window))  # type: ignore[arg-type]

    def _pool_whole(self, how: str, x: torch.Tensor, args: tuple[Any, ...], out: torch.Tensor) -> None:
        number = self._map(x)
        dims = {dim % x.dim() for dim in (args[1] if len(args) > 1 and args[1] else range(x.dim()))}
        c, h, w = self._shape_of(number)
        if x.dim() != 4 or dims != {2, 3}:
            raise self._refused(f"{how} over anything but rows and columns", "x.mean((2, 3)) would")
        self._add(out, Pooling(self._name, (number,), (c, 1, 1), how, (h, w), (h, w)))  # type: ignore[arg-type]

    def _combine(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor) -> None:
        one, other = args[:2]
        alpha = kwargs.get("alpha", 1)
        known = [isinstance(v, torch.Tensor) and id(v) in self._numbers for v in (one, other)]
        if all(known):
            if name not in ("add", "mul") or alpha != 1:
                raise self._refused(f"{name} of two maps", "adding or multiplying them would")
            numbers = [self._map(one), self._map(other)]
            if self._shape_of(numbers[0])[1:] == (1, 1):
                numbers.reverse()
            first, second = map(self._shape_of, numbers)
            if second not in (first, (first[0], 1, 1)) or first != _chw(out):
                raise self._refused(
                    f"{name} of maps {_x(first)} and {_x(second)}", "maps of one shape, or C 1 1 beside C H W, would"
                )
            layer = Sum if name == "add" else Product
            self._add(out, layer(self._name, (numbers[0], numbers[1]), first))
            return
        x, constant = (one, other) if known[0] else (other, one)
        number = self._map(x)
        values = self._by_channel(constant, number, name)
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
            raise self._refused("a number divided by a map", _WOULD_WORK)
        self._scale(number, out, times, plus)

    def _by_channel(self, constant: Any, number: int, name: str) -> torch.Tensor:
        values = torch.as_tensor(constant).detach().double()
        channels, h, w = self._shape_of(number)
        aligned = values.reshape((1,) * (4 - values.dim()) + tuple(values.shape)) if values.dim() <= 4 else values
        vector = values.dim() in (1, 2) and (h, w) == (1, 1) and values.numel() in (1, channels)
        if values.numel() != 1 and not vector and tuple(aligned.shape) != (1, channels, 1, 1):
            raise self._refused(f"{name} with a constant for each place", "one for each channel would")
        return values.reshape(-1) if values.numel() != 1 else values.reshape(())

    def _concatenate(self, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor) -> None:
        parts = args[0]
        dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
        if dim != 1 or any(id(part) not in self._numbers for part in parts):
            raise self._refused("concatenation along anything but channels", "torch.cat(maps, 1) would")
        numbers = tuple(self._map(part) for part in parts)
        shapes = [self._shape_of(number) for number in numbers]
        if len({shape[1:] for shape in shapes}) != 1:
            raise self._refused("concatenation of flattened maps", "torch.cat before flattening would")
        self._add(out, Concatenation(self._name, numbers, (sum(shape[0] for shape in shapes), *shapes[0][1:])))

    def _function(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: torch.Tensor) -> None:
        function, parameter = _FUNCTIONS[name], 0.0
        if name == "leaky_relu":
            parameter = float(args[1]) if len(args) > 1 else 0.01
        elif name == "elu":
            parameter = float(args[1]) if len(args) > 1 else 1.0
            if any(float(scale) != 1 for scale in args[2:4]):
                raise self._refused("SELU or a scaled ELU", "nn.ELU would")
        elif name == "gelu" and kwargs.get("approximate", "none") == "tanh":
            function = "gelu_tanh"
        self._activate(args[0], out, function, parameter)

    def _prelu(self, args: tuple[Any, ...], out: torch.Tensor) -> None:
        slopes = args[1].detach().reshape(-1)
        if not bool((slopes == slopes[0]).all()):
            raise self._refused("PReLU with a slope for each channel", "nn.PReLU() with one slope, or LeakyReLU, would")
        self._activate(args[0], out, "leaky_relu", float(slopes[0]))

    def _activate(
        self, x: torch.Tensor, out: torch.Tensor, function: str, parameter: float = 0.0, bounds: Clamp = FREE
    ) -> None:
        number = self._map(x)
        shape = self._shape_of(number)
        self._add(out, Activation(self._name, (number,), shape, function, parameter, bounds))  # type: ignore[arg-type]

    # --- writing down ---------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self._paths[-1]

    def _scale(self, number: int, out: torch.Tensor, scale: Any, shift: Any, name: str | None = None) -> None:
        """A scale and a shift for each channel, or one for all."""
        shape = self._shape_of(number)
        scales, shifts = (torch.as_tensor(v).detach().double().expand(shape[0]) for v in (scale, shift))
        weight = _floats(scales).reshape(-1, 1, 1, 1)
        layer = Convolution(
            self._name if name is None else name, (number,), shape, weight, _floats(shifts), groups=shape[0]
        )
        self._add(out, layer)

    def _add(self, out: torch.Tensor, layer: Layer) -> None:
        if isinstance(layer, Convolution):
            expected = window_shape(
                self._shape_of(layer.inputs[0]),
                len(layer.weight),
                layer.window,
                layer.stride,
                layer.padding,
                layer.dilation,
            )
            assert expected == layer.shape, (expected, layer.shape)
        self._layers.append(layer)
        self._know(out, len(self._layers))

    def _know(self, tensor: torch.Tensor, number: int) -> None:
        self._numbers[id(tensor)] = number
        self._padded.pop(id(tensor), None)
        self._alive.append(tensor)

    def _map(self, tensor: torch.Tensor, padded: bool = False) -> int:
        """The number of the map that a tensor holds; whoever takes care of zeros around it says so."""
        if not padded and id(tensor) in self._padded:
            raise self._refused("padding before anything but a convolution", "padding=... of the layer itself would")
        return self._numbers[id(tensor)]

    def _same_shape(self, tensor: torch.Tensor, number: int) -> None:
        c, h, w = self._shape_of(number)
        top, left, bottom, right = self._padded.get(id(tensor), (0, 0, 0, 0))
        if _chw(tensor) != (c, h + top + bottom, w + left + right):
            raise self._refused("a flattened map taken for another map", "a convolution of the map itself would")

    def _shape_of(self, number: int) -> Shape:
        return self._layers[number - 1].shape if number else self._shape

    def _refused(self, what: str, instead: str) -> ShipError:
        where = self._name or self._net
        return ShipError(f"{where}: {what} cannot be exported; {instead}")


def _tensors(values: Any) -> list[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [tensor for value in values for tensor in _tensors(value)] if isinstance(values, tuple | list) else []


def _bounds(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Clamp:
    inf = float("inf")
    if name == "relu":
        return 0.0, inf
    if name == "relu6":
        return 0.0, 6.0
    if name == "hardtanh":
        low, high = (*args[1:3], -1.0, 1.0)[:2] if len(args) > 2 else (args[1] if len(args) > 1 else -1.0, 1.0)
        return float(low), float(high)
    low = args[1] if len(args) > 1 and name != "clamp_max" else kwargs.get("min")
    high = args[1] if len(args) > 1 and name == "clamp_max" else args[2] if len(args) > 2 else kwargs.get("max")
    return (-inf if low is None else float(low)), (inf if high is None else float(high))


def _chw(out: torch.Tensor) -> Shape:
    c, h, w = (*out.shape[1:], 1, 1)[:3]
    return c, h, w


def _floats(tensor: torch.Tensor) -> Floats:
    # Double until everything is folded: each rounding to float32 on the way would be one more than the net has.
    return tensor.detach().cpu().double().contiguous().numpy().copy()


def _two(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])


def _x(shape: Shape) -> str:
    return "x".join(map(str, shape))
