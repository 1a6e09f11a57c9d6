"""How the elements of tensors lie in memory, and which of them share a place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How the elements of a tensor lie in its storage, counted in elements.

    Attributes:
        shape: The tensor's.
        stride: From one element to the next, along each dimension.
        offset: The offset of the first element.
        itemsize: Bytes of an element.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    itemsize: int

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Layout:
        """Return the layout of a tensor."""
        stride, offset = tuple(tensor.stride()), int(tensor.storage_offset())
        return cls(tuple(tensor.shape), stride, offset, tensor.element_size())

    @classmethod
    def of_storage(cls, tensor: torch.Tensor) -> Layout:
        """Return the layout of a vector of all elements in a tensor's storage."""
        n = tensor.untyped_storage().nbytes() // tensor.element_size()
        return cls((n,), (1,), 0, tensor.element_size())

    def places(self) -> Places:
        """Return the place of each element in the storage."""
        places = np.full(self.shape, self.offset, dtype=np.int64)
        for dim, (n, stride) in enumerate(zip(self.shape, self.stride, strict=True)):
            steps = np.arange(n, dtype=np.int64) * stride
            places += steps.reshape([-1 if d == dim else 1 for d in range(len(self.shape))])
        return places

    def covers(self, whole: Layout) -> bool:
        """Return whether the elements are all those of a storage, each once."""
        if self.itemsize != whole.itemsize or math.prod(self.shape) != whole.shape[0]:
            return False
        return self._is_dense() or len(np.unique(self.places())) == whole.shape[0]

    def _is_dense(self) -> bool:
        """Return whether the dimensions, put in order, follow each other without gaps."""
        size = 1
        for stride, n in sorted(zip(self.stride, self.shape, strict=True)):
            if n != 1:
                if stride != size:
                    return False
                size *= n
        return True


def read_through(content: Layout, view: Layout) -> Places:
    """Return, for each element of a view, which element of the content it is.

    Args:
        content: The layout of a tensor that covers the storage.
        view: The layout of another tensor in the storage.
    """
    places = content.places().reshape(-1)
    element_at = np.empty(places.size, dtype=np.int64)
    element_at[places] = np.arange(places.size)
    return element_at[view.places()]


def write_over(content: Layout, part: Layout, *, known: bool) -> Places:
    """Return where the elements of a storage come from after a part of it was written to.

    Args:
        content: The layout of a tensor that covers the storage.
        part: The layout of the tensor that was written to.
        known: Whether the storage had values before; otherwise they are constants.

    Returns:
        For each element of the content, its number among those of the content, if they are known,
        and those of the part behind them; -1 for a constant.
    """
    places = content.places()
    n = places.size if known else 0
    source = np.arange(n, dtype=np.int64) if known else np.full(places.size, -1, dtype=np.int64)
    at_place = np.empty(places.size, dtype=np.int64)
    at_place[places.reshape(-1)] = source
    written = part.places()
    at_place[written.reshape(-1)] = n + np.arange(written.size)
    return at_place[places]
