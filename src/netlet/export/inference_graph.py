"""The graph of a trained net: the plain values that every export is generated from.

A graph is a list of layers. Each layer reads feature maps and computes one. Feature map 0 is the
image (gray levels 0 to 255); feature map ``k`` is the output of layer ``k``, counted from 1. A
feature map has the shape ``C H W`` (one image, no batch dimension); a vector of ``K`` numbers is
``K 1 1``. The last feature map holds the logits. Weights are NumPy arrays, float32 after folding.
This module does not import PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from netlet.display import Displayed

Floats = NDArray[np.floating[Any]]
Shape = tuple[int, int, int]  # C H W
Clamp = tuple[float, float]  # lower and upper bound; infinite where there is none
Padding = tuple[int, int, int, int]  # rows above, columns left, rows below, columns right
UNBOUNDED: Clamp = (float("-inf"), float("inf"))

# Element-wise functions as PyTorch defines them. A function with a parameter reads it from
# ``Activation.parameter``.
FunctionName = Literal[
    "abs",
    "clamp",
    "leaky_relu",
    "elu",
    "exp",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "silu",
    "mish",
    "softplus",
    "gelu",
    "gelu_tanh",
]

FinalSoftmax = Literal["", "softmax", "log_softmax"]


@dataclass(frozen=True)
class Layer(Displayed):
    """The fields that all layers share.

    ``sources`` are the nodes of the net's graph (``netlet.graph``) that it computes: first its own,
    then those that were folded into it. 0 is the normalization of the input.
    """

    name: str  # path of the module in the net, or the function's name in the net's own forward
    inputs: tuple[int, ...]  # numbers of the feature maps it reads
    shape: Shape  # of its output
    sources: tuple[int, ...] = field(default=(), kw_only=True, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """What the layer computes, in a word or two."""
        return type(self).__name__.lower()

    @property
    def weights(self) -> int:
        """Its number of weights and biases."""
        return 0


@dataclass(frozen=True)
class Convolution(Layer):
    """A cross-correlation of a zero-padded feature map, plus bias, then clamped.

    A linear layer is a convolution whose window covers the whole feature map. A scale and shift per
    channel (a batch norm that could not be folded) is a 1x1 convolution with one group per channel.
    """

    weight: Floats  # O I/groups KH KW
    bias: Floats  # O
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    clamp: Clamp = UNBOUNDED

    @property
    def weights(self) -> int:
        """Its number of weights and biases."""
        return int(self.weight.size + self.bias.size)

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def input_channels(self) -> NDArray[np.intp]:
        """Which channel of the input each weight of an output channel belongs to: O I/groups."""
        out, per_group, *_ = self.weight.shape
        group = np.arange(out) // (out // self.groups)
        channels: NDArray[np.intp] = group[:, None] * per_group + np.arange(per_group)
        return channels

    @property
    def is_depthwise(self) -> bool:
        """Whether each output channel is computed from the input channel with its number alone."""
        return bool(self.weight.shape[1] == 1 and self.groups == self.weight.shape[0])

    @property
    def is_channel_scale(self) -> bool:
        """Whether it only scales and shifts each channel, without a clamp."""
        o, i, kh, kw = self.weight.shape
        in_place = self.stride == (1, 1) and self.padding == (0, 0, 0, 0)
        one_by_one = (i, kh, kw) == (1, 1, 1) and self.groups == o
        return in_place and one_by_one and self.clamp == UNBOUNDED


@dataclass(frozen=True)
class Pooling(Layer):
    """Max or mean pooling over a window; padding does not take part in the maximum or the sum.

    With ``count_include_pad`` the sum is divided by the size of the whole window all the same. A
    crop is the maximum of single elements; its negative padding leaves out rows and columns.
    """

    mode: Literal["max", "mean"]
    window: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    count_include_pad: bool = False

    @property
    def kind(self) -> str:
        """``max pooling``, ``mean pooling`` or ``crop``."""
        return "crop" if min(self.padding) < 0 else f"{self.mode} pooling"

    def is_global(self, shape: Shape) -> bool:
        """Return whether it averages whole feature maps of several elements.

        Args:
            shape: The shape of the feature map that it reads.
        """
        return self.mode == "mean" and self.window == shape[1:] != (1, 1)


@dataclass(frozen=True)
class Sum(Layer):
    """Two feature maps added, then clamped; the second may be ``C 1 1`` and is then broadcast."""

    clamp: Clamp = UNBOUNDED


@dataclass(frozen=True)
class Product(Layer):
    """Two feature maps multiplied; the second may be ``C 1 1`` and is then broadcast."""


@dataclass(frozen=True)
class Concatenation(Layer):
    """Feature maps concatenated along the channels."""


@dataclass(frozen=True)
class Activation(Layer):
    """An element-wise function."""

    function: FunctionName
    parameter: float = 0.0  # negative slope of leaky_relu, alpha of elu
    bounds: Clamp = UNBOUNDED  # of clamp


@dataclass(frozen=True)
class InferenceGraph(Displayed):
    """A net with one input and one output, as a list of layers."""

    shape: Shape  # of one image
    layers: tuple[Layer, ...]  # in order of execution; the output of the last is K 1 1
    final_softmax: FinalSoftmax = ""  # the net's softmax after the logits, which is left out
    # The gray level that the layers read as 0; only a graph for int8 has another than 0.
    zero_level: int = 0

    @property
    def shapes(self) -> list[Shape]:
        """Shapes of all feature maps, the image first."""
        return [self.shape, *(layer.shape for layer in self.layers)]

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].shape[0]

    @property
    def weights(self) -> int:
        """Number of weights and biases in all layers."""
        return sum(layer.weights for layer in self.layers)

    def convolutions(self) -> Iterator[Convolution]:
        """Yield the layers that are convolutions."""
        return (layer for layer in self.layers if isinstance(layer, Convolution))

    def readers(self, number: int) -> list[int]:
        """Return the indices of the layers that read a feature map.

        Args:
            number: The number of the feature map. A layer that reads it twice is listed twice.
        """
        return [
            index
            for index, layer in enumerate(self.layers)
            for read in layer.inputs
            if read == number
        ]

    def remove_layer(
        self, index: int, substitute: int, updates: dict[int, Layer]
    ) -> InferenceGraph:
        """Return the graph without one layer.

        Args:
            index: The index of the layer to remove.
            substitute: Number of the feature map that the layer's readers read from now on.
            updates: Layers to replace at the same time, by their old index; their inputs are old
                numbers, too. They now do what the removed layer did.
        """
        removed, gone = index + 1, self.layers[index].sources

        def renumber(number: int) -> int:
            number = substitute if number == removed else number
            return number - (number > removed)

        updates = {
            i: dataclasses.replace(layer, sources=(*layer.sources, *gone))
            for i, layer in updates.items()
        }
        kept = [updates.get(i, layer) for i, layer in enumerate(self.layers) if i != index]
        layers = [
            dataclasses.replace(layer, inputs=tuple(map(renumber, layer.inputs))) for layer in kept
        ]
        return dataclasses.replace(self, layers=tuple(layers))

    def _facts(self) -> Mapping[str, object]:
        return {
            "shape": self.shape,
            "layers": [layer.kind for layer in self.layers],
            "classes": self.classes,
            "weights": self.weights,
        }


def output_shape(
    shape: Sequence[int],
    channels: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int] = (1, 1),
) -> Shape:
    """Return the output shape of a window that slides over a feature map ``C H W``."""
    top, left, bottom, right = padding
    h = (shape[1] + top + bottom - dilation[0] * (window[0] - 1) - 1) // stride[0] + 1
    w = (shape[2] + left + right - dilation[1] * (window[1] - 1) - 1) // stride[1] + 1
    return channels, h, w
