"""The rest of the vocabulary: operations of which only a few nets have any."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from netlet.graph.graph import Weight
from netlet.graph.operations import NamedOperation, Operation, Sizes

NumpyMode = Literal["reflect", "edge", "wrap"]
_NUMPY_MODES: dict[str, NumpyMode] = {
    "reflection": "reflect",
    "replication": "edge",
    "circular": "wrap",
}


@dataclass(frozen=True)
class MatrixProduct(Operation):
    """A product of two values, or of a value and a constant that is not a dense layer's.

    Attributes:
        operands: An addend, if there is one, and both factors. None: a value.
    """

    operands: tuple[Weight | None, ...] = (None, None)

    @property
    def name(self) -> str:
        """``matmul``."""
        return "matmul"


@dataclass(frozen=True)
class Attention(NamedOperation):
    """Scaled dot-product attention.

    Attributes:
        function: PyTorch's name.
        operands: Query, key and value, ``... L E`` each. None: a value.
    """

    operands: tuple[Weight | None, ...]


@dataclass(frozen=True)
class OtherNorm(NamedOperation):
    """A norm of each image by itself: ``layer_norm``, ``group_norm`` and the like.

    Attributes:
        function: PyTorch's name.
        dims: The dimensions whose elements have common statistics, the batch counted as 0; empty if
            these are parts of several dimensions.
        groups: Then, the number of groups of channels with common statistics.
        weight: Scales, of the shape of these dimensions or one for each channel; None: 1.
        bias: Likewise; None: 0.
        eps: Added to the variance.
    """

    dims: Sizes = ()
    groups: int = 1
    weight: Weight | None = None
    bias: Weight | None = None
    eps: float = 1e-5


@dataclass(frozen=True)
class Stack(Operation):
    """Values joined along a new dimension (0 is the batch)."""

    dim: int


@dataclass(frozen=True)
class EdgePadding(NamedOperation):
    """Values repeated or mirrored around a value.

    Attributes:
        function: ``reflection_pad2d``, ``replication_pad1d`` and so on.
        sizes: As for ``F.pad``: two numbers for each dimension, the last one first.
    """

    sizes: Sizes

    @property
    def numpy_mode(self) -> NumpyMode:
        """The mode in which ``numpy.pad`` does the same."""
        return _NUMPY_MODES[self.function.partition("_")[0]]


@dataclass(frozen=True)
class FurtherOutput(Operation):
    """Another output of an operation than its first, such as the indices of a maximum."""

    of: Operation

    @property
    def name(self) -> str:
        """That of the operation."""
        return self.of.name


@dataclass(frozen=True)
class Interpolation(NamedOperation):
    """A map in another size, as by ``nn.Upsample`` and ``F.interpolate``.

    Attributes:
        function: ``upsample_nearest2d``, ``upsample_bilinear2d`` and so on.
        size: The size of the output, for each of the last dimensions.
        align_corners: Whether the corners of both maps have the same place; None for functions
            that have no such argument.
        scales: New elements for each old one, where the net says so; else None.
    """

    size: Sizes
    align_corners: bool | None
    scales: tuple[float | None, ...]


@dataclass(frozen=True)
class Rearrangement(NamedOperation):
    """Elements of values in other places, as by ``flip``, ``roll``, ``pixel_shuffle`` or an index.

    Attributes:
        function: PyTorch's name.
        source: For each element of the output, the place of the element that it is among all those
            of the values that are read, one value after the other; -1 for a constant.
    """

    source: NDArray[np.int64] = field(compare=False, repr=False)


@dataclass(frozen=True)
class GatedHalf(Operation):
    """One half of a value times the sigmoid of the other half, along a dimension."""

    dim: int

    @property
    def name(self) -> str:
        """``glu``."""
        return "glu"


@dataclass(frozen=True)
class Scan(NamedOperation):
    """Each element computed from those up to it along a dimension, as by ``cumsum``."""

    dim: int


@dataclass(frozen=True)
class Sorting(NamedOperation):
    """Elements along a dimension in the order of their values, or some of them: ``topk``."""

    dim: int
