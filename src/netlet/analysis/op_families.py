"""The families of a budget's rules that an operation belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from netlet.budgets.families import (
    ANY_ACTIVATION,
    ANY_NORM,
    BIAS,
    CONVOLUTION,
    CONVOLUTION_BIAS,
    DROPOUT,
    LAYER,
    LINEAR_BIAS,
    POOLING,
    RATE_IS_ZERO,
)
from netlet.graph import Node, Weight
from netlet.graph.dependence import Distances
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    BatchNorm,
    Concatenation,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Pooling,
    Softmax,
)
from netlet.graph.rare_operations import Attention, GatedHalf, MatrixProduct, OtherNorm, Stack

_INFINITY = float("inf")
# Activations by PyTorch's names of the functions, and the layers of torch.nn that wrap them.
ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "silu": "SiLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hardswish": "Hardswish",
    "hardsigmoid": "Hardsigmoid",
    "prelu": "PReLU",
    "celu": "CELU",
    "selu": "SELU",
    "mish": "Mish",
    "softplus": "Softplus",
    "hardshrink": "Hardshrink",
    "softshrink": "Softshrink",
    "threshold": "Threshold",
    "log_sigmoid_forward": "LogSigmoid",
    "rrelu_with_noise": "RReLU",
}
_DROPOUTS = {
    "dropout": "Dropout",
    "dropout1d": "Dropout1d",
    "dropout2d": "Dropout2d",
    "dropout3d": "Dropout3d",
    "alpha_dropout": "AlphaDropout",
    "feature_alpha_dropout": "FeatureAlphaDropout",
}
_NORMS = {"layer_norm": "LayerNorm", "group_norm": "GroupNorm", "_fused_rms_norm": "RMSNorm"}
_RECURRENT = ("mkldnn_rnn_layer", "lstm", "gru", "rnn_tanh", "rnn_relu", "_thnn_fused_lstm_cell")


@dataclass(frozen=True)
class Membership:
    """What an operation is.

    Attributes:
        families: Families of budgets, and layers of torch.nn, like ``nn.Conv2d``.
        kernel: The size of a convolution's window; empty for anything else.
        weights: The name of its weights; empty if it has none.
        near: Families that it nearly belongs to, each with the reason why not.
        unsure: Whether it may be something that the trace cannot see.
    """

    families: tuple[str, ...] = ()
    kernel: tuple[int, ...] = ()
    weights: str = ""
    near: tuple[tuple[str, str], ...] = ()
    unsure: bool = False


def find_families(node: Node, rank: int, *, over_images: bool) -> Membership:
    """Return what an operation is, apart from poolings over the whole map and sums.

    Args:
        node: In the graph.
        rank: Number of dimensions of its output, with the batch.
        over_images: Whether a norm's statistics are those of single images.
    """
    operation = node.operation
    unsure = isinstance(operation, Opaque) and "::" in operation.function
    if isinstance(operation, Opaque):
        if families := _opaque(operation.function):
            return Membership(families)
        operation = operation.like or operation
    if isinstance(operation, Convolution):
        return _convolution(operation)
    if isinstance(operation, Linear):
        return describe_dense(operation.weight, operation.bias)
    if isinstance(operation, MatrixProduct):
        weights = [w for w in operation.operands[-2:] if w is not None and _identify(w)]
        addend = operation.operands[0] if len(operation.operands) > 2 else None
        return describe_dense(weights[0], addend) if weights else Membership()
    if isinstance(operation, Distances):
        weights = [w for w in operation.operands if w is not None and _identify(w)]
        return Membership((LAYER,), weights=_identify(weights[0])) if weights else Membership()
    if isinstance(operation, BatchNorm):
        if over_images:
            return Membership(("InstanceNorm", ANY_NORM))
        dims = max(rank - 2, 1)
        own = operation.weight or operation.bias
        name = own.name if own else ""
        return Membership(("BatchNorm", f"nn.BatchNorm{dims}d", ANY_NORM), weights=name)
    if isinstance(operation, Dropout):
        return _dropout(operation)
    joins = len(node.inputs) > 1
    return Membership(_families_of_function(operation, joins=joins), unsure=unsure)


def _convolution(operation: Convolution) -> Membership:
    kernel = tuple(operation.weight.tensor.shape[2:])
    dims = len(kernel)
    transposed = "Transpose" if operation.transposed else ""
    families = [CONVOLUTION, f"nn.Conv{transposed}{dims}d", LAYER]
    if operation.groups > 1 and operation.groups == _input_channels(operation):
        families.append("depthwise convolution")
    if max(operation.dilation) > 1 and max(kernel) > 1:
        families.append("dilated convolution")
    if operation.transposed:
        families.append("transposed convolution")
    elif max(operation.stride) > 1:
        families.append("strided convolution")
    if operation.bias is not None:
        families += (BIAS, CONVOLUTION_BIAS)
    return Membership(tuple(families), kernel, _identify(operation.weight))


def _input_channels(operation: Convolution) -> int:
    shape = operation.weight.tensor.shape
    return int(shape[0] if operation.transposed else shape[1] * operation.groups)


def describe_dense(weight: Weight, bias: Weight | None = None) -> Membership:
    """Return what a dense layer with a weight is, however the net computes it."""
    biases = (BIAS, LINEAR_BIAS) if bias is not None else ()
    families = ("Linear", "nn.Linear", LAYER, *biases)
    return Membership(families, weights=_identify(weight))


def _identify(weight: Weight) -> str:
    return weight.name or weight.source


def _dropout(operation: Dropout) -> Membership:
    kind = f"nn.{_DROPOUTS.get(operation.function, 'Dropout')}"
    why = ""
    if not operation.rate:
        why = RATE_IS_ZERO
    elif not operation.active:
        why = "it drops nothing in training"
    if why:
        return Membership(near=tuple((name, why) for name in (DROPOUT, kind)))
    return Membership((DROPOUT, kind))


def _families_of_function(operation: Operation, *, joins: bool) -> tuple[str, ...]:
    if isinstance(operation, Pooling):
        dims = len(operation.window)
        mode = "Max" if operation.mode == "max" else "Avg"
        return (f"{mode}Pool", f"nn.{mode}Pool{dims}d", POOLING)
    if isinstance(operation, AdaptivePooling):
        dims = len(operation.size)
        mode = "Max" if operation.mode == "max" else "Avg"
        return (f"{mode}Pool", f"nn.Adaptive{mode}Pool{dims}d", POOLING)
    if isinstance(operation, Activation | Elementwise):
        return _activation(operation)
    if isinstance(operation, GatedHalf):
        return (ANY_ACTIVATION, "nn.GLU")
    if isinstance(operation, OtherNorm):
        kind = _NORMS.get(operation.function)
        return (kind, f"nn.{kind}", ANY_NORM) if kind else (ANY_NORM,)
    if isinstance(operation, Softmax):
        layer = "Softmax" if operation.function == "softmax" else "LogSoftmax"
        return ("Softmax", f"nn.{layer}")
    if isinstance(operation, Concatenation | Stack):
        return ("concatenation",) if joins else ()
    if isinstance(operation, Attention):
        return ("attention",)
    return ()


def _activation(operation: Activation | Elementwise) -> tuple[str, ...]:
    if isinstance(operation, Activation) and operation.function in ("clamp", "hardtanh"):
        low, high = operation.parameters
        if (low, high) == (0, _INFINITY):
            return _named("ReLU")
        if (low, high) == (0, 6):
            return _named("ReLU6")
        # A clamp that only bounds large values, as before a logarithm, is not an activation.
        return _named("Hardtanh") if low >= 0 or high <= 1 else ()
    layer = ACTIVATIONS.get(operation.function)
    if layer == "ELU" and isinstance(operation, Activation) and operation.parameters[1] != 1:
        layer = "SELU"  # which PyTorch computes as an elu with a scale
    return _named(layer) if layer else ()


def _named(layer: str) -> tuple[str, ...]:
    return (ANY_ACTIVATION, layer, f"nn.{layer}")


def _opaque(function: str) -> tuple[str, ...]:
    if function.startswith("fractional_max_pool"):
        return ("MaxPool", f"nn.FractionalMaxPool{function[-2:]}", POOLING)
    if function.strip("_") in [name.strip("_") for name in _RECURRENT]:
        return ("recurrent layer", LAYER)
    if function.strip("_") == "trilinear":
        return ("nn.Bilinear", LAYER)
    return ()
