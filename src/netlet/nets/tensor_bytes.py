"""The bytes of a tensor, without a lasting effect on it."""

from __future__ import annotations

import torch


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """Return the numbers of a tensor as bytes.

    They are copied first: PyTorch no longer resizes a tensor that has been an array of NumPy, as
    the observers of ``torch.ao`` do with their buffers.
    """
    values = tensor.detach().cpu().resolve_conj().resolve_neg()
    values = values.clone(memory_format=torch.contiguous_format)
    return values.view(-1).view(torch.uint8).numpy().tobytes()
