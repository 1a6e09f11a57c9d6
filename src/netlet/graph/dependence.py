"""What elements depend on, of operations outside the vocabulary: :class:`Opaque` refers to these.

They say nothing of what is computed, so no reader but that of receptive fields knows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netlet.graph.graph import Weight
from netlet.graph.operations import Operation, Sizes


@dataclass(frozen=True)
class Dependence(Operation):
    """The base class of what is known about such an operation."""


@dataclass(frozen=True)
class Mixture(Dependence):
    """Each element from all along some dimensions, as by a Fourier transform.

    Attributes:
        dims: The dimensions, the batch counted as 0.
        removed: Whether they are removed.
    """

    dims: Sizes
    removed: bool = False


@dataclass(frozen=True)
class LastDimension(Dependence):
    """Each element in several parts along a new last dimension, or one from these parts.

    Attributes:
        added: Which of the two.
    """

    added: bool


@dataclass(frozen=True)
class Distances(Dependence):
    """Each row ``... P M`` with each row ``... R M``.

    Attributes:
        operands: Both. None: a value.
    """

    operands: tuple[Weight | None, ...]


@dataclass(frozen=True)
class Contributions(Dependence):
    """Sums of elements, each of which goes to one place, as by ``nn.Fold`` or ``scatter_add``.

    Attributes:
        targets: For each element of the values that are read, one value after the other, its place
            in the output; -1 if it has none.
    """

    targets: NDArray[np.int64] = field(compare=False, repr=False)


@dataclass(frozen=True)
class MapMixture(Dependence):
    """Places of a map computed from some places of another, as by ``F.grid_sample``.

    Attributes:
        rank: The number of dimensions of a map.
        mask: Which of the old places (rows) each new one (column) is computed from.
    """

    rank: int
    mask: NDArray[np.bool_] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Choice(Dependence):
    """Elements of a first value along some dimensions, chosen by the numbers of a second one.

    Attributes:
        dims: The dimensions of the first value along which any element may be chosen.
        coordinates: Whether the last dimension of the second value has the coordinates of one
            place, and the other dimensions but the batch are those of the map.
    """

    dims: Sizes
    coordinates: bool


@dataclass(frozen=True)
class Unpooling(Dependence):
    """Elements put back to where a max pooling found them, between zeros."""


@dataclass(frozen=True)
class Recurrence(Dependence):
    """Steps ``T N C`` of which each is computed from those before it.

    Attributes:
        reverse: Whether it starts with the last one.
    """

    reverse: bool
