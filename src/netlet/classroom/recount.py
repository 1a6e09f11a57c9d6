"""Count the weights that come back from the sandbox, whatever the code inside says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from netlet.budgets import ModelCost

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_MOST_STATISTICS = 4_096  # numbers in one tensor
_LARGEST_COUNT = 1 << 53


def check_counts(cost: ModelCost) -> None:
    """Check that numbers from the sandbox can be those of a net.

    Raises:
        ValueError: One is negative or too large.
    """
    for count in (cost.parameters, cost.macs, cost.weight_bytes, cost.activation_bytes):
        if not 0 <= (count or 0) < _LARGEST_COUNT:
            raise ValueError(f"a count of {count}")


def count_again(cost: ModelCost, state: Mapping[str, torch.Tensor]) -> tuple[ModelCost, list[str]]:
    """Count the numbers in the tensors that came back; the larger count is used.

    Buffers count, too, except the statistics of batch normalization.
    """
    counted = sum(
        tensor.numel() for name, tensor in state.items() if not _is_statistic(name, tensor)
    )
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


def _is_statistic(name: str, tensor: torch.Tensor) -> bool:
    small = tensor.dim() <= 1 and tensor.numel() <= _MOST_STATISTICS
    return small and name.rpartition(".")[2] in _STATISTICS
