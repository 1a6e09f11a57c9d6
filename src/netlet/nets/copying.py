"""Copy a net, also one that keeps tensors of a run."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from netlet.nets.registered import find_device, list_attributes, list_modules

_N = TypeVar("_N", bound=nn.Module)
_MAX_DEPTH = 8


def copy_net(net: _N) -> _N:
    """Return a deep copy of a net.

    PyTorch does not copy tensors that belong to a graph for gradients, such as a feature map that
    the net keeps for a plot. The copy has their numbers.

    Args:
        net: It stays as it is.
    """
    memo: dict[int, Any] = {}
    kept = []
    for _, module in list_modules(net):
        for tensor in _list_kept(list_attributes(module), 0):
            if tensor.grad_fn is not None:
                memo[id(tensor)] = tensor.detach().clone()
                kept.append(tensor)
    return copy.deepcopy(net, memo)


def copy_to_cpu(net: _N) -> _N:
    """Return a net on the CPU: the net itself if it is there, else a copy."""
    return net if find_device(net).type == "cpu" else copy_net(net).cpu()


def _list_kept(value: Any, depth: int) -> Iterator[torch.Tensor]:
    """Yield the tensors in a value and in the containers that it consists of."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth < _MAX_DEPTH and isinstance(value, dict | list | tuple | set):
        for part in list(value.values() if isinstance(value, dict) else value):
            yield from _list_kept(part, depth + 1)
