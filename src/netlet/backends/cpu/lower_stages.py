"""Convolutions and linear layers become stages; what directly follows becomes a part of them."""

from __future__ import annotations

import dataclasses

import torch

from netlet.backends.cpu.lowering import Builder, Value, lowers
from netlet.backends.cpu.parts import maps
from netlet.backends.cpu.parts.base import IMAGE, MapShape, Tensors
from netlet.backends.cpu.parts.functions import FUNCTIONS
from netlet.backends.cpu.parts.functions import Elementwise as FunctionPart
from netlet.backends.cpu.parts.maps import Images, Pad
from netlet.backends.cpu.parts.stage import Stage
from netlet.backends.cpu.parts.transpose import Transpose
from netlet.graph import Node
from netlet.graph.operations import (
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
)

_MAX_CHANNELS_OF_GROUPS = 512  # groups are computed as one convolution with zeros


@lowers(Convolution)
def _lower_convolution(builder: Builder, node: Node, operation: Convolution) -> Value:
    if operation.transposed or len(operation.stride) != 2:
        builder.refuse("is not supported")
    value = builder.value()
    if value.flat or len(value.dims) != 3:
        builder.refuse("reads a flattened map")
    if operation.weight.tiled and _is_weighted_pooling(builder, operation, value):
        return _lower_weighted_pooling(builder, operation)
    kernel = tuple(operation.weight.tensor.shape[2:])
    (down, right), (pad_h, pad_w) = operation.dilation, operation.padding
    window = ((kernel[0] - 1) * down + 1, (kernel[1] - 1) * right + 1)
    value, padding = _take_padding(builder, value, (pad_h, pad_w, pad_h, pad_w), window)
    if any(p > window[i % 2] - 1 for i, p in enumerate(padding)):
        value, padding = _pad(builder, value, padding), (0, 0, 0, 0)
    if operation.groups > 1 and value.shape.channels > _MAX_CHANNELS_OF_GROUPS:
        builder.refuse("has groups of too many channels")
    stage = Stage(
        (value.part,),
        MapShape(*node.shape),
        Tensors(_kernels(builder, operation), builder.parameter(operation.bias)),
        source=value.shape,
        taps=(kernel[0], kernel[1]),
        stride=(operation.stride[0], operation.stride[1]),
        padding=padding,
        dilation=(down, right),
        groups=operation.groups,
        scale=_unless_identity(value, value.scale),
        shift=_unless_identity(value, value.shift),
    )
    return builder.result(stage)


def _kernels(builder: Builder, operation: Convolution) -> torch.Tensor | None:
    """Return the weights; if the channels of a depthwise convolution share kernels, these."""
    weight = operation.weight
    kernels = builder.tensors.get(weight.source)
    channels = len(weight.tensor)
    if weight.tiled and operation.groups == channels and isinstance(kernels, torch.nn.Parameter):
        return kernels
    return builder.parameter(weight)


def _is_weighted_pooling(builder: Builder, operation: Convolution, value: Value) -> bool:
    """Return whether a window covers the map, and all channels have the same weights."""
    own, shape = builder.tensors.get(operation.weight.source), value.shape
    window = (shape.h, shape.w)
    if own is None or own.numel() != shape.h * shape.w or own.shape[-2:] != window:
        return False
    whole = operation.weight.tensor.shape == (shape.channels, 1, *window)
    plain = operation.bias is None and not any(operation.padding)
    return whole and plain and operation.groups == shape.channels


def _lower_weighted_pooling(builder: Builder, operation: Convolution) -> Value:
    """Lower such a convolution to one whose input channels are the places of the map."""
    weight = builder.tensors[operation.weight.source]
    if not isinstance(weight, torch.nn.Parameter):
        builder.refuse("has weights that are not trained")
    value = builder.map()
    places = Transpose.of(value.part, value.shape)
    sums = MapShape(1, value.shape.channels)
    stage = Stage((builder.add(places),), sums, Tensors(weight), source=places.shape)
    return builder.result(Transpose.of(builder.add(stage), sums))


def _unless_identity(value: Value, numbers: tuple[float, ...]) -> tuple[float, ...] | None:
    same = set(value.scale) == {1.0} and set(value.shift) == {0.0}
    return None if value.part != IMAGE or same else numbers


def _take_padding(
    builder: Builder, value: Value, own: tuple[int, int, int, int], window: tuple[int, int]
) -> tuple[Value, tuple[int, int, int, int]]:
    """Let a convolution do the padding of the part before it, if it can.

    Returns:
        What the convolution reads, and its padding: above, left, below, right.
    """
    part = builder.parts[value.part] if value.part != IMAGE else None
    if not isinstance(part, Pad) or not value.exclusive:
        return value, own
    bottom = part.shape.h - part.source.h - part.top
    right = part.shape.w - part.source.w - part.left
    around = (part.top, part.left, bottom, right)
    whole = (own[0] + around[0], own[1] + around[1], own[2] + bottom, own[3] + right)
    if min(around) < 0 or any(p > window[i % 2] - 1 for i, p in enumerate(whole)):
        return value, own
    if builder.pop(Pad, value) is None:
        return value, own
    source = Value(part.inputs[0], part.source, value.dims)
    images = builder.parts[source.part]
    if isinstance(images, Images) and builder.pop(Images, source):
        source = dataclasses.replace(source, part=IMAGE, scale=images.scale, shift=images.shift)
    return source, whole


def _pad(builder: Builder, value: Value, padding: tuple[int, int, int, int]) -> Value:
    """Pad a value by a part of its own, since the convolution cannot."""
    if value.part == IMAGE:
        images = Images((IMAGE,), value.shape, scale=value.scale, shift=value.shift)
        value = dataclasses.replace(value, part=builder.add(images))
    top, left, bottom, right = padding
    source = value.shape
    shape = MapShape(source.channels, source.h + top + bottom, source.w + left + right)
    part = Pad((value.part,), shape, source=source, top=top, left=left)
    return Value(builder.add(part), shape, (shape.channels, shape.h, shape.w))


@lowers(Linear)
def _lower_linear(builder: Builder, node: Node, operation: Linear) -> Value:
    value = builder.map()
    if not value.flat and len(value.dims) != 1:
        builder.refuse("reads one dimension of several")
    tensors = Tensors(builder.parameter(operation.weight), builder.parameter(operation.bias))
    shape = MapShape(node.shape[0])
    stage = Stage((value.part,), shape, tensors, source=value.shape, linear=True)
    return builder.result(stage)


@lowers(BatchNorm)
def _lower_batch_norm(builder: Builder, node: Node, operation: BatchNorm) -> Value:
    if operation.mean is None or operation.var is None:
        builder.refuse("lacks running statistics")
    if not operation.by_batch:
        builder.refuse("normalizes by running statistics in training, too")
    value = builder.map()
    if value.flat:
        builder.refuse("is of a flattened map")
    own = Tensors(
        gamma=builder.parameter(operation.weight),
        beta=builder.parameter(operation.bias),
        mean=builder.tensor(operation.mean),
        var=builder.tensor(operation.var),
        epsilon=operation.eps,
        momentum=operation.momentum,
    )
    stage = builder.open_stage(value)
    if stage and not (stage.norm or stage.dropout or stage.pool or stage.relu):
        tensors = dataclasses.replace(own, weight=stage.tensors.weight, bias=stage.tensors.bias)
        return builder.extend(value, dataclasses.replace(stage, norm=True, tensors=tensors))
    return builder.result(maps.Norm((value.part,), value.shape, own))


@lowers(Activation, Elementwise)
def _lower_activation(builder: Builder, node: Node, operation: Activation | Elementwise) -> Value:
    name, parameters = operation.function, operation.parameters
    # At 0, where the gradient of a ReLU is 0, that of a clamp is 1.
    if name == "hardtanh" and parameters == (0.0, float("inf")):
        name, parameters = "relu", ()
    if name not in FUNCTIONS or len(node.inputs) != 1 or name == "prelu":
        builder.refuse("is not supported")
    if name == "pow" and parameters != (2.0,):
        builder.refuse("has an exponent other than 2")
    value = builder.map()
    stage = builder.open_stage(value)
    if stage and name == "relu":
        if stage.relu or (stage.relu_first and not stage.norm):
            return dataclasses.replace(value, dims=tuple(node.shape))  # a second one does nothing
        first = not (stage.norm or stage.pool or stage.dropout)
        # A ReLU after a pooling may as well come before it.
        change = {"relu_first": True} if first else {"relu": True}
        return builder.extend(value, dataclasses.replace(stage, **change))  # type: ignore[arg-type]
    part = FunctionPart((value.part,), value.shape, function=name, parameters=parameters)
    return builder.result(part)


@lowers(Dropout)
def _lower_dropout(builder: Builder, node: Node, operation: Dropout) -> Value:
    value = builder.value()
    if not operation.active or not operation.rate:
        return dataclasses.replace(value, dims=tuple(node.shape))
    if "alpha" in operation.function or operation.rate >= 1:
        builder.refuse("is not supported" if operation.rate < 1 else "has a rate of 1")
    value = builder.map()
    if (operation.function, len(value.dims)) in (("dropout1d", 1), ("dropout3d", 3)):
        builder.refuse("takes the images of a batch for channels")
    channelwise = operation.function != "dropout" and len(value.dims) > 1
    stage = builder.open_stage(value)
    if stage and not (channelwise or stage.pool or stage.dropout):
        return builder.extend(value, dataclasses.replace(stage, dropout=operation.rate))
    part = maps.Dropout((value.part,), value.shape, dropout=operation.rate, channelwise=channelwise)
    return builder.result(part)
