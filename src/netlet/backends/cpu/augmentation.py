"""Picking, moving and normalising images in one compiled pass."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from importlib import resources

import torch

from netlet.backends.cpu.library import CompilationError, compile_library, data_pointer
from netlet.recipes import Warp


class _WarpOp(ctypes.Structure):
    """``Op`` of warp.c."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nearest", "fill", "points")),
        *((name, ctypes.c_void_p) for name in ("down", "across", "maps", "moves")),
    ]


class CompiledAugmentation:
    """``netlet.data``'s augmentation and normalization, several times as fast.

    Args:
        images: uint8 ``N C H W``, contiguous, on the CPU.
        ops: What moves them, one after the other.
        mean: Subtracted from gray levels 0..1.
        std: Divided by, then.
        spreads: For each op that bends, what each of its grid's points counts for at each row, ``H
            P``, and at each column, ``W P``; None for the others.

    Raises:
        CompilationError: It cannot be compiled here, or the ops want more than bytes between them.
    """

    def __init__(
        self,
        images: torch.Tensor,
        ops: Sequence[Warp],
        mean: float,
        std: float,
        spreads: Sequence[tuple[torch.Tensor, torch.Tensor] | None],
    ) -> None:
        if images.device.type != "cpu" or not images.is_contiguous():
            raise CompilationError("the images are not on the CPU")
        if any(op.interpolation != "nearest" for op in ops[:-1]):
            raise CompilationError("a map between gray levels is followed by another")
        self._library = _load_library()
        self._images = images
        self._ops = (_WarpOp * len(ops))()
        self._spreads = spreads  # what is pointed to must live
        for place, op, spread in zip(self._ops, ops, spreads, strict=True):
            place.nearest, place.fill = op.interpolation == "nearest", op.fill
            if spread:
                place.points = op.elastic_points
                place.down, place.across = (data_pointer(side) for side in spread)
        self._mean, self._std = mean, std

    def __call__(
        self, index: torch.Tensor, draws: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        """The images of that index, moved and normalized.

        Args:
            index: int64 ``n``, contiguous.
            draws: Of each op: maps ``n 2 3``, as of ``inverse_maps``, and moves of the grid's
                points ``n 2 P P``.

        Returns:
            float32 ``n C H W``.
        """
        n, shape = len(index), self._images.shape[1:]
        assert index.is_contiguous()
        kept = [tuple(values.float().contiguous() for values in of_op) for of_op in draws]
        for place, (maps, moves) in zip(self._ops, kept, strict=True):
            assert maps.shape == (n, 2, 3)
            assert moves.shape == (n, 2, place.points, place.points)
            place.maps, place.moves = maps.data_ptr(), moves.data_ptr()
        moved = torch.empty(n, *shape)
        self._library.netlet_warp(
            ctypes.c_void_p(self._images.data_ptr()),
            ctypes.c_void_p(index.data_ptr()),
            n,
            *shape,
            len(self._ops),
            self._ops,
            ctypes.c_float(self._mean),
            ctypes.c_float(self._std),
            ctypes.c_void_p(moved.data_ptr()),
            torch.get_num_threads(),
        )
        return moved


@functools.cache
def _load_library() -> ctypes.CDLL:
    return compile_library(resources.files(__package__).joinpath("c", "warp.c").read_text())
