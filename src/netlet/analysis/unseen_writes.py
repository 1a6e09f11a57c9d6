"""Notice what is written into tensors where no operation is seen, as through an array of NumPy.

The memory of a tensor is compared in blocks, only in those that its own numbers lie in: what this
costs depends on what a net reads, also where many weights are views of one tensor.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import torch

from netlet.graph.tensors import storage_address

_BLOCK = 4096  # bytes
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
# A class may override them.
_size, _stride = torch._C.TensorBase.size, torch._C.TensorBase.stride


class UnseenWrites:
    """The contents of memory after each operation, to compare with them before the next one."""

    def __init__(self) -> None:
        self._digests: dict[int, int] = {}  # address of a block -> hash of its bytes

    def remember(self, tensor: torch.Tensor, *, storage: bool = False) -> None:
        """Note the content of a tensor's memory, or of all its storage; on the CPU only."""
        self._digests.update(_digest_blocks(tensor, storage=storage))

    def found_in(self, tensor: torch.Tensor) -> bool:
        """Return whether the memory has another content than when it was noted last."""
        return any(
            self._digests.get(block, digest) != digest for block, digest in _digest_blocks(tensor)
        )


def digest(tensor: torch.Tensor) -> int:
    """Return a hash of the content of a tensor's memory."""
    return hash(tuple(_digest_blocks(tensor)))


def _digest_blocks(tensor: torch.Tensor, *, storage: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the address and the hash of each block of memory that a tensor's numbers lie in."""
    tensor = _with_memory(tensor)
    address = storage_address(tensor)
    if address is None or tensor.device.type != "cpu":
        return
    total = tensor.untyped_storage().nbytes()
    everything = range(-(-total // _BLOCK))
    for block in everything if storage or tensor.is_nested else _list_blocks(tensor):
        start = block * _BLOCK
        if start < total:
            content = ctypes.string_at(address + start, min(_BLOCK, total - start))
            yield address + start, hash(content)


def _list_blocks(tensor: torch.Tensor) -> list[int]:
    """Return which blocks of its storage a tensor's numbers lie in."""
    item = tensor.element_size()
    dims = [
        (stride * item, size) for stride, size in zip(_stride(tensor), _size(tensor), strict=True)
    ]
    if any(size == 0 for _, size in dims):
        return []
    starts = [tensor.storage_offset() * item]
    extent = item + sum(stride * (size - 1) for stride, size in dims)
    for stride, size in sorted(dims, reverse=True):
        rest = extent - stride * (size - 1)
        if rest + _BLOCK > stride:  # no whole block lies between two of its parts
            break
        starts = [start + stride * at for start in starts for at in range(size)]
        extent = rest
    blocks: set[int] = set()
    for start in starts:
        blocks.update(range(start // _BLOCK, (start + extent - 1) // _BLOCK + 1))
    return sorted(blocks)


def _with_memory(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor that has the numbers of a sparse one, or any other tensor as it is."""
    if tensor.layout is torch.sparse_coo:
        return tensor._values()
    return tensor.values() if tensor.layout in _COMPRESSED else tensor
