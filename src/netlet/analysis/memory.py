"""The peak of memory for a net's activations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from netlet.graph import FunctionCall
from netlet.graph.operations import (
    Activation,
    Arithmetic,
    BatchNorm,
    Dropout,
    Elementwise,
    Opaque,
    Operation,
    TensorClamp,
)

# These can write their output over their input.
_IN_PLACE = (Activation, Arithmetic, BatchNorm, Elementwise, TensorClamp)


@dataclass(frozen=True)
class _Use:
    """The memory that one operation uses, by address."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    in_place: bool = False


def peak_bytes(images: torch.Tensor, calls: Iterable[FunctionCall]) -> int:
    """Return the maximum number of bytes alive at the same time, for one image.

    A tensor is alive from the operation that creates it to the last one that reads it. Views share
    their memory. An element-wise operation overwrites its input if nothing reads that again.

    Args:
        images: The batch that the net ran on.
        calls: All operations in order, without dropout, which does nothing in evaluation mode.
    """
    size: dict[int, int] = {}
    _note_sizes(size, [images], len(images))
    uses = [_Use((), (_storage(images),))]
    for call in calls:
        if isinstance(call.operation, Dropout):
            continue
        _note_sizes(size, call.outputs, len(images))
        inputs, outputs = (tuple(map(_storage, side)) for side in (call.inputs, call.outputs))
        uses.append(_Use(inputs, outputs, _can_overwrite(call.operation)))
    last_use = {memory: at for at, use in enumerate(uses) for memory in (*use.inputs, *use.outputs)}
    alive: set[int] = set()
    peak = 0
    for at, use in enumerate(uses):
        # Further outputs (indices, saved statistics) serve training only.
        made = use.outputs[0]
        dying = {m for m in use.inputs if last_use[m] == at and m != made}
        if use.in_place and any(size[m] == size[made] for m in dying):
            alive -= dying
            dying = set()
        alive.add(made)
        peak = max(peak, sum(size[m] for m in alive))
        alive -= dying
    return peak


def _can_overwrite(operation: Operation | None) -> bool:
    if isinstance(operation, Opaque) and operation.like is not None:
        return _can_overwrite(operation.like)
    return operation is None or isinstance(operation, _IN_PLACE)


def _note_sizes(size: dict[int, int], tensors: Iterable[torch.Tensor], batch: int) -> None:
    for tensor in tensors:
        bytes_ = tensor.numel() * tensor.element_size() // batch
        size[_storage(tensor)] = max(bytes_, size.get(_storage(tensor), 0))


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
