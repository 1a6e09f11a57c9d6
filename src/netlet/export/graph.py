"""A trained net as plain values: what every export is written from.

A graph is a list of layers that read maps and give one. Map 0 is the image, gray levels 0 to 255;
map ``k`` is what the ``k``-th layer gives. A map is ``C H W``, for one image; a vector of ``K``
numbers is ``K 1 1``. The last map holds the logits. Weights are NumPy arrays, float32 once
everything is folded: nothing here knows of PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Shape = tuple[int, int, int]  # C H W
Clamp = tuple[float, float]  # lowest and highest; infinite where there is no bound
Padding = tuple[int, int, int, int]  # rows above, columns left, rows below, columns right
FREE: Clamp = (float("-inf"), float("inf"))

# Functions of one number, as PyTorch defines them; those with a parameter have it in
# ``Activation.parameter``.
Function = Literal[
    "clamp",
    "leaky_relu",
    "elu",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "silu",
    "gelu",
    "gelu_tanh",
]


Ending = Literal["", "softmax", "log_softmax"]


@dataclass(frozen=True)
class Layer:
    """What all layers have."""

    name: str  # the path of the module in the net, or of the one that called the function
    inputs: tuple[int, ...]  # the maps it reads
    shape: Shape  # of the map it gives

    @property
    def kind(self) -> str:
        """What it does, in a word."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Convolution(Layer):
    """Cross-correlation over a map padded with zeros, plus bias, clamped.

    A dense layer is one whose window is the whole map; a scale and a shift of each channel (a batch
    norm that could not be folded away) is one of window 1 with as many groups as channels.
    """

    weight: Floats  # O I/groups KH KW
    bias: Floats  # O
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    clamp: Clamp = FREE

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def scales_only(self) -> bool:
        """Whether it only scales and shifts each channel, and does not clamp."""
        o, i, kh, kw = self.weight.shape
        still = self.stride == (1, 1) and self.padding == (0, 0, 0, 0)
        return still and (i, kh, kw) == (1, 1, 1) and self.groups == o and self.clamp == FREE


@dataclass(frozen=True)
class Pooling(Layer):
    """The largest or the mean of what lies within a window; what lies in the padding is left out of either.

    With ``counts_padding`` the sum is divided by the whole window nevertheless.
    """

    how: Literal["max", "mean"]
    window: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    counts_padding: bool = False

    @property
    def kind(self) -> str:
        """Max pooling or mean pooling."""
        return f"{self.how} pooling"


@dataclass(frozen=True)
class Sum(Layer):
    """Two maps added, then clamped; the second may be ``C 1 1`` beside a larger first."""

    clamp: Clamp = FREE


@dataclass(frozen=True)
class Product(Layer):
    """Two maps multiplied; the second may be ``C 1 1`` beside a larger first."""


@dataclass(frozen=True)
class Concatenation(Layer):
    """Maps one after the other along the channels."""


@dataclass(frozen=True)
class Activation(Layer):
    """A function of each number."""

    function: Function
    parameter: float = 0.0  # the slope below zero of leaky_relu, alpha of elu
    bounds: Clamp = FREE  # of clamp


@dataclass(frozen=True)
class Graph:
    """A net with one input and one output, and what a person is to know of it."""

    shape: Shape  # of an image
    layers: tuple[Layer, ...]  # each reads maps before it only; the last gives logits, K 1 1
    ending: Ending = ""  # what the net does to the logits after them, which is left out

    @property
    def shapes(self) -> list[Shape]:
        """Of all maps, the image first."""
        return [self.shape, *(layer.shape for layer in self.layers)]

    @property
    def classes(self) -> int:
        """How many logits."""
        return self.layers[-1].shape[0]

    @property
    def weights(self) -> int:
        """How many numbers the layers hold, biases included: what is shipped, after folding."""
        return sum(c.weight.size + c.bias.size for c in self.convolutions())

    def convolutions(self) -> Iterator[Convolution]:
        """Those of its layers."""
        return (layer for layer in self.layers if isinstance(layer, Convolution))

    def readers(self, number: int) -> list[int]:
        """Which layers read a map, by their place; a layer that reads it twice stands twice."""
        return [
            at for at, layer in enumerate(self.layers) for read in layer.inputs if read == number
        ]

    def without(self, dead: int, stead: int, changed: dict[int, Layer]) -> Graph:
        """The graph less one layer.

        Args:
            dead: The layer's place; the map it gave must not be an input of the graph.
            stead: The map that its readers read instead.
            changed: Layers to put in at the same time, by their old place, still reading maps by
                their old numbers.
        """
        gone = dead + 1

        def renamed(number: int) -> int:
            number = stead if number == gone else number
            return number - (number > gone)

        kept = [(at, changed.get(at, layer)) for at, layer in enumerate(self.layers) if at != dead]
        layers = [
            dataclasses.replace(layer, inputs=tuple(map(renamed, layer.inputs)))
            for _, layer in kept
        ]
        return dataclasses.replace(self, layers=tuple(layers))

    def with_layer(self, at: int, layer: Layer) -> Graph:
        """The graph with another layer in one place."""
        return dataclasses.replace(self, layers=(*self.layers[:at], layer, *self.layers[at + 1 :]))


def window_shape(
    shape: Sequence[int],
    channels: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int] = (1, 1),
) -> Shape:
    """The shape of what a window gives that slides over a map ``C H W``."""
    top, left, bottom, right = padding
    h = (shape[1] + top + bottom - dilation[0] * (window[0] - 1) - 1) // stride[0] + 1
    w = (shape[2] + left + right - dilation[1] * (window[1] - 1) - 1) // stride[1] + 1
    return channels, h, w
