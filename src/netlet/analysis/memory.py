"""How much memory the maps of a net need at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TensorUse:
    """One operation: the tensors it read and made, and whether it could write over what it read."""

    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    in_place: bool = False


def peak_bytes(uses: Sequence[TensorUse], batch: int) -> int:
    """Most bytes alive at once: a tensor lives from the operation that makes it to the last that reads it.

    Views share their memory; an element-wise operation writes over its input where nobody needs
    that again.

    Args:
        uses: All operations in their order, the first of them making the input.
        batch: Images that the tensors hold; the answer is for one.
    """
    last: dict[int, int] = {}
    size: dict[int, int] = {}
    for at, use in enumerate(uses):
        for tensor in [*use.inputs, *use.outputs]:
            last[_memory(tensor)] = at
        for tensor in use.outputs:
            bytes_ = tensor.numel() * tensor.element_size() // batch
            size[_memory(tensor)] = max(bytes_, size.get(_memory(tensor), 0))
    alive: set[int] = set()
    peak = 0
    for at, use in enumerate(uses):
        made = _memory(
            use.outputs[0]
        )  # further outputs (indices, saved statistics) serve training only
        dying = {m for m in map(_memory, use.inputs) if last[m] == at and m != made}
        if use.in_place and any(size[m] == size[made] for m in dying):
            alive -= dying
            dying = set()
        alive.add(made)
        peak = max(peak, sum(size[m] for m in alive))
        alive -= dying
    return peak


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
