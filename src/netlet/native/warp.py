"""Picking, moving and normalising images in one compiled pass."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from importlib import resources

import torch

from netlet.native.library import NotNative, compiled
from netlet.recipes import Affine


class _Op(ctypes.Structure):
    """``Op`` of warp.c."""

    _fields_ = [("nearest", ctypes.c_int), ("fill", ctypes.c_int)]


class NativeWarp:
    """``netlet.data``'s augmentation and normalisation, several times as fast.

    Args:
        images: uint8 ``N C H W``, contiguous, on the CPU.
        ops: What moves them, one after the other.
        mean: Subtracted from grey levels 0..1.
        std: Divided by, then.

    Raises:
        NotNative: It cannot be compiled here, or the ops want more than bytes between them.
    """

    def __init__(self, images: torch.Tensor, ops: Sequence[Affine], mean: float, std: float) -> None:
        if images.device.type != "cpu" or not images.is_contiguous():
            raise NotNative("the images are not on the CPU")
        if any(op.interpolation != "nearest" for op in ops[:-1]):
            raise NotNative("a map between grey levels is followed by another")
        self._library = _library()
        self._images = images
        self._ops = (_Op * len(ops))(*(_Op(op.interpolation == "nearest", op.fill) for op in ops))
        self._mean, self._std = mean, std

    def __call__(self, index: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """The images of that index, moved and normalised.

        Args:
            index: int64 ``n``, contiguous.
            maps: float32 ``ops n 2 3``, contiguous, as of ``inverse_maps``.

        Returns:
            float32 ``n C H W``.
        """
        n, shape = len(index), self._images.shape[1:]
        assert maps.shape == (len(self._ops), n, 2, 3)
        assert maps.dtype == torch.float32
        assert maps.is_contiguous()
        assert index.is_contiguous()
        moved = torch.empty(n, *shape)
        self._library.netlet_warp(
            ctypes.c_void_p(self._images.data_ptr()), ctypes.c_void_p(index.data_ptr()), n, *shape, len(self._ops),
            self._ops, ctypes.c_void_p(maps.data_ptr()), ctypes.c_float(self._mean), ctypes.c_float(self._std),
            ctypes.c_void_p(moved.data_ptr()), torch.get_num_threads(),
        )  # fmt: skip
        return moved


@functools.cache
def _library() -> ctypes.CDLL:
    return compiled(resources.files(__package__).joinpath("c", "warp.c").read_text())
