"""Nets that are a chain of convolutions, as plain values: what the compiled step knows how to do."""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import fx, nn


class UnsupportedNetError(Exception):
    """Why a net is none."""


@dataclass(frozen=True)
class Stage:
    """Convolution, [ReLU], [batch norm], [dropout], [ReLU], [2x2 max pooling], in this order."""

    conv: nn.Conv2d
    in_h: int
    in_w: int
    relu_first: bool = False
    norm: nn.BatchNorm2d | None = None
    dropout: float = 0.0
    relu: bool = False
    pool: bool = False

    @property
    def height(self) -> int:
        """Of what the convolution gives."""
        return self._given(self.in_h, 0)

    @property
    def width(self) -> int:
        """Of what the convolution gives."""
        return self._given(self.in_w, 1)

    @property
    def out_h(self) -> int:
        """Of what leaves the stage."""
        return self.height // 2 if self.pool else self.height

    @property
    def out_w(self) -> int:
        """Of what leaves the stage."""
        return self.width // 2 if self.pool else self.width

    def _given(self, size: int, axis: int) -> int:
        conv = self.conv
        padding = conv.padding[axis]
        assert isinstance(padding, int)
        return (size + 2 * padding - conv.kernel_size[axis]) // conv.stride[axis] + 1


@dataclass
class Chain:
    """Stages, then the mean of every map, then a linear layer or none: logits."""

    stages: list[Stage] = field(default_factory=list)
    averaged: bool = False
    head: nn.Conv2d | nn.Linear | None = None

    @property
    def classes(self) -> int:
        """How many logits."""
        return (
            self.head.weight.shape[0]
            if self.head is not None
            else self.stages[-1].conv.out_channels
        )


def read_chain(net: nn.Module, shape: Sequence[int]) -> Chain:
    """Read a net as a chain.

    Args:
        net: As it will be trained: its dropout rates count.
        shape: Of one image, ``C H W``.

    Raises:
        UnsupportedNetError: It is none, or has a layer that a chain knows nothing of; says which.
    """
    graph = _trace_forward(net)
    chain, modules = Chain(), dict(net.named_modules())
    seen: set[str] = set()
    before: fx.Node | None = None
    sizes: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "output":
            if node.args[0] is not before:
                raise UnsupportedNetError("the net gives more than its last layer's output")
            break
        if node.op == "placeholder":
            if before is not None:
                raise UnsupportedNetError("the net takes more than images")
            before = node
            continue
        if _reads_size(node, sizes):
            sizes.add(node)
            continue
        if [n for n in node.all_input_nodes if n not in sizes] != [before]:
            raise UnsupportedNetError(f"{node.name} takes more than the output of the layer before")
        if node.op == "call_module" and node.target in seen:
            raise UnsupportedNetError(f"{node.target} is used more than once")
        seen.add(str(node.target))
        _append_layer(chain, _layer_called_by(node, modules), node, tuple(shape))
        before = node
    if not chain.stages:
        raise UnsupportedNetError("it has no convolution")
    last = chain.stages[-1]
    if not chain.averaged and (last.out_h, last.out_w) != (1, 1):
        raise UnsupportedNetError("its maps are not averaged at the end")
    if len(list(net.parameters())) != sum(
        len(list(module.parameters()))
        for module in (chain.head, *(m for s in chain.stages for m in (s.conv, s.norm)))
        if module is not None
    ):
        raise UnsupportedNetError("it has parameters that the chain does not use")
    chain.stages = [
        dataclasses.replace(s, relu=True, relu_first=False)
        if s.relu_first and s.norm is None
        else s
        for s in chain.stages
    ]
    return chain


def _trace_forward(net: nn.Module) -> fx.Graph:
    """What a net's forward does, whenever and in whichever mode it runs.

    Raises:
        UnsupportedNetError: It does not do the same each time, or something beside it would run
            along.
    """
    name = type(net).__name__
    twin = copy.deepcopy(net).train()  # tracing runs the forward, which may leave traces of its own
    if not all(module.training for module in twin.modules()):
        raise UnsupportedNetError(f"{name} keeps layers out of training")
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules()):
        raise UnsupportedNetError(f"{name} has hooks")
    before = [_simple_attributes(module) for module in twin.modules()]
    try:
        training = fx.Tracer().trace(twin)
        if before != [_simple_attributes(module) for module in twin.modules()]:
            raise UnsupportedNetError(f"{name} changes as it runs")
        scoring = fx.Tracer().trace(twin.eval())
    except UnsupportedNetError:
        raise
    except Exception as error:  # what a net's forward may raise on being traced is anybody's guess
        raise UnsupportedNetError(f"{name} cannot be traced ({type(error).__name__})") from error
    if str(training) != str(scoring):
        raise UnsupportedNetError(f"{name} does something else when it does not train")
    return training


def _simple_attributes(module: nn.Module) -> dict[str, object]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str | None)
    }


_FUNCTIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "max_pool2d": nn.MaxPool2d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
}


def _reads_size(node: fx.Node, sizes: set[fx.Node]) -> bool:
    if node.op == "call_method" and node.target == "size":
        return True
    if node.op == "call_function" and node.target is getattr and node.args[1] == "shape":
        return True
    return node.op == "call_function" and node.target is operator.getitem and node.args[0] in sizes


def _layer_called_by(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | str:
    """A layer, be it called as a module or as a function; or what a function or method does to the output's shape."""
    if node.op == "call_module":
        return modules[str(node.target)]
    target = (
        node.target
        if isinstance(node.target, str)
        else getattr(node.target, "__name__", str(node.target))
    )
    as_module = _FUNCTIONS.get(target)
    if as_module is None:
        return target
    try:
        return as_module(
            *node.args[1:],
            **{name: value for name, value in node.kwargs.items() if name != "inplace"},
        )
    except TypeError as error:
        raise UnsupportedNetError(
            f"{node.name} is called in a way that is not known ({error})"
        ) from error


def _append_layer(chain: Chain, layer: nn.Module | str, node: fx.Node, shape: tuple[int, ...]) -> None:
    """Add what comes next to a chain.

    Raises:
        UnsupportedNetError: A chain cannot have it there.
    """
    last = chain.stages[-1] if chain.stages else None
    open_ = last is not None and not chain.averaged and chain.head is None
    change: dict[str, object] = {}
    kind = type(layer)
    if isinstance(layer, nn.Conv2d) and kind is nn.Conv2d and open_ | (last is None):
        before = (
            (shape[0], shape[1], shape[2])
            if last is None
            else (last.conv.out_channels, last.out_h, last.out_w)
        )
        if (
            before[1:] == (1, 1)
            and last is not None
            and layer.kernel_size == (1, 1)
            and layer.stride == (1, 1)
        ):
            chain.head = layer
        else:
            _check_conv(layer, node)
            stage = Stage(layer, before[1], before[2])
            if min(stage.height, stage.width) < 1:
                raise UnsupportedNetError(f"{node.name} leaves nothing of the map")
            chain.stages.append(stage)
    elif (
        isinstance(layer, nn.Conv2d) and kind is nn.Conv2d and chain.averaged and chain.head is None
    ):
        if (
            layer.kernel_size != (1, 1)
            or layer.stride != (1, 1)
            or layer.groups != 1
            or layer.padding not in ((0, 0), "valid")
        ):
            raise UnsupportedNetError(f"{node.name} is no plain 1x1 convolution")
        chain.head = layer
    elif (
        isinstance(layer, nn.Linear)
        and kind is nn.Linear
        and last is not None
        and chain.head is None
    ):
        if not chain.averaged and (last.out_h, last.out_w) != (1, 1):
            raise UnsupportedNetError(f"{node.name} reads whole maps")
        chain.head = layer
    elif _only_reshapes(layer, node) and last is not None:
        pass
    elif not open_ or last is None:
        raise UnsupportedNetError(f"{node.name} ({_layer_name(layer)}) comes where a chain has none")
    elif kind is nn.ReLU and not last.relu and not (last.relu_first and last.norm is None):
        change = (
            {"relu_first": True}
            if last.norm is None and not last.pool and not last.dropout
            else {"relu": True}
        )
    elif isinstance(layer, nn.BatchNorm2d) and kind is nn.BatchNorm2d and last.norm is None:
        if last.dropout or last.pool or last.relu:
            raise UnsupportedNetError(f"{node.name} does not follow its convolution")
        if not layer.affine or not layer.track_running_stats or layer.momentum is None:
            raise UnsupportedNetError(f"{node.name} is no plain batch norm")
        change = {"norm": layer}
    elif type(layer) in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d) and not layer.p:  # type: ignore[union-attr]
        pass  # it drops nothing
    elif isinstance(layer, nn.Dropout) and kind is nn.Dropout:
        if last.pool or last.dropout or layer.p >= 1:
            raise UnsupportedNetError(f"{node.name} does not come before its pooling")
        change = {"dropout": layer.p}
    elif isinstance(layer, nn.MaxPool2d) and kind is nn.MaxPool2d and not last.pool:
        if not _is_2x2_pooling(layer) or min(last.height, last.width) < 2:
            raise UnsupportedNetError(f"{node.name} is no 2x2 pooling")
        change = {"pool": True}
    elif _is_global_average(layer, (last.out_h, last.out_w)):
        chain.averaged = True
    else:
        raise UnsupportedNetError(f"{node.name} ({_layer_name(layer)}) is not among the layers it knows")
    if change and last is not None:
        chain.stages[-1] = dataclasses.replace(last, **change)  # type: ignore[arg-type]


def _check_conv(conv: nn.Conv2d, node: fx.Node) -> None:
    square = len(set(conv.kernel_size)) == len(set(conv.stride)) == 1
    padding = conv.padding
    if (
        isinstance(padding, str)
        or len(set(padding)) != 1
        or padding[0] >= conv.kernel_size[0]
        or not square
    ):
        raise UnsupportedNetError(
            f"{node.name} has no square window, or its padding is not a number"
        )
    if conv.groups not in (1, conv.in_channels) or (
        conv.groups > 1 and conv.out_channels != conv.groups
    ):
        raise UnsupportedNetError(f"{node.name} has groups that are neither one nor a channel each")
    if conv.dilation != (1, 1) or conv.padding_mode != "zeros":
        raise UnsupportedNetError(f"{node.name} is no plain convolution")


def _is_2x2_pooling(pool: nn.MaxPool2d) -> bool:
    def both(value: object) -> object:
        return value if isinstance(value, tuple) else (value, value)

    plain = (both(pool.padding), both(pool.dilation), pool.ceil_mode, pool.return_indices) == (
        (0, 0),
        (1, 1),
        False,
        False,
    )
    return plain and both(pool.kernel_size) == (2, 2) == both(pool.stride)


def _is_global_average(layer: nn.Module | str, size: tuple[int, int]) -> bool:
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return layer.output_size in (1, (1, 1))
    if isinstance(layer, nn.AvgPool2d):
        kernel = (
            layer.kernel_size if isinstance(layer.kernel_size, tuple) else (layer.kernel_size,) * 2
        )
        return kernel == size and layer.padding in (0, (0, 0))
    return False


def _only_reshapes(layer: nn.Module | str, node: fx.Node) -> bool:
    """Whether it leaves the logits what they are, but for their shape and a constant that the loss takes off anyway."""
    if isinstance(layer, str):
        return layer in ("flatten", "view", "reshape", "squeeze", "log_softmax")
    return type(layer) in (nn.Identity, nn.Flatten, nn.LogSoftmax)


def _layer_name(layer: nn.Module | str) -> str:
    return layer if isinstance(layer, str) else type(layer).__name__
