"""Norms of each image by itself, as layers of an inference graph."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from netlet.export.lower_arithmetic import add, multiply
from netlet.export.lowering import Builder, Value, lowers, to_float64
from netlet.export.map_layers import Normalization
from netlet.graph import Node, Weight
from netlet.graph.operations import BatchNorm
from netlet.graph.rare_operations import OtherNorm


@lowers(OtherNorm)
def _lower_norm(builder: Builder, node: Node, operation: OtherNorm) -> Value:
    if not node.batched or 0 in operation.dims:
        builder.refuse(f"{operation.function} over the images", "a norm of each image")
    if operation.function not in ("group_norm", "layer_norm"):
        builder.refuse("RMSNorm", "nn.LayerNorm or nn.BatchNorm2d")
    axes = tuple(dim - 1 for dim in operation.dims)
    if not axes:  # a group norm
        return _add_group_norm(builder, operation.groups, operation)
    value = builder.padded_value()
    if axes == tuple(range(len(value.dims))):
        return _add_group_norm(builder, 1, operation)
    # What is normalized becomes the channels, all else the pixels.
    sizes = [value.dims[axis] for axis in axes]
    first = np.moveaxis(builder.places(value), axes, range(len(axes)))
    kept = first.shape[len(axes) :]
    shape = (math.prod(sizes), math.prod(kept), 1)
    source = builder.rearranged(value, first.reshape(shape))
    layer = Normalization(node.name, (source.number,), shape, 1, per_pixel=True, eps=operation.eps)
    order = np.arange(math.prod(shape)).reshape(first.shape)
    places = np.moveaxis(order, range(len(axes)), axes)
    found = dataclasses.replace(builder.add(layer), places=places, name=node.name)
    return _scale_and_shift(builder, found, operation.weight, operation.bias, ())


def _add_group_norm(builder: Builder, groups: int, operation: OtherNorm) -> Value:
    value = builder.map()
    shape = builder.shape_of(value)
    layer = Normalization(
        builder.node.name, (value.number,), shape, groups, per_pixel=False, eps=operation.eps
    )
    # A group norm has weights for each channel, a layer norm for each element.
    ones = (1,) * (len(value.dims) - 1) if not operation.dims else ()
    return _scale_and_shift(builder, builder.add(layer), operation.weight, operation.bias, ones)


def add_instance_norm(builder: Builder, node: Node, operation: BatchNorm) -> Value:
    """Add the instance norm that a batch norm of single maps is.

    Args:
        builder: The graph so far.
        node: Of a batch norm whose channels are those of all images.
        operation: The norm; its weights are repeated for each image.
    """
    value = builder.map()
    shape = builder.shape_of(value)
    layer = Normalization(
        node.name, (value.number,), shape, shape[0], per_pixel=False, eps=operation.eps
    )
    ones = (1,) * (len(value.dims) - 1)
    return _scale_and_shift(builder, builder.add(layer), operation.weight, operation.bias, ones)


def _scale_and_shift(
    builder: Builder,
    value: Value,
    weight: Weight | None,
    bias: Weight | None,
    ones: tuple[int, ...],
) -> Value:
    """Apply the weights of a norm, which have these dimensions of size 1 in addition."""
    for numbers, function in ((weight, multiply), (bias, add)):
        if numbers is not None:
            factors = to_float64(numbers.tensor)
            if ones:
                factors = factors[: value.dims[0]].reshape(-1, *ones)
            value = function(builder, value, factors)
    return value
