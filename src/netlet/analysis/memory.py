"""The peak of memory for a net's activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TensorUse:
    """The tensors of one operation.

    Attributes:
        inputs: Tensors it read.
        outputs: Tensors it created.
        in_place: Whether it could write its output over its input.
    """

    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    in_place: bool = False


def peak_bytes(uses: Sequence[TensorUse], batch: int) -> int:
    """Return the maximum number of bytes alive at the same time, for one image.

    A tensor is alive from the operation that creates it to the last one that reads it. Views share
    their memory. An element-wise operation overwrites its input if nothing reads that again.

    Args:
        uses: All operations in order; the first creates the input.
        batch: Number of images in the tensors.
    """
    last_use: dict[int, int] = {}
    size: dict[int, int] = {}
    for at, use in enumerate(uses):
        for tensor in [*use.inputs, *use.outputs]:
            last_use[_storage(tensor)] = at
        for tensor in use.outputs:
            bytes_ = tensor.numel() * tensor.element_size() // batch
            size[_storage(tensor)] = max(bytes_, size.get(_storage(tensor), 0))
    alive: set[int] = set()
    peak = 0
    for at, use in enumerate(uses):
        # Further outputs (indices, saved statistics) serve training only.
        made = _storage(use.outputs[0])
        dying = {m for m in map(_storage, use.inputs) if last_use[m] == at and m != made}
        if use.in_place and any(size[m] == size[made] for m in dying):
            alive -= dying
            dying = set()
        alive.add(made)
        peak = max(peak, sum(size[m] for m in alive))
        alive -= dying
    return peak


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
