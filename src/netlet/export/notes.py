"""The notes that are taken while a net runs: which tensor holds which map, and the layers so far."""

from __future__ import annotations

from typing import Any

import torch

from netlet.errors import ShipError
from netlet.export.graph import (
    Convolution,
    Ending,
    Floats,
    Graph,
    Layer,
    Padding,
    Shape,
    window_shape,
)

BATCH = 2  # images in the run: some nets squeeze away a batch of one


class Notes:
    """What is known of tensors that depend on the image.

    Args:
        net: What the net is called in messages.
        shape: Of one image, ``C H W``.

    Raises:
        ShipError: The shape is another.
    """

    def __init__(self, net: str, shape: tuple[int, ...]) -> None:
        if len(shape) != 3:
            raise ShipError(f"images of shape {'x'.join(map(str, shape))}: an export takes C H W")
        self.paths = [""]  # of the modules that are running, the innermost last
        self.operation = ""  # that is being written down
        self.padded: dict[
            int, Padding
        ] = {}  # id of a tensor -> zeros around its map that no layer has taken over yet
        self.endings: dict[
            int, Ending
        ] = {}  # id of a tensor -> what was done to the logits of its map to get it
        self._net = net
        self._shape: Shape = (shape[0], shape[1], shape[2])
        self._layers: list[Layer] = []
        self._numbers: dict[int, int] = {}  # id of a tensor -> the map it holds
        self._alive: list[torch.Tensor] = []  # so that no id is used twice

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._numbers

    @property
    def name(self) -> str:
        """The path of the module that is running, or, in the net's own forward, the function."""
        return self.paths[-1] or self.operation

    def know(self, tensor: torch.Tensor, number: int) -> None:
        """From now on the tensor holds that map."""
        self._numbers[id(tensor)] = number
        self.padded.pop(id(tensor), None)
        self.endings.pop(id(tensor), None)
        self._alive.append(tensor)

    def map(self, tensor: torch.Tensor, padded: bool = False) -> int:
        """The number of the map that a tensor holds.

        Args:
            tensor: One that is known.
            padded: Whether who asks takes care of zeros around it.

        Raises:
            ShipError: There are zeros around it, and nobody does.
        """
        if not padded and id(tensor) in self.padded:
            raise self.refused(
                "padding before anything but a convolution", "padding=... of the layer itself would"
            )
        return self._numbers[id(tensor)]

    def shape_of(self, number: int) -> Shape:
        """Of a map."""
        return self._layers[number - 1].shape if number else self._shape

    def same_shape(self, tensor: torch.Tensor, number: int) -> None:
        """Refuse a tensor that has been reshaped since it was that map."""
        c, h, w = self.shape_of(number)
        top, left, bottom, right = self.padded.get(id(tensor), (0, 0, 0, 0))
        if chw(tensor) != (c, h + top + bottom, w + left + right):
            raise self.refused(
                "a flattened map taken for another map", "a convolution of the map itself would"
            )

    def add(self, out: torch.Tensor, layer: Layer) -> None:
        """Write a layer down, and what it gave."""
        if isinstance(layer, Convolution):
            before = self.shape_of(layer.inputs[0])
            given = (len(layer.weight), layer.window, layer.stride, layer.padding, layer.dilation)
            assert window_shape(before, *given) == layer.shape, layer.name
        self._layers.append(layer)
        self.know(out, len(self._layers))

    def scale(
        self, number: int, out: torch.Tensor, scale: Any, shift: Any, name: str | None = None
    ) -> None:
        """Write down a scale and a shift for each channel, or one for all."""
        shape = self.shape_of(number)
        scales, shifts = (
            torch.as_tensor(v).detach().double().expand(shape[0]) for v in (scale, shift)
        )
        weight = floats(scales).reshape(-1, 1, 1, 1)
        name = self.name if name is None else name
        self.add(out, Convolution(name, (number,), shape, weight, floats(shifts), groups=shape[0]))

    def refused(self, what: str, instead: str) -> ShipError:
        """An error that names the layer that is running, what it does and what would work."""
        return ShipError(f"{self.paths[-1] or self._net}: {what} cannot be exported; {instead}")

    def graph(self, out: torch.Tensor) -> Graph:
        """All that was written down, given what the net gave.

        Raises:
            ShipError: That is no vector of logits that comes from the image.
        """
        # Logits K 1 1 are flattened outside of the run.
        holds = next(
            (tensor for tensor in reversed(self._alive) if tensor.data_ptr() == out.data_ptr()), out
        )
        number = self._numbers.get(id(holds))
        if not number or out.dim() != 2 or len(out) != BATCH:
            found = "x".join(map(str, out.shape))
            raise ShipError(f"{self._net}: gives {found}, not logits N K that come from the image")
        if self.shape_of(number) != (out.shape[1], 1, 1):
            raise ShipError(
                f"{self._net}: ends in a map, not in K numbers for an image; flatten a 1x1 map at its end"
            )
        return Graph(self._shape, tuple(self._layers[:number]), self.endings.get(id(holds), ""))


def chw(tensor: torch.Tensor) -> Shape:
    """The shape of the map in a tensor ``N C H W`` or ``N K``."""
    c, h, w = (*tensor.shape[1:], 1, 1)[:3]
    return c, h, w


def floats(tensor: torch.Tensor) -> Floats:
    """As an array of doubles: each rounding to float32 before all is folded would be one more than the net has."""
    return tensor.detach().cpu().double().contiguous().numpy().copy()
