"""The peak of memory for a net's activations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import torch

from netlet.graph import BATCH, FunctionCall
from netlet.graph.aten_names import VIEWS
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
from netlet.graph.tensors import memory_key

# Memory is measured as in float32.
FLOAT_BYTES = 4

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
    uses = [_Use((), (memory_key(images),))]
    for call in calls:
        if call.constant or isinstance(call.operation, Dropout):
            continue
        _note_sizes(size, call.outputs, len(images))
        inputs, outputs = (tuple(map(memory_key, side)) for side in (call.inputs, call.outputs))
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


def forward_backward_bytes(calls: Iterable[FunctionCall]) -> int:
    """Return the size of the outputs of all operations and of their gradients, for one image.

    In float32. Views have none of their own. The sum is the same whether a net is written with
    modules or with functions.

    Args:
        calls: All operations in order.
    """
    outputs = sum(
        prod(call.output_shape)
        for call in calls
        if not call.constant and call.function not in VIEWS
    )
    return 2 * FLOAT_BYTES * outputs // BATCH


def _can_overwrite(operation: Operation | None) -> bool:
    if isinstance(operation, Opaque) and operation.like is not None:
        return _can_overwrite(operation.like)
    return operation is None or isinstance(operation, _IN_PLACE)


def _note_sizes(size: dict[int, int], tensors: Iterable[torch.Tensor], batch: int) -> None:
    for tensor in tensors:
        # A net of another precision is measured as in float32.
        each = FLOAT_BYTES if tensor.is_floating_point() else tensor.element_size()
        bytes_ = tensor.numel() * each // batch
        size[memory_key(tensor)] = max(bytes_, size.get(memory_key(tensor), 0))
