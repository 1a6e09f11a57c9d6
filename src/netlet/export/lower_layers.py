"""Convolutions, linear layers, norms and functions of single numbers become layers."""

from __future__ import annotations

import numpy as np

from netlet.export.inference_graph import UNBOUNDED, Clamp, FunctionName
from netlet.export.inference_graph import Activation as ActivationLayer
from netlet.export.inference_graph import Convolution as ConvolutionLayer
from netlet.export.lowering import Builder, Value, lowers, map_shape, to_float64
from netlet.export.unsupported import RANDOM
from netlet.graph import Node, Weight
from netlet.graph.operations import (
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Linear,
    Softmax,
    TensorClamp,
)

_INFINITY = float("inf")
# Functions of the vocabulary, and those of an inference graph that compute them.
FUNCTIONS: dict[str, FunctionName] = {
    "clamp": "clamp",
    "elu": "elu",
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "hardsigmoid": "hardsigmoid",
    "hardswish": "hardswish",
    "hardtanh": "clamp",
    "leaky_relu": "leaky_relu",
    "prelu": "leaky_relu",
    "relu": "clamp",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "tanh": "tanh",
}


@lowers(Convolution)
def _lower_convolution(builder: Builder, node: Node, operation: Convolution) -> Value:
    if operation.transposed or len(operation.stride) != 2 or len(node.shape) != 3:
        builder.refuse("a transposed or one-dimensional convolution", "nn.Conv2d")
    value = builder.padded_value()
    builder.check_not_reshaped(value)
    top, left, bottom, right = value.padding
    rows, columns = operation.padding
    layer = ConvolutionLayer(
        node.name,
        (value.number,),
        map_shape(node.shape),
        to_float64(operation.weight.tensor),
        _bias(operation.bias, len(operation.weight.tensor)),
        (operation.stride[0], operation.stride[1]),
        (rows + top, columns + left, rows + bottom, columns + right),
        (operation.dilation[0], operation.dilation[1]),
        operation.groups,
    )
    return builder.add(layer)


@lowers(Linear)
def _lower_linear(builder: Builder, node: Node, operation: Linear) -> Value:
    value = builder.value()
    kernel = to_float64(operation.weight.tensor).reshape(-1, *builder.shape_of(value))
    bias = _bias(operation.bias, len(kernel))
    return builder.add(
        ConvolutionLayer(node.name, (value.number,), (len(kernel), 1, 1), kernel, bias)
    )


def _bias(bias: Weight | None, channels: int) -> np.ndarray:
    return np.zeros(channels) if bias is None else to_float64(bias.tensor.expand(channels))


@lowers(BatchNorm)
def _lower_batch_norm(builder: Builder, node: Node, operation: BatchNorm) -> Value:
    if operation.by_batch or operation.mean is None or operation.var is None:
        builder.refuse(
            "batch norm by each batch's own statistics",
            "batch norm with running statistics (track_running_stats=True)",
        )
    value = builder.map()
    deviation = (operation.var.tensor.double() + operation.eps).sqrt()
    scale = (operation.weight.tensor.double() if operation.weight else 1) / deviation
    mean = operation.mean.tensor.double() * scale
    shift = (operation.bias.tensor.double() if operation.bias else 0) - mean
    return builder.add_scale(value, scale, shift)


@lowers(Activation)
def _lower_activation(builder: Builder, node: Node, operation: Activation) -> Value:
    name, parameters = operation.function, operation.parameters
    if name not in FUNCTIONS:
        builder.refuse_by_name()
    function = FUNCTIONS[name]
    if function == "clamp":
        low, high = parameters or (0.0, _INFINITY)  # ReLU has no parameters
        return _add_activation(builder, function, bounds=(low, high))
    if operation.weight:
        slopes = operation.weight.tensor.detach().reshape(-1)
        if not bool((slopes == slopes[0]).all()):
            builder.refuse(
                "PReLU with a slope for each channel", "nn.PReLU() with one slope, or LeakyReLU"
            )
        return _add_activation(builder, function, float(slopes[0]))
    if function == "elu" and parameters[1:] != (1.0, 1.0):
        builder.refuse("SELU or a scaled ELU", "nn.ELU")
    return _add_activation(builder, function, parameters[0] if parameters else 0.0)


@lowers(TensorClamp)
def _lower_tensor_clamp(builder: Builder, node: Node, operation: TensorClamp) -> Value:
    low, high = (None if w is None else w.tensor for w in (operation.low, operation.high))
    if any(bound is not None and bound.numel() != 1 for bound in (low, high)):
        builder.refuse_by_name("its bounds are tensors of several numbers")
    bounds = (-_INFINITY if low is None else float(low), _INFINITY if high is None else float(high))
    return _add_activation(builder, "clamp", bounds=bounds)


def _add_activation(
    builder: Builder, function: FunctionName, parameter: float = 0.0, bounds: Clamp = UNBOUNDED
) -> Value:
    value = builder.value()
    shape = builder.shape_of(value)
    return builder.add(
        ActivationLayer(builder.node.name, (value.number,), shape, function, parameter, bounds)
    )


@lowers(Dropout)
def _lower_dropout(builder: Builder, node: Node, operation: Dropout) -> Value:
    if operation.active and operation.rate:
        builder.refuse(*RANDOM)
    return builder.padded_value()


@lowers(Softmax)
def _lower_softmax(builder: Builder, node: Node, operation: Softmax) -> Value:
    if operation.dim != 1 or len(node.shape) != 1 or not node.batched:
        builder.refuse("softmax over anything but the classes", "dim=1 of N K")
    return builder.keep_map(softmax=operation.function)
