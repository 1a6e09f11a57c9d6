"""Where the tensors of a call are: among its arguments, and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


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


def address(tensor: torch.Tensor) -> int | None:
    """Return the address of a tensor's first number; None if it has none, as if sparse."""
    try:
        with torch._C.DisableTorchFunction():  # which a parameter of a lazy layer does not allow
            return tensor.data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None
