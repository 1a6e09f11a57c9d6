"""Count the weights that come back from the sandbox, whatever the code inside says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import torch

from netlet.budgets import FAILS_ALONE, ModelCost
from netlet.classroom.copies import digest_tensor

_MOST_STATISTICS = 4_096  # numbers in one tensor
_MOST_REPEATS = 256  # tensors that are not counted
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

    Weights that layers share come back once for each layer, and count once. So do weights that are
    alike without being shared, such as biases of zero: the count of the code inside has them all.
    """
    statistics = _find_statistics(state)
    distinct = _leave_out_repeats(state.values())
    others = [tensor for name, tensor in state.items() if name not in statistics]
    total = sum(tensor.numel() for tensor in distinct)
    counted = sum(tensor.numel() for tensor in _leave_out_repeats(others))
    counted = max(counted, total // 2)
    size = sum(tensor.numel() * tensor.element_size() for tensor in distinct)
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


def _leave_out_repeats(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return tensors without those that repeat another one to the last bit.

    Only so many are left out, the largest first: with thousands of small ones, which of them
    repeats which other one could say as much as weights that are not repeated.
    """
    kept: list[torch.Tensor] = []
    seen: set[bytes] = set()
    left_out = 0
    for tensor in sorted(tensors, key=torch.Tensor.numel, reverse=True):
        digest = digest_tensor(tensor)
        if digest in seen and left_out < _MOST_REPEATS:
            left_out += 1
        else:
            kept.append(tensor)
            seen.add(digest)
    return kept


def _find_statistics(state: Mapping[str, torch.Tensor]) -> set[str]:
    """Return the names of what can be the statistics of layers of batch normalization."""
    found: set[str] = set()
    for name, mean in state.items():
        layer, dot, last = name.rpartition(".")
        variance = state.get(f"{layer}{dot}running_var")
        if last != "running_mean" or variance is None or mean.shape != variance.shape:
            continue
        if mean.dim() == 1 and mean.numel() <= _MOST_STATISTICS:
            found |= {name, f"{layer}{dot}running_var"}
            batches = state.get(f"{layer}{dot}num_batches_tracked")  # own layers may have none
            if batches is not None and batches.numel() == 1:
                found.add(f"{layer}{dot}num_batches_tracked")
    return found
