"""What nets give: logits, alone or among other things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from netlet.errors import NetError

_NAMED = ("logits", "out", "output", "y", "scores")  # in dicts, first of all


def extract_logits(output: Any) -> torch.Tensor:
    """The scores ``N K`` in whatever a net gives.

    Args:
        output: A tensor ``N K`` or ``N K 1 1``; or a tuple or list, whose first tensor counts; or a
            dict, whose ``logits`` (``out``, ``output``, ...) count, else its first tensor.

    Raises:
        NetError: There is no tensor in it.
    """
    found = first_tensor(output)
    if found is None:
        raise NetError(
            f"the net gives a {type(output).__name__} without a tensor; it must give logits N K"
        )
    return found.flatten(1) if found.dim() > 2 and found.shape[2:].numel() == 1 else found


def first_tensor(output: Any) -> torch.Tensor | None:
    """The tensor that counts in whatever a module gives; None if there is none."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        output = [*(output[name] for name in _NAMED if name in output), *output.values()]
    if isinstance(output, list | tuple):
        return next(
            (tensor for value in output if (tensor := first_tensor(value)) is not None), None
        )
    return None
