"""Operations on whole feature maps: pooling, sums, concatenation, reshaping and so on."""

from __future__ import annotations

import torch

from netlet.export.inference_graph import Concatenation as ConcatenationLayer
from netlet.export.inference_graph import Pooling as PoolingLayer
from netlet.export.inference_graph import Product, Sum
from netlet.export.lowering import Builder, Value, lowers, map_shape
from netlet.export.unsupported import SUPPORTED
from netlet.graph import Node, Weight
from netlet.graph.operations import (
    AdaptivePooling,
    Arithmetic,
    Concatenation,
    Elementwise,
    Padding,
    Pooling,
    PoolMode,
    Reduction,
    Reshape,
)
from netlet.text import format_shape

# Element-wise functions that are a scale, by their names in the vocabulary.
SCALES = {"neg": -1.0}


@lowers(Pooling)
def _lower_pooling(builder: Builder, node: Node, operation: Pooling) -> Value:
    if len(operation.window) != 2:
        builder.refuse_by_name()
    if set(operation.dilation) != {1}:
        builder.refuse("dilated pooling", "pooling without dilation")
    window = (operation.window[0], operation.window[1])
    stride = (operation.stride[0], operation.stride[1])
    padding = (operation.padding[0], operation.padding[1])
    if operation.divisor not in (None, window[0] * window[1]):
        builder.refuse("divisor_override", "mean pooling without it")
    value = builder.map()
    shape, size = map_shape(node.shape), builder.shape_of(value)[1:]
    counts = operation.mode == "mean" and operation.count_include_pad and padding != (0, 0)
    # With ceil_mode the last windows reach beyond the edge, as if there were more padding below
    # and to the right.
    over = [(shape[1 + i] - 1) * stride[i] + window[i] - size[i] - padding[i] for i in (0, 1)]
    if counts and any(over[i] > padding[i] for i in (0, 1)):
        builder.refuse("mean pooling with padding and ceil_mode", "count_include_pad=False")
    around = (*padding, max(padding[0], over[0]), max(padding[1], over[1]))
    return builder.add(
        PoolingLayer(
            node.name, (value.number,), shape, operation.mode, window, stride, around, counts
        )
    )


@lowers(AdaptivePooling)
def _lower_adaptive_pooling(builder: Builder, node: Node, operation: AdaptivePooling) -> Value:
    if len(operation.size) != 2:
        builder.refuse_by_name()
    value = builder.map()
    _, h, w = builder.shape_of(value)
    _, to_h, to_w = map_shape(node.shape)
    if h % to_h or w % to_w:
        builder.refuse(
            f"adaptive pooling from {h}x{w} to {to_h}x{to_w} (windows of several sizes)",
            "an output size that divides the input size",
        )
    return _add_tiling(builder, value, operation.mode, (h // to_h, w // to_w))


@lowers(Reduction)
def _lower_reduction(builder: Builder, node: Node, operation: Reduction) -> Value:
    modes: dict[str, PoolMode] = {"mean": "mean", "amax": "max"}
    if operation.function not in modes:
        builder.refuse_by_name()
    value, mode = builder.map(), modes[operation.function]
    c, h, w = builder.shape_of(value)
    # What the net's own dimensions are, the batch first. A map of one column may lack the last.
    axes = "NCHW" if len(value.dims) == 3 else "NCH" if w == 1 else "NCW"
    reduced = {axes[dim] for dim in operation.dims}
    if value.dims[:1] != (c,) or not reduced <= {"H", "W"}:
        builder.refuse(f"{mode} over anything but rows and columns", "x.mean((2, 3))")
    window = (h if "H" in reduced else 1, w if "W" in reduced else 1)
    return _add_tiling(builder, value, mode, window)


def _add_tiling(builder: Builder, value: Value, mode: PoolMode, window: tuple[int, int]) -> Value:
    """Add a pooling whose windows lie beside each other."""
    c, h, w = builder.shape_of(value)
    shape = (c, h // window[0], w // window[1])
    return builder.add(
        PoolingLayer(builder.node.name, (value.number,), shape, mode, window, window)
    )


@lowers(Reshape)
def _lower_reshape(builder: Builder, node: Node, operation: Reshape) -> Value:
    value = builder.value()
    shape = builder.shape_of(value)
    numbers = shape[0] * shape[1] * shape[2]
    # Dimensions of size 1 may come and go.
    same = [n for n in node.shape if n != 1] == [n for n in shape if n != 1]
    if not node.batched or not (same or node.shape in ((numbers,), (numbers, 1, 1))):
        after = format_shape(node.shape if node.batched else node.shape[1:])
        builder.refuse(
            f"{operation.function} from {format_shape(shape)} to {after}",
            "flattening of a whole feature map",
        )
    return builder.keep_map(softmax=value.softmax)


@lowers(Padding)
def _lower_padding(builder: Builder, node: Node, operation: Padding) -> Value:
    value = builder.padded_value()
    left, right, top, bottom = (*operation.sizes, 0, 0, 0, 0)[:4]
    if operation.value or any(operation.sizes[4:]) or len(value.dims) != 3:
        builder.refuse(
            "padding with anything but rows and columns of zeros", "F.pad(x, (1, 1, 1, 1))"
        )
    builder.check_not_reshaped(value)
    around = [b + n for b, n in zip(value.padding, (top, left, bottom, right), strict=True)]
    number = value.number
    if min(around) < 0:
        number = _add_crop(builder, value, [min(0, n) for n in around]).number
    top, left, bottom, right = (max(0, n) for n in around)
    return Value(number, node.shape, (top, left, bottom, right))


def _add_crop(builder: Builder, value: Value, edges: list[int]) -> Value:
    """Add a layer that leaves out rows and columns: their numbers are the negative padding."""
    top, left, bottom, right = edges
    c, h, w = builder.shape_of(value)
    shape = (c, h + top + bottom, w + left + right)
    if min(shape) < 1:
        builder.refuse("padding of a map of which nothing is left", "padding and no crop")
    padding = (top, left, bottom, right)
    layer = PoolingLayer(builder.node.name, (value.number,), shape, "max", (1, 1), padding=padding)
    return builder.add(layer)


@lowers(Concatenation)
def _lower_concatenation(builder: Builder, node: Node, operation: Concatenation) -> Value:
    if operation.dim != 1:
        builder.refuse("concatenation along anything but channels", "torch.cat(feature_maps, 1)")
    parts = [builder.value(position) for position in range(len(node.inputs))]
    shapes = [builder.shape_of(part) for part in parts]
    if len({shape[1:] for shape in shapes}) != 1:
        builder.refuse("concatenation of flattened feature maps", "torch.cat before flattening")
    shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return builder.add(ConcatenationLayer(node.name, tuple(p.number for p in parts), shape))


@lowers(Arithmetic)
def _lower_arithmetic(builder: Builder, node: Node, operation: Arithmetic) -> Value:
    if operation.constant is None:
        return _lower_two_maps(builder, node, operation)
    value = builder.value()
    constant = _channel_constant(builder, value, operation)
    if operation.function == "div" and operation.constant_first:
        builder.refuse("a number divided by a feature map", SUPPORTED)
    zero, one = torch.zeros(()), torch.ones(())
    if operation.function in ("mul", "div"):
        return builder.add_scale(
            value, constant if operation.function == "mul" else 1 / constant, zero
        )
    # The factor of the second operand.
    factor = operation.alpha if operation.function == "add" else -operation.alpha
    if operation.constant_first:
        return builder.add_scale(value, factor * one, constant)
    return builder.add_scale(value, one, factor * constant)


@lowers(Elementwise)
def _lower_elementwise(builder: Builder, node: Node, operation: Elementwise) -> Value:
    if operation.function not in SCALES:
        builder.refuse_by_name()
    scale = torch.tensor(SCALES[operation.function], dtype=torch.float64)
    return builder.add_scale(builder.value(), scale, torch.zeros(()))


def _lower_two_maps(builder: Builder, node: Node, operation: Arithmetic) -> Value:
    name = operation.function
    if name not in ("add", "mul") or operation.alpha != 1:
        builder.refuse(f"{name} of two feature maps", "their sum or product")
    maps = [builder.value(0), builder.value(1)]
    if builder.shape_of(maps[0])[1:] == (1, 1):
        maps.reverse()
    first, second = map(builder.shape_of, maps)
    if second not in (first, (first[0], 1, 1)) or first != map_shape(node.shape):
        builder.refuse(
            f"{name} of feature maps {format_shape(first)} and {format_shape(second)}",
            "feature maps of equal shape, or C 1 1 and C H W",
        )
    kind = Sum if name == "add" else Product
    return builder.add(kind(node.name, (maps[0].number, maps[1].number), first))


def _channel_constant(builder: Builder, value: Value, operation: Arithmetic) -> torch.Tensor:
    """Return a constant as one number, or one for each channel."""
    constant = operation.constant
    tensor = constant.tensor if isinstance(constant, Weight) else torch.as_tensor(constant)
    numbers = tensor.detach().double()
    if numbers.numel() == 1:
        return numbers.reshape(())
    channels, h, w = builder.shape_of(value)
    vector = numbers.dim() in (1, 2) and (h, w) == (1, 1) and numbers.numel() == channels
    aligned = (1,) * (4 - numbers.dim()) + tuple(numbers.shape)
    if not vector and aligned != (1, channels, 1, 1):
        builder.refuse(
            f"{operation.function} with a constant for each position",
            "a constant for each channel",
        )
    return numbers.reshape(-1)
