"""The graph builder: collects the layers of a graph while the net runs once."""

from __future__ import annotations

from typing import Any

import torch

from netlet.errors import ExportError
from netlet.export.graph import (
    Convolution,
    FinalSoftmax,
    Floats,
    Graph,
    Layer,
    Padding,
    Shape,
    output_shape,
)
from netlet.text import format_shape

BATCH = 2  # images in the traced run: some nets squeeze away a batch of one


class GraphBuilder:
    """The layers so far, and which tensor holds which feature map.

    Args:
        net: The net's name in error messages.
        shape: Of one image, ``C H W``.

    Raises:
        ExportError: The shape does not have three dimensions.
    """

    def __init__(self, net: str, shape: tuple[int, ...]) -> None:
        if len(shape) != 3:
            raise ExportError(
                f"{net}: cannot be exported for images of shape {format_shape(shape)}; "
                "use images C H W"
            )
        self.paths = [""]  # of the modules that are running, the innermost last
        self.operation = ""  # the operation that is being added
        # By id of a tensor: zero padding that no layer has absorbed yet.
        self.padded: dict[int, Padding] = {}
        # By id of a tensor: the softmax that was applied to its logits.
        self.softmaxes: dict[int, FinalSoftmax] = {}
        self._net = net
        self._shape: Shape = (shape[0], shape[1], shape[2])
        self._layers: list[Layer] = []
        self._numbers: dict[int, int] = {}  # id of a tensor -> number of its feature map
        self._alive: list[torch.Tensor] = []  # kept, so that no id is reused

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._numbers

    @property
    def name(self) -> str:
        """Path of the running module, or, in the net's own forward, the operation's name."""
        return self.paths[-1] or self.operation

    def bind(self, tensor: torch.Tensor, number: int) -> None:
        """Note that a tensor holds a feature map."""
        self._numbers[id(tensor)] = number
        self.padded.pop(id(tensor), None)
        self.softmaxes.pop(id(tensor), None)
        self._alive.append(tensor)

    def number_of(self, tensor: torch.Tensor, handles_padding: bool = False) -> int:
        """Return the number of the feature map that a tensor holds.

        Args:
            tensor: A bound tensor.
            handles_padding: Whether the caller absorbs zero padding around the feature map.

        Raises:
            ExportError: There is padding that the caller does not absorb.
        """
        if not handles_padding and id(tensor) in self.padded:
            raise self.unsupported(
                "padding before anything but a convolution", "the layer's own padding=..."
            )
        return self._numbers[id(tensor)]

    def shape_of(self, number: int) -> Shape:
        """Return the shape of a feature map."""
        return self._layers[number - 1].shape if number else self._shape

    def check_not_reshaped(self, tensor: torch.Tensor, number: int) -> None:
        """Raise an ExportError if a tensor no longer has the shape of its feature map."""
        c, h, w = self.shape_of(number)
        top, left, bottom, right = self.padded.get(id(tensor), (0, 0, 0, 0))
        if map_shape(tensor) != (c, h + top + bottom, w + left + right):
            raise self.unsupported(
                "reshaping a flattened feature map into another one",
                "a convolution of the feature map itself",
            )

    def add_layer(self, out: torch.Tensor, layer: Layer) -> None:
        """Add a layer, whose output is a tensor of the traced run."""
        if isinstance(layer, Convolution):
            before = self.shape_of(layer.inputs[0])
            sizes = (len(layer.weight), layer.window, layer.stride, layer.padding, layer.dilation)
            assert output_shape(before, *sizes) == layer.shape, layer.name
        self._layers.append(layer)
        self.bind(out, len(self._layers))

    def add_scale(
        self, number: int, out: torch.Tensor, scale: Any, shift: Any, name: str | None = None
    ) -> None:
        """Add a scale and a shift per channel, or one of each for all channels."""
        shape = self.shape_of(number)
        scales, shifts = (
            torch.as_tensor(v).detach().double().expand(shape[0]) for v in (scale, shift)
        )
        weight, bias = to_float64(scales).reshape(-1, 1, 1, 1), to_float64(shifts)
        name = self.name if name is None else name
        self.add_layer(out, Convolution(name, (number,), shape, weight, bias, groups=shape[0]))

    def unsupported(self, what: str, alternative: str) -> ExportError:
        """Return an error that names the running layer, the operation and an alternative."""
        return ExportError(
            f"{self.paths[-1] or self._net}: {what} cannot be exported; use {alternative}"
        )

    def build(self, out: torch.Tensor) -> Graph:
        """Return the graph of everything that was added.

        Args:
            out: The net's output.

        Raises:
            ExportError: The output is not a vector of logits computed from the image.
        """
        # Logits K 1 1 are flattened after the traced run: the tensor is another view of the same
        # memory.
        bound = next(
            (tensor for tensor in reversed(self._alive) if tensor.data_ptr() == out.data_ptr()), out
        )
        number = self._numbers.get(id(bound))
        if not number or out.dim() != 2 or len(out) != BATCH:
            raise ExportError(
                f"{self._net}: its output has the shape {format_shape(out.shape)}, not logits N K "
                "computed from the image; return logits"
            )
        if self.shape_of(number) != (out.shape[1], 1, 1):
            raise ExportError(
                f"{self._net}: its output is a flattened feature map, not K logits for an image; "
                "flatten a 1x1 feature map at its end"
            )
        softmax = self.softmaxes.get(id(bound), "")
        return Graph(self._shape, tuple(self._layers[:number]), softmax)


def map_shape(tensor: torch.Tensor) -> Shape:
    """Return the shape ``C H W`` of the feature map in a tensor ``N C H W`` or ``N K``."""
    c, h, w = (*tensor.shape[1:], 1, 1)[:3]
    return c, h, w


def to_float64(tensor: torch.Tensor) -> Floats:
    """Return a tensor as a float64 array.

    Folding runs in float64: rounding to float32 before it is done would add an error that the net
    does not have.
    """
    return tensor.detach().cpu().double().contiguous().numpy().copy()
