"""Where the tensors of a call are: among its arguments, and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def is_tensor(value: Any) -> bool:
    """Return whether something is a tensor."""
    return isinstance(value, torch.Tensor)


def list_tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in a value: itself, or those in a dictionary, list or tuple, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from list_tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from list_tensors(part)


def storage_address(tensor: torch.Tensor) -> int | None:
    """Return the address of a tensor's storage; None if it has none of its own, as if sparse."""
    try:
        return tensor.untyped_storage().data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None


def memory_key(tensor: torch.Tensor) -> int:
    """Return the same number for tensors that share their memory."""
    return storage_address(tensor) or id(tensor)


def address(tensor: torch.Tensor) -> int | None:
    """Return the address of a tensor's first number; None if it has none, as if sparse."""
    try:
        with torch._C.DisableTorchFunction():  # which a parameter of a lazy layer does not allow
            return tensor.data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None


def fills_storage(tensor: torch.Tensor) -> bool:
    """Return whether a tensor's numbers are all that its storage holds, each at its own place.

    False for a quantized tensor, whose scales are elsewhere, and if this is not known.
    """
    if storage_address(tensor) is None or tensor.is_quantized:
        return False
    numbers = 1
    # A class may override these methods.
    size, stride = torch._C.TensorBase.size(tensor), torch._C.TensorBase.stride(tensor)
    for step, length in sorted(zip(stride, size, strict=True)):
        if length != 1:
            if step != numbers:
                return False
            numbers *= length
    return numbers * tensor.element_size() == tensor.untyped_storage().nbytes()


def is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors are the same numbers in the same memory."""
    return (
        one.layout is other.layout is torch.strided
        and address(one) == address(other)
        and (one.shape, one.stride(), one.dtype) == (other.shape, other.stride(), other.dtype)
    )


def lies_in(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether a tensor has no numbers but those of another, in the same memory."""
    if not (one.layout is other.layout is torch.strided and one.dtype == other.dtype):
        return False
    if not other.is_contiguous() or storage_address(one) is None or not one.numel():
        return False
    steps = zip(one.shape, one.stride(), strict=True)
    first = one.storage_offset() - other.storage_offset()
    last = first + sum((size - 1) * step for size, step in steps)
    return storage_address(one) == storage_address(other) and 0 <= first <= last < other.numel()


def has_mask(indices: Any) -> bool:
    """Return whether one of some indices selects elements by truth values."""
    return any(index.dtype in (torch.bool, torch.uint8) for index in list_tensors(indices))


def version(tensor: torch.Tensor) -> int:
    """Return how often a tensor was written to, as far as PyTorch counts it."""
    try:
        return int(tensor._version)
    except RuntimeError:  # of a tensor in inference mode
        return 0


def has_own_dispatch(tensor: torch.Tensor) -> bool:
    """Return whether the class of a tensor runs operations by code of its own."""
    own = getattr(type(tensor), "__torch_dispatch__", None)
    return own is not None and own is not torch._C._disabled_torch_dispatch_impl
