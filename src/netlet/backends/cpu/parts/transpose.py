"""Channels and places of a map in each other's place, so that a stage can mix places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from netlet.backends.cpu.parts.base import Code, MapShape, Part, Step

_NONE = MapShape(0)


@dataclass(frozen=True, eq=False)
class Transpose(Part):
    """A map ``C H W`` as a map of ``H * W`` channels and ``C`` rows of one place.

    Applied to a map of one column, it is its own inverse.

    Attributes:
        source: Shape of the input.
    """

    source: MapShape = _NONE

    @classmethod
    def of(cls, number: int, source: MapShape) -> Transpose:
        """Return the transpose of a part's output.

        Args:
            number: The number of the part.
            source: The shape of its output.
        """
        shape = MapShape(source.h * source.w, source.channels)
        return cls((number,), shape, source=source)

    def forward(self, code: Code) -> str:
        """Return the transpose of one image."""
        maps = f"{self.source.literal()}, {self.shape.literal()}"
        return f"transpose_forward({maps}, {code.read(0)}, {code.output});"

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        dx = f"{code.workspace}.scratch"
        maps = f"{self.source.literal()}, {self.shape.literal()}"
        return (
            f"transpose_backward({maps}, {code.gradient}, {dx});\n    {code.pass_gradient(0, dx)}"
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the transpose in PyTorch."""
        return inputs[0].flatten(2).transpose(1, 2).unsqueeze(3)
