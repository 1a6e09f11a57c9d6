"""Operations that put elements in other places, as layers of an inference graph."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from netlet.export.inference_graph import Concatenation as ConcatenationLayer
from netlet.export.inference_graph import Pooling as PoolingLayer
from netlet.export.lowering import Builder, Value, default_shape, lowers
from netlet.export.map_layers import Places
from netlet.graph import Node
from netlet.graph.operations import Concatenation, Padding, Permutation, Reshape, Slice
from netlet.graph.rare_operations import EdgePadding, Rearrangement, Stack
from netlet.graph.tracer import BATCH
from netlet.text import format_shape


@lowers(Reshape)
def _lower_reshape(builder: Builder, node: Node, operation: Reshape) -> Value:
    value = builder.padded_value()
    if not node.batched and node.shape == (1, BATCH * value.dims[0], *value.dims[1:]):
        return dataclasses.replace(value, batch_in="channels")  # as instance norms do it
    rows, left = divmod(node.shape[0] if node.shape else 0, BATCH)
    inside = not node.batched and not left
    dims = (rows, *node.shape[1:]) if inside else node.shape
    if not (node.batched or inside) or math.prod(dims) != math.prod(value.dims):
        after = format_shape(node.shape if node.batched else node.shape[1:])
        builder.refuse(
            f"{operation.function} from {format_shape(value.dims)} to {after}",
            "one that leaves the batch its own dimension",
        )
    if value.places is not None and not builder.is_permuted(value) and len(value.dims) <= 3:
        value = builder.value()  # what is left of a slice keeps its shape, and is often flattened
    builder.node = dataclasses.replace(node, shape=dims)
    return builder.keep_map(softmax=value.softmax, batch_in="rows" if inside else "")


@lowers(Slice)
def _lower_slice(builder: Builder, node: Node, operation: Slice) -> Value:
    axis = operation.dim - 1
    _check_batch(builder, node, axis >= 0)
    taken = np.arange(operation.length) * operation.step + operation.start
    return builder.move(lambda places: places.take(taken, axis))


@lowers(Permutation)
def _lower_permutation(builder: Builder, node: Node, operation: Permutation) -> Value:
    _check_batch(builder, node, operation.order[0] == 0)
    order = [dim - 1 for dim in operation.order[1:]]
    return builder.move(lambda places: places.transpose(order))


@lowers(Rearrangement)
def _lower_rearrangement(builder: Builder, node: Node, operation: Rearrangement) -> Value:
    source, dims = operation.source, builder.padded_value().dims
    elements = math.prod(dims)
    images = len(source) if source.ndim else 0
    apart = np.arange(images).reshape(-1, *(1,) * (source.ndim - 1)) * elements
    alike = images > 1 and np.array_equal(source, source[:1] + apart)
    if len(node.inputs) != 1 or bool((source < 0).any()):
        builder.refuse(f"{operation.function} with constants", "torch.cat of feature maps")
    _check_batch(builder, node, alike)
    return builder.move(lambda places: places.reshape(-1)[source[0]])


@lowers(EdgePadding)
def _lower_edge_padding(builder: Builder, node: Node, operation: EdgePadding) -> Value:
    if min(operation.sizes) < 0:
        kind = operation.function.partition("_")[0]
        builder.refuse(f"{kind} padding that cuts off elements", "a slice after it")
    return builder.move(lambda places: _pad(places, operation.sizes, operation.numpy_mode))


def _check_batch(builder: Builder, node: Node, keeps_images: bool) -> None:
    if not node.batched or not keeps_images:
        builder.refuse(
            f"{node.operation.name} across the images of a batch",
            "operations that keep the images apart (attention and recurrent layers cannot be "
            "exported)",
        )


def _pad(places: Places, sizes: tuple[int, ...], mode: str) -> Places:
    pairs = list(zip(sizes[::2], sizes[1::2], strict=True))
    around = [(0, 0)] * (places.ndim - len(pairs)) + pairs[::-1]
    if mode != "constant":
        return np.pad(places, around, mode=mode)  # type: ignore[call-overload, no-any-return]
    cut = tuple(
        slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(places.shape, around, strict=True)
    )
    more = [(max(0, a), max(0, b)) for a, b in around]
    return np.pad(places[cut], more, constant_values=-1)


@lowers(Padding)
def _lower_padding(builder: Builder, node: Node, operation: Padding) -> Value:
    value = builder.padded_value()
    left, right, top, bottom = (*operation.sizes, 0, 0, 0, 0)[:4]
    around = [b + n for b, n in zip(value.padding, (top, left, bottom, right), strict=True)]
    zeros = not operation.value and not any(operation.sizes[4:]) and len(value.dims) == 3
    if not zeros or not builder.is_plain(value):
        if len(operation.sizes) > 2 * len(value.dims):
            builder.refuse("padding of the batch", "padding of rows and columns")
        return builder.move(lambda at: _pad(at, operation.sizes, "constant"), operation.value)
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
    axis = operation.dim - 1
    _check_batch(builder, node, axis >= 0)
    positions = range(len(node.inputs))
    if axis == 0 and len(node.shape) <= 3:
        parts = [builder.value(position) for position in positions]
        if len({builder.shape_of(part)[1:] for part in parts}) > 1:
            parts = [builder.map(position) for position in positions]
        return _join(builder, parts)
    values = [builder.padded_value(position) for position in positions]
    return _join_along(builder, values, [builder.places(value) for value in values], axis)


@lowers(Stack)
def _lower_stack(builder: Builder, node: Node, operation: Stack) -> Value:
    axis = operation.dim - 1
    _check_batch(builder, node, axis >= 0)
    values = [builder.padded_value(position) for position in range(len(node.inputs))]
    places = [np.expand_dims(builder.places(value), axis) for value in values]
    return _join_along(builder, values, places, axis)


def _join(builder: Builder, parts: list[Value]) -> Value:
    """Join feature maps along their channels."""
    shapes = [builder.shape_of(part) for part in parts]
    shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    numbers = tuple(part.number for part in parts)
    return builder.add(ConcatenationLayer(builder.node.name, numbers, shape))


def _join_along(builder: Builder, values: list[Value], places: list[Places], axis: int) -> Value:
    """Join values along any dimension, which becomes that of the channels."""
    first = [np.moveaxis(some, axis, 0) for some in places]
    flat = [some.reshape(*default_shape((len(some), some.size // len(some)))) for some in first]
    parts = [builder.rearranged(*pair) for pair in zip(values, flat, strict=True)]
    joined = _join(builder, parts)
    order = np.arange(math.prod(builder.node.shape)).reshape(-1, *first[0].shape[1:])
    moved = np.moveaxis(order, 0, axis)
    return Value(joined.number, builder.node.shape, places=moved)
