"""Remember the functions that netlet's statements rest on, and put them back."""

from __future__ import annotations

import builtins
import json
import math
import os
import sys
import types
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Of other programs, those that count and watch; a net may replace others, such as its layers'
# initialization.
_CLASSES = (nn.Module, torch.Tensor, nn.Parameter, TorchFunctionMode, TorchDispatchMode)
_MODULES = (builtins, json, math, os)
_KINDS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    type,
    property,
    classmethod,
    staticmethod,
)


class CodeState:
    """The functions and classes of netlet, and of PyTorch those that count and watch, as now."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []
        self._names: list[tuple[Any, frozenset[str]]] = []
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "netlet" or module in _MODULES:
                self._remember(module)
        for owner in _CLASSES:
            self._remember(owner)

    def restore(self) -> list[str]:
        """Put back what has been replaced since, and return the names of it."""
        replaced = []
        for owner, name, value in self._before:
            now = vars(owner).get(name)
            if now is not value and (owner is not os or name != "_exit"):
                try:
                    setattr(owner, name, value)
                except (AttributeError, TypeError):  # a class of C
                    continue
                replaced.append(_full_name(owner, name))
        for owner, names in self._names:
            for name in _shadowing(owner, set(vars(owner)) - names):
                delattr(owner, name)
                replaced.append(_full_name(owner, name))
        return replaced

    def _remember(self, owner: Any) -> None:
        self._names.append((owner, frozenset(vars(owner))))
        for name, value in list(vars(owner).items()):
            is_constant = isinstance(owner, types.ModuleType) and name.strip("_").isupper()
            if not isinstance(value, _KINDS) and not is_constant:
                continue
            if name in ("__dict__", "__weakref__", "__class__", "__annotations__", "__doc__"):
                continue
            self._before.append((owner, name, value))
            inside = isinstance(owner, types.ModuleType) and isinstance(value, type)
            if inside and value.__module__ == owner.__name__ and owner not in _MODULES:
                self._remember(value)


def _shadowing(owner: Any, added: set[str]) -> list[str]:
    """Return the added names that hide an inherited method or a function of Python's."""
    if isinstance(owner, type):
        return [name for name in added if any(name in vars(base) for base in owner.__mro__[1:])]
    return [name for name in added if name in vars(builtins)] if owner not in _MODULES else []


def _full_name(owner: Any, name: str) -> str:
    is_class = isinstance(owner, type)
    prefix = f"{owner.__module__}.{owner.__qualname__}" if is_class else owner.__name__
    return f"{prefix}.{name}"
