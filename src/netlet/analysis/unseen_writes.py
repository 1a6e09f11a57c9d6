"""Notice what is written into tensors where no operation is seen, as through an array of NumPy."""

from __future__ import annotations

import ctypes

import torch

from netlet.graph.tensors import storage_address

_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


class UnseenWrites:
    """The contents of memory after each operation, to compare with them before the next one."""

    def __init__(self) -> None:
        self._digests: dict[int, int] = {}  # storage -> hash of its bytes

    def remember(self, tensor: torch.Tensor) -> None:
        """Note the content of a tensor's memory; on the CPU only."""
        tensor = _with_memory(tensor)
        if (storage := storage_address(tensor)) is not None and tensor.device.type == "cpu":
            self._digests[storage] = _digest(tensor)

    def found_in(self, tensor: torch.Tensor) -> bool:
        """Return whether the memory has another content than when it was noted last."""
        tensor = _with_memory(tensor)
        known = self._digests.get(storage_address(tensor) or 0)
        return known is not None and known != _digest(tensor)


def _with_memory(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor that has the numbers of a sparse one, or any other tensor as it is."""
    if tensor.layout is torch.sparse_coo:
        return tensor._values()
    return tensor.values() if tensor.layout in _COMPRESSED else tensor


def _digest(tensor: torch.Tensor) -> int:
    storage = tensor.untyped_storage()
    return hash(ctypes.string_at(storage.data_ptr(), storage.nbytes()))
