"""Turn the operations of a net into layers of an inference graph, one function for each.

Each operation of the vocabulary that exports support has one function, registered by
:func:`lowers`. An operation without one is refused by name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import numpy as np
import torch

from netlet.export.inference_graph import (
    Convolution,
    FinalSoftmax,
    Floats,
    Layer,
    Padding,
    Shape,
    output_shape,
)
from netlet.export.map_layers import Constant, Places, Rearrangement, find_offsets
from netlet.export.unsupported import find_alternative, unsupported
from netlet.graph import Node
from netlet.graph.operations import Operation

UNPADDED: Padding = (0, 0, 0, 0)


@dataclass(frozen=True)
class Value:
    """A value of the net, as the inference graph has it.

    Attributes:
        number: The number of the feature map that holds its numbers.
        dims: The net's own shape, without ``N``. Unlike the feature map's, it may lack dimensions
            of size 1, or be flattened.
        padding: Zeros around the feature map, which no layer has absorbed yet.
        softmax: The softmax that the net applies to the feature map.
        places: Where each of its elements is in the feature map, counted as ``C H W``; -1: a
            constant. None: all of them are there, in their order.
        fill: The constant.
        moved: The nodes that have put elements in other places: their numbers, the last one first.
        name: The name of the last of them.
        batch_in: What the net's own shape, unlike ``dims``, has the images in: ``rows`` where they
            are part of the first dimension, ``N*L E``, and ``channels`` in ``1 N*C H W``.
    """

    number: int
    dims: tuple[int, ...]
    padding: Padding = UNPADDED
    softmax: FinalSoftmax = ""
    places: Places | None = None
    fill: float = 0.0
    moved: tuple[int, ...] = ()
    name: str = ""
    batch_in: Literal["", "rows", "channels"] = ""


Lowering = Callable[["Builder", Node, Any], Value]
LOWERINGS: dict[type[Operation], Lowering] = {}


def lowers(kind: type[Operation]) -> Callable[[Lowering], Lowering]:
    """Register a function that adds an operation to an inference graph and returns its value."""

    def register(function: Lowering) -> Lowering:
        LOWERINGS[kind] = function
        return function

    return register


@dataclass
class Builder:
    """An inference graph that is being built.

    Attributes:
        net: The net's name in messages.
        layers: So far.
        values: Those of the net so far, by their numbers there.
        node: The node that is being lowered.
        number: Its number.
    """

    net: str
    layers: list[Layer]
    values: dict[int, Value]
    node: Node = field(init=False)
    number: int = 0

    def refuse(self, what: str, alternative: str) -> NoReturn:
        """Raise the error that names the node's module, the operation and an alternative."""
        raise unsupported(self.node.place(self.net), what, alternative)

    def refuse_by_name(self, why: str = "") -> NoReturn:
        """Raise the error that names the node's operation, and what is unusual about it."""
        name, function = self.node.operation.name, self.node.function
        what, alternative = find_alternative(name, why)
        if function and function != name and not self.node.layer:
            what = f"{function} ({what.rstrip(',')})"
        self.refuse(what, alternative)

    def shape_of(self, value: Value) -> Shape:
        """Return the shape of the feature map that holds a value."""
        return self.layers[value.number - 1].shape

    def padded_value(self, position: int = 0) -> Value:
        """Return an input; the caller absorbs the zeros around it."""
        return self.values[self.node.inputs[position]]

    def is_plain(self, value: Value) -> bool:
        """Return whether a value is a feature map of its shape, perhaps with zeros around it."""
        c, h, w = self.shape_of(value)
        top, left, bottom, right = value.padding
        around = (c, h + top + bottom, w + left + right)
        return value.places is None and map_shape(value.dims) == around

    def is_permuted(self, value: Value) -> bool:
        """Return whether a value is all of its feature map, each element once, in another order."""
        if value.places is None or any(value.padding):
            return False
        order = np.arange(math.prod(self.shape_of(value)))
        return np.array_equal(np.sort(value.places, axis=None), order)

    def value(self, position: int = 0) -> Value:
        """Return an input whose feature map holds its elements in their order, and no others."""
        value = self.padded_value(position)
        if value.places is not None or any(value.padding):
            value = self.in_order(value)
            self.values[self.node.inputs[position]] = value
        return value

    def map(self, position: int = 0) -> Value:
        """Return an input whose feature map has its shape."""
        value = self.value(position)
        if len(value.dims) > 3:
            self.refuse("a feature map of more than three dimensions", "feature maps C H W")
        if self.shape_of(value) != map_shape(value.dims):
            value = self.in_order(value)
            self.values[self.node.inputs[position]] = value
        return value

    def places(self, value: Value) -> Places:
        """Return where each element of a value is in its feature map, in the value's own shape."""
        if value.places is not None:
            return value.places
        c, h, w = self.shape_of(value)
        top, left, bottom, right = value.padding
        whole = np.arange(c * h * w, dtype=np.int64).reshape(c, h, w)
        around = np.pad(whole, ((0, 0), (top, bottom), (left, right)), constant_values=-1)
        return around.reshape(value.dims)

    def move(self, change: Callable[[Places], Places], fill: float | None = None) -> Value:
        """Return the value of a node that puts elements of its first input in other places.

        The layer that does it is added when another layer reads the value: several nodes, such as
        those of a channel shuffle, become one layer.

        Args:
            change: Returns the places of the node's elements, from those of the input.
            fill: The constant that stands where it returns -1; None if it adds none.
        """
        value = self.padded_value()
        if fill not in (None, value.fill) and bool((self.places(value) < 0).any()):
            value = self.value()  # which has constants of its own
        number = value.fill if fill is None else fill
        places = change(self.places(value)).reshape(self.node.shape)
        moved = (self.number, *value.moved)
        return Value(
            value.number, self.node.shape, UNPADDED, "", places, number, moved, self.node.name
        )

    def rearranged(self, value: Value, places: Places) -> Value:
        """Return a feature map that has elements of a value where its reader wants them.

        Args:
            value: The value.
            places: For each element of the feature map, ``C H W``, its place in the value's.
        """
        taken = dataclasses.replace(value, dims=places.shape, padding=UNPADDED, places=places)
        return self.in_order(taken)

    def in_order(self, value: Value) -> Value:
        """Return a value with a feature map that holds its elements in their order."""
        return self._rearrange(value, default_shape(value.dims))

    def _rearrange(self, value: Value, shape: Shape) -> Value:
        """Add the layer that puts elements where a value has them, if there has to be one."""
        places, before = self.places(value).reshape(shape), self.shape_of(value)
        if before == shape and bool((places.reshape(-1) == np.arange(places.size)).all()):
            return Value(value.number, value.dims, batch_in=value.batch_in)
        number = value.number
        offsets = find_offsets(places, before)
        if offsets is None:
            # A vector can have any order: first one in the order in which H W C is stored.
            vector = places.transpose(1, 2, 0).reshape(-1, 1, 1)
            number = self._add_rearrangement(value, number, vector)
            c, h, w = shape
            places = np.arange(places.size).reshape(h, w, c).transpose(2, 0, 1)
        number = self._add_rearrangement(value, number, places)
        return Value(number, value.dims, batch_in=value.batch_in)

    def _add_rearrangement(self, value: Value, number: int, places: Places) -> int:
        offsets = find_offsets(places, self.layers[number - 1].shape)
        assert offsets is not None
        shape = default_shape(places.shape)
        name, sources = value.name or self.node.name, value.moved or (self.number,)
        layer = Rearrangement(name, (number,), shape, *offsets, value.fill, sources=sources)
        self.layers.append(layer)
        return len(self.layers)

    def add_constant(self, values: Floats) -> Value:
        """Add a feature map ``C H W`` that is the same for every image."""
        return self.add(Constant(self.node.name, (), default_shape(values.shape), values))

    def keep_map(self, **changes: Any) -> Value:
        """Return the value of a node that leaves its first input's feature map as it is."""
        value = self.padded_value()
        if value.places is not None or any(value.padding):
            return dataclasses.replace(self.move(lambda places: places), **changes)
        return dataclasses.replace(value, dims=self.node.shape, **changes)

    def add(self, layer: Layer) -> Value:
        """Add a layer and return its output as the value of the node."""
        if isinstance(layer, Convolution):
            before = self.layers[layer.inputs[0] - 1].shape
            sizes = (len(layer.weight), layer.window, layer.stride, layer.padding, layer.dilation)
            assert output_shape(before, *sizes) == layer.shape, layer.name
        self.layers.append(dataclasses.replace(layer, sources=(self.number,)))
        return Value(len(self.layers), self.node.shape)

    def add_scale(self, value: Value, scale: torch.Tensor, shift: torch.Tensor) -> Value:
        """Add a scale and a shift, each of one number or of one for each channel."""
        shape = self.shape_of(value)
        return self.add_pointwise(
            value, scale_channels(self.node.name, value.number, shape, scale, shift)
        )

    def pointwise_input(self, position: int = 0) -> Value:
        """Return an input for a function of single elements, which may be in any order."""
        value = self.padded_value(position)
        return value if self.is_permuted(value) else self.value(position)

    def add_pointwise(self, value: Value, layer: Layer) -> Value:
        """Add a function of the single elements of a value, which stay where they are."""
        added = self.add(layer)
        return dataclasses.replace(value, number=added.number, dims=added.dims)


def scale_channels(
    name: str, number: int, shape: Shape, scale: torch.Tensor, shift: torch.Tensor
) -> Convolution:
    """Return a layer that scales and shifts each channel of a feature map."""
    scales, shifts = (to_float64(tensor.expand(shape[0])) for tensor in (scale, shift))
    weight = scales.reshape(-1, 1, 1, 1)
    return Convolution(name, (number,), shape, weight, shifts, groups=shape[0])


def map_shape(dims: tuple[int, ...]) -> Shape:
    """Return the shape ``C H W`` of a feature map whose last dimensions may be left out."""
    c, h, w = (*dims, 1, 1)[:3]
    return c, h, w


def default_shape(dims: tuple[int, ...]) -> Shape:
    """Return the shape of the feature map for a value of some dimensions.

    It has the dimensions, without those of one element if there are more than three; if there are
    still more, it is a vector.
    """
    if len(dims) <= 3:
        return map_shape(dims)
    longer = tuple(n for n in dims if n != 1)
    return map_shape(longer) if len(longer) <= 3 else (math.prod(dims), 1, 1)


def to_float64(tensor: torch.Tensor) -> Floats:
    """Return a tensor as a float64 array.

    Folding runs in float64: rounding to float32 before it is done would add an error that the net
    does not have.
    """
    return tensor.detach().cpu().double().contiguous().numpy().copy()
