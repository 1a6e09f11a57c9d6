"""Convolutions, linear layers, norms and functions of single numbers become layers."""

from __future__ import annotations

import math

import numpy as np
import torch

from netlet.export.inference_graph import UNBOUNDED, Clamp, FunctionName
from netlet.export.inference_graph import Activation as ActivationLayer
from netlet.export.inference_graph import Convolution as ConvolutionLayer
from netlet.export.lower_arithmetic import ARITHMETIC, clamp_by_numbers
from netlet.export.lower_norms import add_instance_norm
from netlet.export.lowering import Builder, Value, lowers, map_shape, to_float64
from netlet.export.map_layers import ChannelSlope
from netlet.export.transposed_convolution import add_transposed, bias_of, kernel_of, two
from netlet.graph import Node
from netlet.graph.operations import (
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Softmax,
    TensorClamp,
)

_INFINITY = float("inf")
_SOFTPLUS_IS_LINEAR = 15.0  # from here on, it differs from a straight line by less than 1e-6
# Functions of the vocabulary, and those of an inference graph that compute them.
FUNCTIONS: dict[str, FunctionName] = {
    "abs": "abs",
    "celu": "elu",
    "clamp": "clamp",
    "elu": "elu",
    "exp": "exp",
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "hardsigmoid": "hardsigmoid",
    "hardswish": "hardswish",
    "hardtanh": "clamp",
    "leaky_relu": "leaky_relu",
    "mish": "mish",
    "prelu": "leaky_relu",
    "relu": "clamp",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softplus": "softplus",
    "threshold": "clamp",
    "tanh": "tanh",
}


@lowers(Convolution)
def _lower_convolution(builder: Builder, node: Node, operation: Convolution) -> Value:
    rank = len(operation.stride)
    if rank > 2 or len(node.shape) != 1 + rank:
        builder.refuse("a three-dimensional convolution", "nn.Conv2d")
    if operation.transposed:
        return add_transposed(builder, node, operation)
    value = builder.padded_value()
    if not builder.is_plain(value):
        value = builder.map()
    top, left, bottom, right = value.padding
    rows, columns = two(operation.padding, 0)
    layer = ConvolutionLayer(
        node.name,
        (value.number,),
        map_shape(node.shape),
        kernel_of(operation),
        bias_of(operation.bias, len(operation.weight.tensor)),
        two(operation.stride, 1),
        (rows + top, columns + left, rows + bottom, columns + right),
        two(operation.dilation, 1),
        operation.groups,
    )
    return builder.add(layer)


@lowers(Linear)
def _lower_linear(builder: Builder, node: Node, operation: Linear) -> Value:
    kernel, value = to_float64(operation.weight.tensor), builder.padded_value()
    if math.prod(value.dims) != kernel.shape[1]:
        return _add_pointwise_convolution(builder, node, operation)
    if value.places is not None and builder.is_permuted(value):  # the weights change places instead
        moved = np.empty_like(kernel)
        moved[:, value.places.reshape(-1)] = kernel
        kernel = moved
    else:
        value = builder.value()
    kernel = kernel.reshape(-1, *builder.shape_of(value))
    bias = bias_of(operation.bias, len(kernel))
    return builder.add(
        ConvolutionLayer(node.name, (value.number,), (len(kernel), 1, 1), kernel, bias)
    )


def _add_pointwise_convolution(builder: Builder, node: Node, operation: Linear) -> Value:
    """Add a linear layer of several rows: a 1x1 convolution of whose channels they consist."""
    value = builder.padded_value()
    places = np.moveaxis(builder.places(value), -1, 0)
    inputs, *rows = places.shape
    source = builder.rearranged(value, places.reshape(inputs, -1, 1))
    kernel = to_float64(operation.weight.tensor)[:, :, None, None]
    shape = (len(kernel), math.prod(rows), 1)
    bias = bias_of(operation.bias, len(kernel))
    added = builder.add(ConvolutionLayer(node.name, (source.number,), shape, kernel, bias))
    order = np.arange(math.prod(shape)).reshape(len(kernel), *rows)
    return Value(added.number, node.shape, places=np.moveaxis(order, 0, -1))


@lowers(BatchNorm)
def _lower_batch_norm(builder: Builder, node: Node, operation: BatchNorm) -> Value:
    of_images = builder.padded_value().batch_in == "channels"
    if of_images and operation.by_batch:
        return add_instance_norm(builder, node, operation)
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
    channels = builder.shape_of(value)[0]  # an instance norm repeats its own for each image
    return builder.add_scale(value, scale[:channels], shift[:channels])


@lowers(Activation)
def _lower_activation(builder: Builder, node: Node, operation: Activation) -> Value:
    name, parameters = operation.function, operation.parameters
    if name not in FUNCTIONS:
        builder.refuse_by_name()
    function = FUNCTIONS[name]
    if function == "clamp":
        low, high = parameters or (0.0, _INFINITY)  # ReLU has no parameters
        return _add_function(builder, function, bounds=(low, high))
    if operation.weight:
        slopes = to_float64(operation.weight.tensor).reshape(-1)
        if (slopes != slopes[0]).any():
            value = builder.map()
            shape = builder.shape_of(value)
            return builder.add(ChannelSlope(node.name, (value.number,), shape, slopes))
        return _add_function(builder, function, float(slopes[0]))
    if name == "elu":
        return _add_elu(builder, *parameters)
    return _add_function(builder, function, parameters[0] if parameters else 0.0)


@lowers(Elementwise)
def _lower_elementwise(builder: Builder, node: Node, operation: Elementwise) -> Value:
    name, parameters = operation.function, operation.parameters
    if name in ARITHMETIC:
        return ARITHMETIC[name](builder, node, operation)
    if name not in FUNCTIONS or len(node.inputs) != 1:
        builder.refuse_by_name()
    if name == "celu":
        return _add_elu(builder, parameters[0], 1.0, 1 / parameters[0])
    if name == "softplus":
        return _add_softplus(builder, *parameters)
    if name == "threshold":
        return _add_threshold(builder, *parameters)
    return _add_function(builder, FUNCTIONS[name])


def _add_elu(builder: Builder, alpha: float, scale: float, input_scale: float) -> Value:
    """Add an ELU: of SELU it has a scale, of CELU one of its input as well."""
    inside = _times(builder, builder.pointwise_input(), input_scale)
    found = _apply(builder, inside, "elu", alpha * input_scale)
    return _times(builder, found, scale / input_scale)


def _add_softplus(builder: Builder, beta: float, threshold: float) -> Value:
    if threshold < _SOFTPLUS_IS_LINEAR:
        builder.refuse(f"softplus with threshold={threshold:g}", "the default of 20")
    inside = _times(builder, builder.pointwise_input(), beta)
    return _times(builder, _apply(builder, inside, "softplus"), 1 / beta)


def _add_threshold(builder: Builder, threshold: float, value: float) -> Value:
    if threshold != value:
        builder.refuse(
            f"a threshold of {threshold:g} with {value:g} below it",
            "nn.ReLU() or nn.Threshold with the same number for both",
        )
    return _add_function(builder, "clamp", bounds=(threshold, _INFINITY))


def _times(builder: Builder, value: Value, factor: float) -> Value:
    if factor == 1:
        return value
    return builder.add_scale(value, torch.tensor(factor, dtype=torch.float64), torch.zeros(()))


@lowers(TensorClamp)
def _lower_tensor_clamp(builder: Builder, node: Node, operation: TensorClamp) -> Value:
    low, high = (None if w is None else w.tensor for w in (operation.low, operation.high))
    if any(bound is not None and bound.numel() != 1 for bound in (low, high)):
        return clamp_by_numbers(builder, node, operation)
    bounds = (-_INFINITY if low is None else float(low), _INFINITY if high is None else float(high))
    return _add_function(builder, "clamp", bounds=bounds)


def _add_function(
    builder: Builder, function: FunctionName, parameter: float = 0.0, bounds: Clamp = UNBOUNDED
) -> Value:
    return _apply(builder, builder.pointwise_input(), function, parameter, bounds)


def _apply(
    builder: Builder,
    value: Value,
    function: FunctionName,
    parameter: float = 0.0,
    bounds: Clamp = UNBOUNDED,
) -> Value:
    shape, name = builder.shape_of(value), builder.node.name
    layer = ActivationLayer(name, (value.number,), shape, function, parameter, bounds)
    return builder.add_pointwise(value, layer)


@lowers(Dropout)
def _lower_dropout(builder: Builder, node: Node, operation: Dropout) -> Value:
    if operation.active and operation.rate:
        builder.refuse("dropout in evaluation mode", "F.dropout(x, training=self.training)")
    return builder.padded_value()


@lowers(Softmax)
def _lower_softmax(builder: Builder, node: Node, operation: Softmax) -> Value:
    if operation.dim and node.batched and math.prod(node.shape) > node.shape[0]:
        builder.refuse(
            "softmax of a feature map, before the net's end,",
            "a sigmoid, or a softmax of the logits (N, K) as the last layer",
        )
    if operation.dim != 1 or math.prod(node.shape) != node.shape[0] or not node.batched:
        builder.refuse("softmax over anything but the classes", "dim=1 of logits (N, K)")
    return builder.keep_map(softmax=operation.function)
