"""Turn the operations of a net into layers of an inference graph, one function for each.

Each operation of the vocabulary that exports support has one function, registered by
:func:`lowers`. An operation without one is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

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
    """

    number: int
    dims: tuple[int, ...]
    padding: Padding = UNPADDED
    softmax: FinalSoftmax = ""


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
        raise unsupported(self.node.path or self.net, what, alternative)

    def refuse_by_name(self, why: str = "") -> NoReturn:
        """Raise the error that names the node's operation, and what is unusual about it."""
        self.refuse(*find_alternative(self.node.operation.name, why))

    def shape_of(self, value: Value) -> Shape:
        """Return the shape of the feature map that holds a value."""
        return self.layers[value.number - 1].shape

    def padded_value(self, position: int = 0) -> Value:
        """Return an input; the caller absorbs the zeros around it."""
        return self.values[self.node.inputs[position]]

    def value(self, position: int = 0) -> Value:
        """Return an input, and refuse it if there are zeros around it."""
        value = self.padded_value(position)
        if any(value.padding):
            self.refuse("padding before anything but a convolution", "the layer's own padding=...")
        return value

    def check_not_reshaped(self, value: Value) -> None:
        """Refuse a value that does not have the shape of its feature map."""
        c, h, w = self.shape_of(value)
        top, left, bottom, right = value.padding
        if map_shape(value.dims) != (c, h + top + bottom, w + left + right):
            self.refuse(
                "reshaping a flattened feature map into another one",
                "a convolution of the feature map itself",
            )

    def map(self) -> Value:
        """Return the first input, which must be a feature map as it is."""
        value = self.value()
        self.check_not_reshaped(value)
        return value

    def keep_map(self, **changes: Any) -> Value:
        """Return the value of a node that leaves its first input's feature map as it is."""
        return Value(self.padded_value().number, self.node.shape, **changes)

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
        return self.add(scale_channels(self.node.name, value.number, shape, scale, shift))


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


def to_float64(tensor: torch.Tensor) -> Floats:
    """Return a tensor as a float64 array.

    Folding runs in float64: rounding to float32 before it is done would add an error that the net
    does not have.
    """
    return tensor.detach().cpu().double().contiguous().numpy().copy()
