"""Select, warp and normalize images in one pass of compiled C."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib import resources

import torch

from netlet.backends.cpu.augmentation_check import GridWeights, check_augmentation
from netlet.backends.cpu.errors import CompilationError
from netlet.backends.cpu.library import Trial, compile_library, data_pointer
from netlet.recipes import Warp


class _WarpOp(ctypes.Structure):
    """``WarpOp`` of warp.c."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nearest", "fill", "points")),
        *(
            (name, ctypes.c_void_p)
            for name in ("row_weights", "col_weights", "maps", "displacements")
        ),
    ]


class CompiledAugmentation:
    """The augmentation and normalization of ``netlet.data``, several times as fast.

    Args:
        images: uint8 ``N C H W``, contiguous, on the CPU.
        ops: Applied one after the other.
        mean: Subtracted from gray levels 0..1.
        std: The result is divided by it.
        grid_weights: For each op with an elastic displacement, the weights of the grid's points for
            each row, ``H P``, and each column, ``W P``; None for the others.
        use: A library that is not checked yet, and the number of threads; by default the library
            of this machine, and as many as torch uses now.

    Raises:
        CompilationError: It cannot be compiled here, or an op that interpolates is followed by
            another.
    """

    def __init__(
        self,
        images: torch.Tensor,
        ops: Sequence[Warp],
        mean: float,
        std: float,
        grid_weights: GridWeights,
        use: tuple[ctypes.CDLL, int] | None = None,
    ) -> None:
        if images.device.type != "cpu" or not images.is_contiguous():
            raise CompilationError("the images are not contiguous on the CPU")
        if any(op.interpolation != "nearest" for op in ops[:-1]):
            raise CompilationError("only the last warp may interpolate between gray levels")
        self._library, self._threads = use or (_load_library(), torch.get_num_threads())
        self._images = images
        self._ops = (_WarpOp * len(ops))()
        self._grid_weights = grid_weights  # keeps the memory alive that the ops point to
        for place, op, weights in zip(self._ops, ops, grid_weights, strict=True):
            place.nearest, place.fill = op.interpolation == "nearest", op.fill
            if weights:
                place.points = op.elastic_points
                place.row_weights, place.col_weights = (data_pointer(side) for side in weights)
        self._mean, self._std = mean, std

    def __call__(
        self, index: torch.Tensor, draws: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        """Return the images at the given indices, warped and normalized.

        Args:
            index: int64 ``n``, contiguous.
            draws: For each op, its maps ``n 2 3``, as ``draw_inverse_maps`` returns them, and the
                displacements of its grid's points ``n 2 P P``.

        Returns:
            float32 ``n C H W``.
        """
        n, shape = len(index), self._images.shape[1:]
        assert index.is_contiguous()
        # Kept in a variable, since the ops point to them.
        contiguous = [tuple(values.float().contiguous() for values in draw) for draw in draws]
        for place, (maps, displacements) in zip(self._ops, contiguous, strict=True):
            assert maps.shape == (n, 2, 3)
            assert displacements.shape == (n, 2, place.points, place.points)
            place.maps, place.displacements = maps.data_ptr(), displacements.data_ptr()
        result = torch.empty(n, *shape)
        self._library.netlet_warp(
            ctypes.c_void_p(self._images.data_ptr()),
            ctypes.c_void_p(index.data_ptr()),
            n,
            *shape,
            len(self._ops),
            self._ops,
            ctypes.c_float(self._mean),
            ctypes.c_float(self._std),
            ctypes.c_void_p(result.data_ptr()),
            self._threads,
        )
        return result


def _load_library() -> ctypes.CDLL:
    return compile_library(read_source(), _check, _prepare_trial)


def read_source() -> str:
    """Return the C source of the augmentation."""
    folder = resources.files(__package__) / "c"
    return "\n".join((folder / f"{name}.c").read_text() for name in ("threads", "warp"))


def _check(library: ctypes.CDLL) -> None:
    """Compare a new library with PyTorch; raises :class:`CompilationError`."""

    def make(
        threads: int,
        images: torch.Tensor,
        ops: Sequence[Warp],
        mean: float,
        std: float,
        grid_weights: GridWeights,
    ) -> CompiledAugmentation:
        return CompiledAugmentation(images, ops, mean, std, grid_weights, (library, threads))

    check_augmentation(
        make,
        (torch.get_num_threads(), 2 if torch.get_num_threads() == 1 else 1),
    )


def _prepare_trial() -> Trial:
    """Return a function that warps one image."""
    image, index = torch.zeros(28, 28, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    maps, result = torch.eye(2, 3).contiguous(), torch.empty(28, 28)
    sizes = (1, 1, 28, 28, 1)  # images, channels, height, width and ops
    return lambda library: library.netlet_warp(
        ctypes.c_void_p(image.data_ptr()),
        ctypes.c_void_p(index.data_ptr()),
        *sizes,
        ctypes.byref(_WarpOp(nearest=1, maps=maps.data_ptr())),
        ctypes.c_float(0.0),
        ctypes.c_float(1.0),
        ctypes.c_void_p(result.data_ptr()),
        1,
    )
