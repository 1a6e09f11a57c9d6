"""Compare the newly compiled augmentation with PyTorch before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch

from netlet.backends.cpu.errors import CompilationError
from netlet.data.augment import WarpParameters, cubic_weights, draw_augmentation, warp_images
from netlet.recipes import Warp

_IMAGES, _DRAWN = 20, 16
_MEAN, _STD = 0.13, 0.31
_TOLERANCE = 1e-4
# A pixel exactly on an edge may be rounded to either side.
_MAX_OTHER_PIXELS = 5e-4
# Every kind of op, alone and one after the other, and shapes that fill whole vectors and do not.
_CASES: Sequence[tuple[tuple[Warp, ...], tuple[int, int, int]]] = (
    ((), (3, 9, 21)),
    ((Warp(rotate_deg=20, shift_px=3, scale=0.2, shear_deg=10),), (1, 28, 28)),
    (
        (
            Warp(rotate_deg=30, shift_px=9, fill=7, interpolation="nearest"),
            Warp(scale=0.3, shear_deg=20, elastic_px=1.5, elastic_points=4, fill=200),
        ),
        (3, 19, 37),
    ),
    (
        (
            Warp(elastic_px=2, elastic_points=3, interpolation="nearest"),
            Warp(rotate_deg=10, scale=0.1, fill=90, interpolation="nearest"),
        ),
        (2, 24, 32),
    ),
)

GridWeights = Sequence[tuple[torch.Tensor, torch.Tensor] | None]


class Augmentation(Protocol):
    """A :class:`~netlet.backends.cpu.CompiledAugmentation`."""

    def __call__(
        self, index: torch.Tensor, draws: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        """Return images, warped and normalized."""


# From the number of threads, images, ops, mean, std and grid weights.
MakeAugmentation = Callable[
    [int, torch.Tensor, Sequence[Warp], float, float, GridWeights], Augmentation
]


def check_augmentation(make: MakeAugmentation, threads: Iterable[int]) -> None:
    """Compare every kind of op, and the normalization, with PyTorch's.

    Args:
        make: Makes an augmentation that runs the new library.
        threads: Numbers of threads that the library must work with.

    Raises:
        CompilationError: They differ.
    """
    generator = torch.Generator().manual_seed(0)
    for ops, shape in _CASES:
        images = torch.randint(256, (_IMAGES, *shape), generator=generator).to(torch.uint8)
        index = torch.randint(_IMAGES, (_DRAWN,), generator=generator)
        drawn = draw_augmentation(ops, _DRAWN, generator)
        _add_edge_cases(drawn)
        wanted = (warp_images(images[index].float(), ops, drawn) / 255 - _MEAN) / _STD
        weights = grid_weights(ops, shape[1], shape[2])
        for count in threads:
            found = make(count, images, ops, _MEAN, _STD, weights)(
                index, [(one.maps, one.points) for one in drawn]
            )
            other = ~((found - wanted).abs() <= _TOLERANCE)
            if float(other.double().mean()) > _MAX_OTHER_PIXELS:
                raise CompilationError("the compiled augmentation differs from PyTorch's")


def grid_weights(ops: Sequence[Warp], height: int, width: int) -> GridWeights:
    """Return for each op with an elastic displacement the weights of its grid, else None."""
    return [
        (cubic_weights(op.elastic_points, height), cubic_weights(op.elastic_points, width))
        if op.elastic_px
        else None
        for op in ops
    ]


def _add_edge_cases(drawn: Sequence[WarpParameters]) -> None:
    """Let some images stay where they are, move a bit, or move out of sight."""
    moves = ((0.4, -2.3), (70.0, -70.0), (0.0, 0.0), (-2.8, 0.2))
    for one in drawn:
        for maps, points, (right, down) in zip(one.maps, one.points, moves, strict=False):
            maps.copy_(torch.tensor([[1, 0, right], [0, 1, down]]))
            points.zero_()
