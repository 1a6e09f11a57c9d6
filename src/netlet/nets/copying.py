"""Copy a net, also one that keeps tensors of a run; name the attribute that cannot be copied."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from netlet.errors import NetError
from netlet.nets.registered import (
    find_device,
    list_attributes,
    list_buffers,
    list_modules,
    list_parameters,
)

_N = TypeVar("_N", bound=nn.Module)
_MAX_DEPTH = 8
_REMEDY = "create it in forward, or make it a global name of the file"
_REGISTRIES = ("_parameters", "_buffers", "_modules")


class UncopyableError(NetError):
    """A net has an attribute that Python cannot copy, such as a lock or an open file."""


def copy_net(net: _N) -> _N:
    """Return a deep copy of a net.

    PyTorch does not copy tensors that belong to a graph for gradients, such as a feature map that
    the net keeps for a plot. The copy has their numbers.

    Args:
        net: It stays as it is.

    Raises:
        UncopyableError: An attribute of the net cannot be copied.
    """
    try:
        return copy.deepcopy(net, _copy_kept(net))
    except Exception as error:  # of the attributes' own code
        found = find_uncopyable(net)
        if not found:
            raise
        raise UncopyableError(found) from error


def find_uncopyable(net: nn.Module) -> str:
    """Return which attribute of a net cannot be copied, with the remedy; empty if all can be.

    Args:
        net: It stays as it is.
    """
    memo = _copy_kept(net)
    modules = list_modules(net)
    memo |= {id(module): module for _, module in modules}
    memo |= {id(tensor): tensor for _, tensor in (*list_parameters(net), *list_buffers(net))}
    for path, module in modules:
        for name, value in list_attributes(module).items():
            if name in _REGISTRIES:
                continue
            try:
                copy.deepcopy(value, memo)
            except Exception:  # of the attribute's own code
                where = f"{path}.{name}" if path else name
                what = f"the attribute {where} ({type(value).__name__}) cannot be copied"
                return f"{what}, and training copies the net; {_REMEDY}"
    return ""


def _copy_kept(net: nn.Module) -> dict[int, Any]:
    """Return copies of the tensors of a graph for gradients that a net keeps, by their ids."""
    return {
        id(tensor): tensor.detach().clone()
        for _, module in list_modules(net)
        for tensor in _list_kept(list_attributes(module), 0)
        if tensor.grad_fn is not None
    }


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
