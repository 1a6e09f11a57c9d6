"""Read a net as a chain of convolutions, the form that the compiled backend supports."""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import fx, nn

from netlet.backends.cpu.errors import UnsupportedNetError


@dataclass(frozen=True)
class Stage:
    """Convolution, ReLU, batch norm, dropout, ReLU and 2x2 max pooling, in this order.

    All but the convolution are optional.
    """

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
        """Height of the convolution's output."""
        return self._output_size(self.in_h, 0)

    @property
    def width(self) -> int:
        """Width of the convolution's output."""
        return self._output_size(self.in_w, 1)

    @property
    def out_h(self) -> int:
        """Height of the stage's output."""
        return self.height // 2 if self.pool else self.height

    @property
    def out_w(self) -> int:
        """Width of the stage's output."""
        return self.width // 2 if self.pool else self.width

    def _output_size(self, size: int, axis: int) -> int:
        conv = self.conv
        padding = conv.padding[axis]
        assert isinstance(padding, int)
        return (size + 2 * padding - conv.kernel_size[axis]) // conv.stride[axis] + 1


@dataclass
class Chain:
    """Stages, then global average pooling, then an optional linear layer for the logits."""

    stages: list[Stage] = field(default_factory=list)
    averaged: bool = False
    head: nn.Conv2d | nn.Linear | None = None

    @property
    def classes(self) -> int:
        """The number of logits."""
        head = self.head
        return self.stages[-1].conv.out_channels if head is None else head.weight.shape[0]


def read_chain(net: nn.Module, shape: Sequence[int]) -> Chain:
    """Return a net as a chain.

    Args:
        net: With its final dropout rates.
        shape: Of one image, ``C H W``.

    Raises:
        UnsupportedNetError: It is not a chain, or has an unsupported layer; the message names it.
    """
    graph = _trace_forward(net)
    chain, modules = Chain(), dict(net.named_modules())
    seen: set[str] = set()
    before: fx.Node | None = None
    sizes: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "output":
            if node.args[0] is not before:
                raise UnsupportedNetError("the net does not return the output of its last layer")
            break
        if node.op == "placeholder":
            if before is not None:
                raise UnsupportedNetError("the net has more inputs than the images")
            before = node
            continue
        if _reads_size(node, sizes):
            sizes.add(node)
            continue
        if [n for n in node.all_input_nodes if n not in sizes] != [before]:
            raise UnsupportedNetError(f"{node.name} has inputs besides the previous layer's output")
        if node.op == "call_module" and node.target in seen:
            raise UnsupportedNetError(f"{node.target} is used more than once")
        seen.add(str(node.target))
        _append_layer(chain, _layer_called_by(node, modules), node, tuple(shape))
        before = node
    if not chain.stages:
        raise UnsupportedNetError("the net has no convolution")
    last = chain.stages[-1]
    if not chain.averaged and (last.out_h, last.out_w) != (1, 1):
        raise UnsupportedNetError("the net has no global average pooling at the end")
    if len(list(net.parameters())) != sum(
        len(list(module.parameters()))
        for module in (chain.head, *(m for s in chain.stages for m in (s.conv, s.norm)))
        if module is not None
    ):
        raise UnsupportedNetError("the net has parameters outside the chain")
    chain.stages = [
        dataclasses.replace(s, relu=True, relu_first=False)
        if s.relu_first and s.norm is None
        else s
        for s in chain.stages
    ]
    return chain


def _trace_forward(net: nn.Module) -> fx.Graph:
    """Return the graph of a net's forward pass, if it is the same in every call and mode.

    Raises:
        UnsupportedNetError: The forward pass changes from call to call or between training and
            evaluation, or the net has hooks.
    """
    name = type(net).__name__
    twin = copy.deepcopy(net).train()  # a copy, since running the forward may change the net
    if not all(module.training for module in twin.modules()):
        raise UnsupportedNetError(f"{name} keeps layers in evaluation mode")
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules()):
        raise UnsupportedNetError(f"{name} has hooks")
    before = [_simple_attributes(module) for module in twin.modules()]
    try:
        training = fx.Tracer().trace(twin)
        if before != [_simple_attributes(module) for module in twin.modules()]:
            raise UnsupportedNetError(f"{name} changes its attributes in the forward pass")
        evaluation = fx.Tracer().trace(twin.eval())
    except UnsupportedNetError:
        raise
    except Exception as error:  # a traced forward pass may raise anything
        raise UnsupportedNetError(f"{name} cannot be traced ({type(error).__name__})") from error
    if str(training) != str(evaluation):
        raise UnsupportedNetError(f"{name} computes something else in evaluation mode")
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
    """Return the layer that a node calls; for functions that are not layers, their name."""
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
        raise UnsupportedNetError(f"{node.name} has unsupported arguments ({error})") from error


def _append_layer(
    chain: Chain, layer: nn.Module | str, node: fx.Node, shape: tuple[int, ...]
) -> None:
    """Append the next layer to a chain.

    Raises:
        UnsupportedNetError: The layer is not supported at this place.
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
                raise UnsupportedNetError(f"{node.name} has a kernel larger than its input")
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
            raise UnsupportedNetError(
                f"{node.name} is not a 1x1 convolution with stride 1 and one group"
            )
        chain.head = layer
    elif (
        isinstance(layer, nn.Linear)
        and kind is nn.Linear
        and last is not None
        and chain.head is None
    ):
        if not chain.averaged and (last.out_h, last.out_w) != (1, 1):
            raise UnsupportedNetError(f"{node.name} reads a flattened feature map")
        chain.head = layer
    elif _only_reshapes(layer, node) and last is not None:
        pass
    elif not open_ or last is None:
        raise UnsupportedNetError(
            f"{node.name} ({_layer_name(layer)}) is not supported at this place"
        )
    elif kind is nn.ReLU and not last.relu and not (last.relu_first and last.norm is None):
        change = (
            {"relu_first": True}
            if last.norm is None and not last.pool and not last.dropout
            else {"relu": True}
        )
    elif isinstance(layer, nn.BatchNorm2d) and kind is nn.BatchNorm2d and last.norm is None:
        if last.dropout or last.pool or last.relu:
            raise UnsupportedNetError(f"{node.name} does not directly follow a convolution")
        if not layer.affine or not layer.track_running_stats or layer.momentum is None:
            raise UnsupportedNetError(
                f"{node.name} lacks affine parameters, running statistics or a momentum"
            )
        change = {"norm": layer}
    elif type(layer) in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d) and not layer.p:  # type: ignore[union-attr]
        pass  # a rate of 0 changes nothing
    elif isinstance(layer, nn.Dropout) and kind is nn.Dropout:
        if last.pool or last.dropout or layer.p >= 1:
            raise UnsupportedNetError(
                f"{node.name} follows a pooling or another dropout, or has a rate of 1"
            )
        change = {"dropout": layer.p}
    elif isinstance(layer, nn.MaxPool2d) and kind is nn.MaxPool2d and not last.pool:
        if not _is_2x2_pooling(layer) or min(last.height, last.width) < 2:
            raise UnsupportedNetError(f"{node.name} is not a 2x2 pooling with stride 2")
        change = {"pool": True}
    elif _is_global_average(layer, (last.out_h, last.out_w)):
        chain.averaged = True
    else:
        raise UnsupportedNetError(f"{node.name} ({_layer_name(layer)}) is not supported")
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
            f"{node.name} has a window or stride that is not square, or unsupported padding"
        )
    if conv.groups not in (1, conv.in_channels) or (
        conv.groups > 1 and conv.out_channels != conv.groups
    ):
        raise UnsupportedNetError(f"{node.name} is neither an ordinary nor a depthwise convolution")
    if conv.dilation != (1, 1) or conv.padding_mode != "zeros":
        raise UnsupportedNetError(f"{node.name} has dilation or non-zero padding mode")


def _is_2x2_pooling(pool: nn.MaxPool2d) -> bool:
    def both(value: object) -> object:
        return value if isinstance(value, tuple) else (value, value)

    defaults = (both(pool.padding), both(pool.dilation), pool.ceil_mode, pool.return_indices) == (
        (0, 0),
        (1, 1),
        False,
        False,
    )
    return defaults and both(pool.kernel_size) == (2, 2) == both(pool.stride)


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
    """Return whether a layer only reshapes its input, or is a log-softmax, as part of the loss."""
    if isinstance(layer, str):
        return layer in ("flatten", "view", "reshape", "squeeze", "log_softmax")
    return type(layer) in (nn.Identity, nn.Flatten, nn.LogSoftmax)


def _layer_name(layer: nn.Module | str) -> str:
    return layer if isinstance(layer, str) else type(layer).__name__
