"""Turn a state dict into tensors that safetensors can hold, with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch

# What all versions of safetensors can hold, by the bytes of an element. The tensors of other types
# are returned as these: they are counted and compared, but not computed with.
_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_HELD = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.int8, torch.bool, *_WHOLE.values()),
}


def list_plain(state: Mapping[str, object]) -> dict[str, torch.Tensor]:
    """Return copies of the tensors in a state dict, without what else modules put into it."""
    tensors = {name: one for name, one in state.items() if isinstance(one, torch.Tensor)}
    return {name: make_plain(tensor) for name, tensor in tensors.items()}


def make_plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of a tensor in memory, in a type that safetensors can hold.

    A complex number becomes two, as it is counted. Of a sparse tensor, the numbers that it stores
    are returned, and of a quantized one the integers. One without memory becomes zeros.
    """
    tensor = tensor.detach()
    if tensor.is_meta:
        tensor = torch.zeros(tensor.shape, dtype=torch.uint8)
    elif tensor.is_nested:
        tensor = torch.cat([one.reshape(-1) for one in tensor.unbind()])
    elif tensor.is_sparse:
        tensor = tensor.coalesce().values()
    elif tensor.is_mkldnn:
        tensor = tensor.to_dense()
    elif tensor.layout != torch.strided:
        tensor = tensor.values()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.dtype not in _HELD:
        tensor = tensor.view(_WHOLE[tensor.element_size()])
    # Cloned, since safetensors cannot store shared parameters.
    return tensor.cpu().contiguous().clone()
