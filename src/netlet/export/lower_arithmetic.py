"""Sums, products and other arithmetic of feature maps and constants, as layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from netlet.export.inference_graph import UNBOUNDED, Clamp, Floats, Product, Sum
from netlet.export.inference_graph import Activation as ActivationLayer
from netlet.export.lowering import Builder, Value, default_shape, lowers, to_float64
from netlet.export.unsupported import SUPPORTED
from netlet.graph import Node, Weight
from netlet.graph.operations import Arithmetic, Elementwise, TensorClamp
from netlet.graph.rare_operations import GatedHalf
from netlet.text import format_shape

_POSITIVE: Clamp = (0.0, float("inf"))
_LARGEST_POWER = 8


@lowers(Arithmetic)
def _lower_arithmetic(builder: Builder, node: Node, operation: Arithmetic) -> Value:
    name, constant = operation.function, operation.constant
    if constant is None:
        values = _of_one_shape(builder, node)
        if name == "div":
            builder.refuse("a feature map divided by another", "their product")
        factor = operation.alpha if name == "add" else -operation.alpha
        if name != "mul" and factor != 1:
            values[1] = _scaled(builder, values[1], factor)
        return _combine(builder, Product if name == "mul" else Sum, values)
    if name == "div" and operation.constant_first:
        builder.refuse("a number divided by a feature map", SUPPORTED)
    numbers = to_float64(
        constant.tensor if isinstance(constant, Weight) else torch.as_tensor(constant)
    )
    value = _widened(builder, node)
    if name in ("mul", "div"):
        return multiply(builder, value, numbers if name == "mul" else 1 / numbers)
    # The factor of the second operand.
    factor = operation.alpha if name == "add" else -operation.alpha
    if operation.constant_first:
        return add(builder, value, numbers, factor)
    return add(builder, value, factor * numbers)


def _add_negative(builder: Builder, node: Node, operation: Elementwise) -> Value:
    return _scaled(builder, builder.pointwise_input(), -1.0)


def _add_maximum(builder: Builder, node: Node, operation: Elementwise) -> Value:
    """Add the larger of two maps, ``a + relu(b - a)``."""
    first, second = _two_maps(builder, node)
    more = _combine(builder, Sum, [second, _scaled(builder, first, -1.0)], _POSITIVE)
    return _combine(builder, Sum, [first, more])


def _add_minimum(builder: Builder, node: Node, operation: Elementwise) -> Value:
    """Add the smaller of two maps, ``a - relu(a - b)``."""
    first, second = _two_maps(builder, node)
    more = _combine(builder, Sum, [first, _scaled(builder, second, -1.0)], _POSITIVE)
    return _combine(builder, Sum, [first, _scaled(builder, more, -1.0)])


def _add_power(builder: Builder, node: Node, operation: Elementwise) -> Value:
    """Add a power of a feature map: products of it."""
    exponent = (*operation.parameters, 0.0)[0]
    if exponent != int(exponent) or not 1 <= exponent <= _LARGEST_POWER:
        builder.refuse(
            f"a power with the exponent {exponent:g}",
            f"whole exponents from 1 to {_LARGEST_POWER}",
        )
    base = value = builder.pointwise_input()
    for _ in range(int(exponent) - 1):
        value = _combine(builder, Product, [value, base])
    return dataclasses.replace(value, dims=node.shape)


# Element-wise functions that are sums and products, by their names in the vocabulary.
ARITHMETIC: dict[str, Callable[[Builder, Node, Elementwise], Value]] = {
    "maximum": _add_maximum,
    "minimum": _add_minimum,
    "neg": _add_negative,
    "pow": _add_power,
}


@lowers(GatedHalf)
def _lower_gated_half(builder: Builder, node: Node, operation: GatedHalf) -> Value:
    if operation.dim == 0 or not node.batched:
        builder.refuse("glu of the batch", "nn.GLU(1)")
    value = builder.padded_value()
    halves = np.split(builder.places(value), 2, operation.dim - 1)
    shape = default_shape(node.shape)
    first, second = (builder.rearranged(value, half.reshape(shape)) for half in halves)
    layer = ActivationLayer(node.name, (second.number,), shape, "sigmoid")
    return _combine(builder, Product, [first, builder.add(layer)])


def clamp_by_numbers(builder: Builder, node: Node, operation: TensorClamp) -> Value:
    """Add a clamp whose bounds are tensors of several numbers."""
    value = _widened(builder, node)
    for bound, sign in ((operation.low, 1.0), (operation.high, -1.0)):
        if bound is not None:  # bound + sign * relu(sign * (x - bound))
            numbers = to_float64(bound.tensor)
            above = add(builder, value, -sign * numbers, sign)
            shape = builder.shape_of(above)
            layer = ActivationLayer(node.name, (above.number,), shape, "clamp", 0.0, _POSITIVE)
            value = add(builder, builder.add_pointwise(above, layer), numbers, sign)
    return value


def multiply(builder: Builder, value: Value, numbers: Floats) -> Value:
    """Multiply a value with constants.

    Args:
        builder: The graph so far.
        value: The value; the constants have its shape, or are broadcast to it.
        numbers: The constants.
    """
    numbers = _in_map(builder, value, numbers)
    if _is_by_channel(numbers):
        return builder.add_scale(value, _by_channel(numbers), torch.zeros(()))
    return _combine(builder, Product, [value, builder.add_constant(numbers)])


def add(builder: Builder, value: Value, numbers: Floats, factor: float = 1.0) -> Value:
    """Add constants to a value times a factor.

    Args:
        builder: The graph so far.
        value: The value; the constants have its shape, or are broadcast to it.
        numbers: The constants.
        factor: The factor of the value.
    """
    numbers = _in_map(builder, value, numbers)
    one = torch.tensor(factor, dtype=torch.float64)
    if _is_by_channel(numbers):
        return builder.add_scale(value, one, _by_channel(numbers))
    if factor != 1:
        value = builder.add_scale(value, one, torch.zeros(()))
    return _combine(builder, Sum, [value, builder.add_constant(numbers)])


def _in_map(builder: Builder, value: Value, numbers: Floats) -> Floats:
    """Return constants for each element of the feature map that holds a value, ``C H W``."""
    shape = builder.shape_of(value)
    if numbers.ndim > len(value.dims):
        if not (numbers == numbers[:1]).all():
            builder.refuse("a constant for each image", "one that all images share")
        numbers = numbers[0]
    whole = np.broadcast_to(numbers, value.dims)
    found = np.empty(whole.size)
    found[builder.places(value).reshape(-1)] = whole.reshape(-1)
    return found.reshape(shape)


def _is_by_channel(numbers: Floats) -> bool:
    return bool((numbers == numbers[:, :1, :1]).all())


def _by_channel(numbers: Floats) -> torch.Tensor:
    return torch.from_numpy(numbers[:, 0, 0].copy())


def _scaled(builder: Builder, value: Value, factor: float) -> Value:
    dims = value.dims
    scaled = builder.add_scale(value, torch.tensor(factor, dtype=torch.float64), torch.zeros(()))
    return dataclasses.replace(scaled, dims=dims)


def _widened(builder: Builder, node: Node) -> Value:
    """Return the first input, repeated where the constants are larger than it."""
    value = builder.pointwise_input()
    if value.dims == node.shape:
        return value
    return _expanded(builder, value, node)


def _expanded(builder: Builder, value: Value, node: Node) -> Value:
    if not node.batched or len(value.dims) != len(node.shape):
        builder.refuse(
            f"{node.operation.name} of {format_shape(value.dims)} and another number of dimensions",
            "feature maps and constants with dimensions of size 1 in place of those left out",
        )
    places = np.broadcast_to(builder.places(value), node.shape)
    shape = default_shape(node.shape)
    return dataclasses.replace(builder.rearranged(value, places.reshape(shape)), dims=node.shape)


def _two_maps(builder: Builder, node: Node) -> list[Value]:
    if len(node.inputs) != 2:
        builder.refuse(
            f"{node.operation.name} of a feature map and a constant tensor", "clamp or two maps"
        )
    values = _of_one_shape(builder, node)
    return [
        value if value.dims == node.shape else _expanded(builder, value, node) for value in values
    ]


def _of_one_shape(builder: Builder, node: Node) -> list[Value]:
    """Return both inputs with the same shape; the second may be ``C 1 1`` and is then broadcast."""
    values = [builder.pointwise_input(0), builder.pointwise_input(1)]
    if not _are_alike(values):
        values = [builder.value(0), builder.value(1)]
    shapes = [builder.shape_of(value) for value in values]
    alike = values[0].dims == values[1].dims and shapes[0] == shapes[1]
    if alike:
        return values
    whole = default_shape(node.shape)
    by_channel = (whole[0], 1, 1)
    if set(shapes) == {whole, by_channel} and len(values[0].dims) == len(values[1].dims):
        return values
    return [
        value
        if builder.shape_of(value) == whole and value.dims == node.shape
        else _expanded(builder, value, node)
        for value in values
    ]


def _are_alike(values: list[Value]) -> bool:
    """Return whether two values have their elements at the same places."""
    first, second = (value.places for value in values)
    if first is None or second is None:
        return first is second
    return first.shape == second.shape and bool((first == second).all())


def _combine(
    builder: Builder, kind: type[Sum] | type[Product], values: list[Value], clamp: Clamp = UNBOUNDED
) -> Value:
    """Add the sum or product of two values whose feature maps go together."""
    if builder.shape_of(values[0])[1:] == (1, 1):
        values = values[::-1]
    numbers = (values[0].number, values[1].number)
    shape, name = builder.shape_of(values[0]), builder.node.name
    layer = kind(name, numbers, shape)
    if isinstance(layer, Sum):
        layer = dataclasses.replace(layer, clamp=clamp)
    return builder.add_pointwise(values[0], layer)
