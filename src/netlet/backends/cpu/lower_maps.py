"""Operations on whole feature maps: pooling, sums, concatenation and reshaping."""

from __future__ import annotations

import dataclasses

import torch

from netlet.backends.cpu.lowering import Builder, Value, lowers
from netlet.backends.cpu.parts import maps
from netlet.backends.cpu.parts.base import IMAGE, MapShape
from netlet.backends.cpu.parts.pooling import Mode, Pool
from netlet.graph import Node, Weight
from netlet.graph.operations import (
    AdaptivePooling,
    Arithmetic,
    Concatenation,
    Pooling,
    Reduction,
    Reshape,
)
from netlet.text import format_shape


@lowers(Pooling)
def _lower_pooling(builder: Builder, node: Node, operation: Pooling) -> Value:
    if len(operation.window) != 2:
        builder.refuse("is not supported")
    value = builder.whole_map()
    plain = (operation.padding, operation.dilation) == ((0, 0), (1, 1)) and not operation.ceil_mode
    if operation.mode == "max" and _reads_only_padding(operation, value.shape, node):
        builder.refuse("has windows without an element")
    stage = builder.open_stage(value)
    shape = MapShape(*node.shape)
    if (
        stage
        and not stage.pool
        and plain
        and operation.mode == "max"
        and operation.window == operation.stride == (2, 2)
    ):
        return builder.extend(value, dataclasses.replace(stage, pool=True, shape=shape))
    part = Pool(
        (value.part,),
        shape,
        mode=operation.mode,
        size=(value.shape.h, value.shape.w),
        window=(operation.window[0], operation.window[1]),
        stride=(operation.stride[0], operation.stride[1]),
        padding=(operation.padding[0], operation.padding[1]),
        dilation=(operation.dilation[0], operation.dilation[1]),
        ceil_mode=operation.ceil_mode,
        include_pad=operation.count_include_pad,
        divisor=operation.divisor,
    )
    return builder.result(part)


def _reads_only_padding(operation: Pooling, source: MapShape, node: Node) -> bool:
    """Return whether a window of a pooling lies beside the map, which can be if it is dilated."""
    for axis, size in enumerate((source.h, source.w)):
        window, dilation = operation.window[axis], operation.dilation[axis]
        for i in range(node.shape[axis + 1]):
            first = i * operation.stride[axis] - operation.padding[axis]
            if not any(0 <= first + t * dilation < size for t in range(window)):
                return True
    return False


@lowers(AdaptivePooling)
def _lower_adaptive_pooling(builder: Builder, node: Node, operation: AdaptivePooling) -> Value:
    if len(operation.size) != 2:
        builder.refuse("is not supported")
    value = builder.whole_map()
    size, shape = (value.shape.h, value.shape.w), MapShape(*node.shape)
    if (shape.h, shape.w) == (1, 1):
        return builder.result(_window_of(value, operation.mode, size))
    part = Pool((value.part,), shape, mode=operation.mode, size=size, adaptive=True)
    return builder.result(part)


@lowers(Reduction)
def _lower_reduction(builder: Builder, node: Node, operation: Reduction) -> Value:
    modes: dict[str, Mode] = {"mean": "mean", "sum": "mean", "amax": "amax", "max": "max"}
    value = builder.map()
    axes = value.axes()
    if 0 in operation.dims or operation.function not in modes:
        builder.refuse("is not supported")
    reduced = set("".join(axes[dim - 1] for dim in operation.dims))
    if not reduced <= {"H", "W"}:
        builder.refuse("reduces dimensions other than height and width")
    size = (
        value.shape.h if "H" in reduced else 1,
        value.shape.w if "W" in reduced else 1,
    )
    divisor = 1 if operation.function == "sum" else None
    return builder.result(_window_of(value, modes[operation.function], size, divisor))


def _window_of(
    value: Value, mode: Mode, window: tuple[int, int], divisor: int | None = None
) -> Pool:
    """Return the pooling of windows beside each other."""
    shape = value.shape
    return Pool(
        (value.part,),
        MapShape(shape.channels, shape.h // window[0], shape.w // window[1]),
        mode=mode,
        size=(shape.h, shape.w),
        window=window,
        stride=window,
        divisor=divisor,
    )


@lowers(Reshape)
def _lower_reshape(builder: Builder, node: Node, operation: Reshape) -> Value:
    value = builder.value()
    shape = value.shape
    own = (shape.channels, shape.h, shape.w)
    flat = (shape.channels * shape.h * shape.w,)
    # Height and width may be joined, or left out if they are 1.
    squeezed = (own, own[:2] if shape.w == 1 else own, own[:1] + own[2:] if shape.h == 1 else own)
    rows_joined = (shape.channels, shape.h * shape.w)
    if node.shape not in (*squeezed, flat, rows_joined):
        given, asked = format_shape(value.dims), format_shape(node.shape)
        builder.refuse(f"makes {asked} of {given}, and only flattening is supported")
    return dataclasses.replace(value, dims=tuple(node.shape))


@lowers(Concatenation)
def _lower_concatenation(builder: Builder, node: Node, operation: Concatenation) -> Value:
    values = [builder.map(position) for position in range(len(node.inputs))]
    sizes = {(value.shape.h, value.shape.w) for value in values}
    if operation.dim != 1 or len(sizes) != 1 or any(value.flat for value in values):
        builder.refuse("does not join channels of maps of one size")
    (size,) = sizes
    shapes = tuple(value.shape for value in values)
    shape = MapShape(sum(s.channels for s in shapes), *size)
    inputs = tuple(value.part for value in values)
    return builder.result(maps.Concatenation(inputs, shape, parts=shapes))


@lowers(Arithmetic)
def _lower_arithmetic(builder: Builder, node: Node, operation: Arithmetic) -> Value:
    if operation.constant is not None:
        return _lower_constant(builder, node, operation)
    one, other = builder.map(0), builder.map(1)
    if operation.function == "div":
        builder.refuse("divides by a map")
    if operation.function in ("add", "sub"):
        factor = operation.alpha if operation.function == "add" else -operation.alpha
        if factor != 1:
            scale = (factor,) * other.shape.channels
            shift = (0.0,) * other.shape.channels
            affine = maps.Affine((other.part,), other.shape, scale=scale, shift=shift)
            other = dataclasses.replace(other, part=builder.add(affine))
    if one.shape.h * one.shape.w < other.shape.h * other.shape.w:
        one, other = other, one
    broadcast = other.shape != one.shape
    if broadcast and (other.shape != MapShape(one.shape.channels) or one.flat):
        builder.refuse("combines maps of different shapes")
    if tuple(node.shape) != one.dims:
        builder.refuse("combines maps in an unusual way")
    kind = maps.Product if operation.function == "mul" else maps.Sum
    return builder.result(kind((one.part, other.part), one.shape, broadcast=broadcast))


def _lower_constant(builder: Builder, node: Node, operation: Arithmetic) -> Value:
    """Lower arithmetic of a value and a constant."""
    value = builder.value()
    channels = value.shape.channels
    constant = _channel_constants(builder, operation.constant, value)
    scale, shift = [1.0] * channels, [0.0] * channels
    if operation.function == "mul":
        scale = constant
    elif operation.function == "div":
        if operation.constant_first:
            builder.refuse("divides by a map")
        scale = [1 / number for number in constant]
    else:
        sign = 1.0 if operation.function == "add" else -1.0
        factor = sign * operation.alpha  # of the second operand
        if operation.constant_first:
            scale, shift = [factor] * channels, constant
        else:
            shift = [factor * number for number in constant]
    if value.part == IMAGE:
        # Later operations on the images combine with earlier ones.
        pairs = zip(value.scale, value.shift, scale, shift, strict=True)
        combined = [(a * c, b * c + d) for a, b, c, d in pairs]
        return dataclasses.replace(
            value,
            dims=tuple(node.shape),
            scale=tuple(a for a, _ in combined),
            shift=tuple(b for _, b in combined),
        )
    part = maps.Affine((value.part,), value.shape, scale=tuple(scale), shift=tuple(shift))
    return builder.result(part)


def _channel_constants(
    builder: Builder, constant: Weight | float | None, value: Value
) -> list[float]:
    """Return a constant's number for each channel."""
    channels = value.shape.channels
    if not isinstance(constant, Weight):
        return [float(constant or 0)] * channels
    source = constant.name or constant.source
    if source and isinstance(builder.tensors[source], torch.nn.Parameter):
        builder.refuse("combines a map with a parameter")
    if source in builder.statistics:
        builder.refuse("combines a map with running statistics")
    tensor = constant.tensor.detach().double()
    if tensor.numel() == 1:
        return [float(tensor)] * channels
    aligned = tensor.reshape((1,) * (len(value.dims) + 1 - tensor.dim()) + tuple(tensor.shape))
    expected = (1, channels, *(1,) * (len(value.dims) - 1))
    if value.flat or tuple(aligned.shape) != expected:
        builder.refuse("has a constant for each position")
    return [float(number) for number in aligned.flatten()]
