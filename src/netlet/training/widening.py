"""Widen a net: a copy with several times the channels, and where the net's own are among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import nn

from netlet.errors import TrainingError
from netlet.nets.blocks import (
    CReLU,
    JoinedInput,
    Net,
    Repeated,
    UnscaledBatchNorm2d,
    WeightedPooling,
)
from netlet.nets.copying import copy_net
from netlet.nets.registered import own_parameters

# They compute each channel alone, in the same way.
_BY_CHANNEL = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Mish, nn.Hardswish),
    *(nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout),
    *(nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.ZeroPad2d, nn.Flatten, nn.Softmax, nn.LogSoftmax, WeightedPooling),
)


@dataclass(frozen=True)
class Kept:
    """Which part of a tensor of the widest net a narrower one has.

    Attributes:
        rows: Indices along its first dimension.
        columns: Indices along its second dimension; None: all.
        shape: The shape of the tensor in the widest net.
    """

    rows: torch.Tensor
    columns: torch.Tensor | None
    shape: tuple[int, ...]

    def of(self, widest: torch.Tensor) -> torch.Tensor:
        """Return that part."""
        part = widest[self.rows]
        return part if self.columns is None else part[:, self.columns]


@dataclass(frozen=True)
class WidenedCopy:
    """A copy of a net with more channels.

    Attributes:
        net: The copy. The weights of its widened layers are not set.
        kept: By the name of each parameter that is widened, which part of the widest it is.
    """

    net: nn.Module
    kept: Mapping[str, Kept]


def widen_net(net: nn.Module, factor: int, largest: int) -> WidenedCopy:
    """Return a copy of a net in which each layer but the last has several times the channels.

    Args:
        net: A net of layers in sequence, such as those in one line of notation.
        factor: How many times the channels; 1 for a copy of the net.
        largest: The factor of the widest net, in whose tensors the others are found.

    Raises:
        TrainingError: A layer cannot be widened, or the net has nothing to widen.
    """
    copy = copy_net(net)
    layers = [m for m in copy.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    first = next((m for m in layers if isinstance(m, nn.Conv2d)), None)
    if first is None or first is layers[-1]:
        raise TrainingError(
            f"train_as=widened changes nothing in {type(net).__name__}: it has no convolution "
            "before its last layer; use train_as=net"
        )
    walk = _Walk(factor, largest, last=layers[-1], uses=_count_uses(copy))
    image = torch.arange(first.in_channels)
    logits = walk.widen(copy, "", _Map(len(image), image, len(image)))
    if logits.widest != logits.base:
        raise TrainingError(
            f"train_as=widened is not possible for {type(net).__name__}, whose logits are not "
            "those of a linear layer or of a convolution without groups; use train_as=net"
        )
    return WidenedCopy(copy, walk.kept)


@dataclass(frozen=True)
class _Map:
    """The channels of a feature map."""

    base: int  # how many the net itself has
    places: torch.Tensor  # where those of the widened net are in the map of the widest
    widest: int  # how many the widest has


@dataclass
class _Walk:
    """A pass through the layers of a net, which widens each."""

    factor: int
    largest: int
    last: nn.Module
    uses: Counter[int]
    kept: dict[str, Kept] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def widen(self, layer: nn.Module, path: str, x: _Map, out: _Map | None = None) -> _Map:
        """Widen a layer in place.

        Args:
            layer: The layer.
            path: Its path, for messages and for the names of its parameters.
            x: The channels that it reads.
            out: Those that it must make, if it is used several times.

        Returns:
            The channels that it makes.
        """
        rule = _RULES.get(type(layer))
        if rule is None:
            _refuse(path, layer, "is none of the layers that can be widened")
        if layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer):
            _refuse(path, layer, "has hooks or a forward of its own")
        self._check_weights(path, layer)
        return rule(self, layer, path, x, out)

    def grow(self, base: int, layer: nn.Module) -> _Map:
        """Return the channels that a layer makes of its own weights."""
        if layer is self.last:
            return _Map(base, torch.arange(base), base)
        return _Map(base, torch.arange(self.factor * base), self.largest * base)

    def keep(
        self, name: str, rows: _Map, columns: _Map | None, tensor: torch.Tensor
    ) -> nn.Parameter:
        """Note which part of the widest tensor a parameter is; return one of the right size."""
        shape = [rows.widest, *tensor.shape[1:]]
        own = [len(rows.places), *tensor.shape[1:]]
        if columns is not None:
            shape[1], own[1] = columns.widest, len(columns.places)
        places = None if columns is None else columns.places
        self.kept[name] = Kept(rows.places, places, tuple(shape))
        return nn.Parameter(torch.zeros(own))

    def _check_weights(self, path: str, layer: nn.Module) -> None:
        tensors = own_parameters(layer)
        shared = any(self.uses[tensor.untyped_storage().data_ptr()] > 1 for tensor in tensors)
        if shared or (tensors and id(layer) in self.seen):
            _refuse(path, layer, "shares its weights with another layer")
        self.seen.add(id(layer))
        for tensor in tensors:
            if not tensor.requires_grad:
                _refuse(path, layer, "has frozen weights")
            if tensor.dtype != torch.float32:
                name = str(tensor.dtype).removeprefix("torch.")
                _refuse(path, layer, f"has weights in {name}, not in float32")


_Rule = Callable[[_Walk, Any, str, _Map, "_Map | None"], _Map]


def _refuse(path: str, layer: nn.Module, reason: str) -> NoReturn:
    raise TrainingError(
        f"train_as=widened is not possible for {path or 'the net'} ({type(layer).__name__}), "
        f"which {reason}; use train_as=net"
    )


def _count_uses(net: nn.Module) -> Counter[int]:
    """Return how many parameters lie in each memory."""
    return Counter(tensor.untyped_storage().data_ptr() for tensor in net.parameters())


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _pass_through(walk: _Walk, layer: nn.Module, path: str, x: _Map, out: _Map | None) -> _Map:
    return x


def _sequence(walk: _Walk, layer: nn.Sequential, path: str, x: _Map, out: _Map | None) -> _Map:
    children = list(layer._modules.items())  # named_children leaves out what comes again
    for name, child in children:
        assert child is not None
        x = walk.widen(child, _join(path, name), x, out if name == children[-1][0] else None)
    return x


def _convolution(walk: _Walk, conv: nn.Conv2d, path: str, x: _Map, out: _Map | None) -> _Map:
    if conv.groups == 1:
        made = out or walk.grow(conv.out_channels, conv)
        columns: _Map | None = x
    elif conv.groups == conv.in_channels:  # each channel makes the same number of its own
        each = conv.out_channels // conv.in_channels
        made, columns = _spread(x, each), None
        conv.groups = len(x.places)
    else:
        _refuse(path, conv, f"has {conv.groups} groups, not 1 or one for each channel")
    conv.weight = walk.keep(_join(path, "weight"), made, columns, conv.weight)
    if conv.bias is not None:
        conv.bias = walk.keep(_join(path, "bias"), made, None, conv.bias)
    conv.in_channels, conv.out_channels = len(x.places), len(made.places)
    return made


def _linear(walk: _Walk, linear: nn.Linear, path: str, x: _Map, out: _Map | None) -> _Map:
    made = walk.grow(linear.out_features, linear)
    read = _spread(x, linear.in_features // x.base)  # the places of a map that was flattened
    linear.weight = walk.keep(_join(path, "weight"), made, read, linear.weight)
    if linear.bias is not None:
        linear.bias = walk.keep(_join(path, "bias"), made, None, linear.bias)
    linear.in_features, linear.out_features = len(read.places), len(made.places)
    return made


def _spread(x: _Map, each: int) -> _Map:
    """Return channels of which there are several for each channel of a map."""
    places = (x.places[:, None] * each + torch.arange(each)).flatten()
    return _Map(x.base * each, places, x.widest * each)


def _batch_norm(walk: _Walk, norm: nn.BatchNorm2d, path: str, x: _Map, out: _Map | None) -> _Map:
    for name in ("weight", "bias"):
        if getattr(norm, name) is not None:
            kept = walk.keep(_join(path, name), x, None, getattr(norm, name))
            setattr(norm, name, kept)
    norm.num_features = len(x.places)
    if norm.running_mean is not None:
        norm.running_mean = torch.zeros(len(x.places))
        norm.running_var = torch.ones(len(x.places))
    return x


def _crelu(walk: _Walk, layer: nn.Module, path: str, x: _Map, out: _Map | None) -> _Map:
    return _Map(2 * x.base, torch.cat((x.places, x.places + x.widest)), 2 * x.widest)


def _joined(walk: _Walk, layer: JoinedInput, path: str, x: _Map, out: _Map | None) -> _Map:
    made = walk.widen(layer.layer, _join(path, "layer"), x)
    places = torch.cat((x.places, made.places + x.widest))
    return _Map(x.base + made.base, places, x.widest + made.widest)


def _repeated(walk: _Walk, layer: Repeated, path: str, x: _Map, out: _Map | None) -> _Map:
    """Widen convolutions that make, in the end, the channels that they read."""
    groups = list(layer.convolutions)
    made = []  # by each group
    read = x
    for number, group in enumerate(groups):
        end = x if group is groups[-1] else None
        read = walk.widen(group, _join(path, f"convolutions.{number}"), read, end)
        made.append(read)
    for number, norm in enumerate(layer.norms):
        walk.widen(norm, _join(path, f"norms.{number}"), made[number % len(made)])
    return x


_RULES: dict[type[nn.Module], _Rule] = {
    **dict.fromkeys(_BY_CHANNEL, _pass_through),
    nn.Sequential: _sequence,
    Net: _sequence,
    nn.Conv2d: _convolution,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batch_norm,
    UnscaledBatchNorm2d: _batch_norm,
    CReLU: _crelu,
    JoinedInput: _joined,
    Repeated: _repeated,
}
