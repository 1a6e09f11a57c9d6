"""Count the weights that come back from the sandbox, whatever the code inside says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from netlet.budgets import FAILS_ALONE, ModelCost

_MOST_STATISTICS = 4_096  # numbers in one tensor
_LARGEST_COUNT = 1 << 53
_MOST_DIMENSIONS = 64  # of a tensor


def check_counts(cost: ModelCost) -> None:
    """Check that numbers from the sandbox can be those of a net.

    Raises:
        ValueError: One is negative or too large.
    """
    for count in (cost.parameters, cost.macs, cost.weight_bytes, cost.activation_bytes):
        if not 0 <= (count or 0) < _LARGEST_COUNT:
            raise ValueError(f"a count of {count}")
    shape = tuple(cost.one_image or ())
    if shape == FAILS_ALONE:
        return
    if len(shape) > _MOST_DIMENSIONS or not all(0 < size < _LARGEST_COUNT for size in shape):
        raise ValueError("a shape that is none")


def count_again(cost: ModelCost, state: Mapping[str, torch.Tensor]) -> tuple[ModelCost, list[str]]:
    """Count the numbers in the tensors that came back; the larger count is used.

    Buffers count, too, except the statistics of batch normalization. At most half of all numbers
    are statistics: a layer has two for each channel, and there are at least two weights for it.
    """
    total = sum(tensor.numel() for tensor in state.values())
    counted = max(total - _count_statistics(state), total // 2)
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    notes = []
    if counted > cost.parameters:
        notes.append(
            f"the weights have {counted:,} numbers besides batch norm's statistics, not "
            f"{cost.parameters:,}; the larger count is judged"
        )
    return (
        dataclasses.replace(
            cost,
            parameters=max(cost.parameters, counted),
            weight_bytes=max(cost.weight_bytes, size),
        ),
        notes,
    )


def _count_statistics(state: Mapping[str, torch.Tensor]) -> int:
    """Return how many numbers can be the statistics of layers of batch normalization."""
    found = 0
    for name, mean in state.items():
        layer, dot, last = name.rpartition(".")
        variance = state.get(f"{layer}{dot}running_var")
        if last != "running_mean" or variance is None or mean.shape != variance.shape:
            continue
        if mean.dim() == 1 and mean.numel() <= _MOST_STATISTICS:
            batches = state.get(f"{layer}{dot}num_batches_tracked")  # own layers may have none
            found += 2 * mean.numel() + (batches is not None and batches.numel() == 1)
    return found
