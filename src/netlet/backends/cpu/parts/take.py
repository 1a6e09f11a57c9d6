"""Rows and columns of a map in any order, so that a map is cut, repeated or mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from netlet.backends.cpu.parts.base import Code, MapShape, Part, Step

_NONE = MapShape(0)


@dataclass(frozen=True, eq=False)
class Take(Part):
    """Rows and columns of a map, each any number of times and in any order.

    Attributes:
        source: Shape of the input.
        rows: For each row of the output, the row of the input.
        columns: The same for columns.
    """

    source: MapShape = _NONE
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def definitions(self, code: Code) -> str:
        """Return the numbers of the rows and columns."""
        return "\n".join(
            f"static const int {name}_{code.number}[] = {{{', '.join(map(str, numbers))}}};"
            for name, numbers in (("rows", self.rows), ("columns", self.columns))
        )

    def forward(self, code: Code) -> str:
        """Return the output of one image."""
        k = code.number
        return (
            f"take_forward({self.shape.literal()}, {code.read(0)}, rows_{k}, columns_{k}, "
            f"{code.output});"
        )

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        k, dx = code.number, f"{code.workspace}.scratch"
        maps = f"{self.source.literal()}, {self.shape.literal()}"
        return (
            f"take_backward({maps}, {code.gradient}, rows_{k}, columns_{k}, {dx});\n    "
            + code.pass_gradient(0, dx)
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output in PyTorch."""
        return inputs[0][:, :, list(self.rows)][:, :, :, list(self.columns)]
