"""The modules, parameters and buffers of a net, read where PyTorch keeps them.

A class may override ``parameters()``, ``named_modules()`` or ``__dict__``. What a budget counts
does not depend on what these return.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

# Kept from before any other code runs, which could replace them.
_get_attributes = nn.Module.__dict__["__dict__"].__get__
_numel = torch._C.TensorBase.numel
_element_size = torch._C.TensorBase.element_size
_is_complex = torch._C.TensorBase.is_complex


def list_modules(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the net and all modules registered in it with their paths, each module once."""
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()

    def visit(path: str, module: nn.Module) -> None:
        if id(module) in seen:
            return
        seen.add(id(module))
        found.append((path, module))
        for name, child in _registry(module, "_modules"):
            if child is not None:
                visit(f"{path}.{name}" if path else name, child)

    visit("", net)
    return found


def list_parameters(net: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return the registered parameters of a net with their names, each tensor once."""
    return _list_tensors(net, "_parameters")


def list_buffers(net: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return the registered buffers of a net with their names, each tensor once."""
    return _list_tensors(net, "_buffers")


def find_device(net: nn.Module) -> torch.device:
    """Return the device of a net's first parameter; the CPU if it has none."""
    return next((tensor.device for _, tensor in list_parameters(net)), torch.device("cpu"))


def own_parameters(module: nn.Module) -> list[torch.Tensor]:
    """Return the parameters that are registered in a module itself."""
    return [value for _, value in _registry(module, "_parameters") if value is not None]


def own_buffers(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return the buffers that are registered in a module itself, with their names."""
    return [(name, value) for name, value in _registry(module, "_buffers") if value is not None]


def list_attributes(module: nn.Module) -> dict[str, Any]:
    """Return what is stored in a module itself, registered or not."""
    return dict(_get_attributes(module))


def count_numbers(tensors: Iterable[torch.Tensor]) -> int:
    """Return how many numbers some tensors hold; a complex number counts as two."""
    with torch._C.DisableTorchFunction():
        return sum(int(_numel(t)) * (2 if _is_complex(t) else 1) for t in tensors)


def count_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return how many bytes some tensors hold."""
    with torch._C.DisableTorchFunction():
        return sum(int(_numel(t)) * int(_element_size(t)) for t in tensors)


def _list_tensors(net: nn.Module, kind: str) -> list[tuple[str, torch.Tensor]]:
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for path, module in list_modules(net):
        for name, value in _registry(module, kind):
            if value is not None:
                found.setdefault(id(value), (f"{path}.{name}" if path else name, value))
    return list(found.values())


def _registry(module: nn.Module, kind: str) -> Iterator[tuple[str, Any]]:
    if isinstance(module, torch.jit.ScriptModule):  # keeps them in its compiled form
        yield from getattr(module, kind).items()
        return
    values = _get_attributes(module).get(kind)
    if isinstance(values, dict):
        yield from list(dict.items(values))
