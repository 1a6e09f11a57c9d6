"""Find the logits in a net's output, which may be a tensor, tuple, list or dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from netlet.errors import NetError

_KEYS = ("logits", "out", "output", "y", "scores")  # searched first in dicts


def extract_logits(output: Any) -> torch.Tensor:
    """Return the logits ``N K`` from a net's output.

    Args:
        output: A tensor ``N K`` or ``N K 1 1``; a tuple or list, whose first tensor is used; or a
            dict, whose ``logits`` (``out``, ``output``, ...) or else first tensor is used.

    Raises:
        NetError: The output contains no tensor.
    """
    found = first_tensor(output)
    if found is None:
        raise NetError(
            f"the net returns a {type(output).__name__} without a tensor; it must return logits of "
            "shape (N, K)"
        )
    return found.flatten(1) if found.dim() > 2 and found.shape[2:].numel() == 1 else found


def first_tensor(output: Any) -> torch.Tensor | None:
    """Return the first tensor in a module's output, in dicts by preferred keys, or None."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        output = [*(output[name] for name in _KEYS if name in output), *output.values()]
    if isinstance(output, list | tuple):
        return next(
            (tensor for value in output if (tensor := first_tensor(value)) is not None), None
        )
    return None


def count_tensors(output: Any) -> int:
    """Return how many tensors are in a module's output, of which one has the logits."""
    if isinstance(output, torch.Tensor):
        return 1
    if isinstance(output, Mapping):
        output = list(output.values())
    return sum(map(count_tensors, output)) if isinstance(output, list | tuple) else 0


def name_logits(output: Any) -> str:
    """Return which of several tensors has the logits, in words."""
    if isinstance(output, Mapping):
        for name in _KEYS:
            if name in output and first_tensor(output[name]) is not None:
                return repr(name)
    return "the first"


def center_logits(logits: torch.Tensor) -> torch.Tensor:
    """Subtract each image's mean, since log-probabilities are logits minus a constant."""
    return logits - logits.mean(1, keepdim=True)
