"""Remember the functions that netlet's statements rest on, and put them back."""

from __future__ import annotations

import builtins
import functools
import json
import math
import os
import sys
import types
from collections.abc import Mapping
from operator import is_
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
        # Whole namespaces, since copying and comparing these is fast and a command does it often.
        self._before = [(owner, dict(vars(owner))) for owner in _list_owners()]

    def restore(self) -> list[str]:
        """Put back what has been replaced since, and return the names of it."""
        replaced = []
        for owner, before in self._before:
            if not _same_objects(before, vars(owner)):
                replaced += _restore_owner(owner, before)
        return replaced


def _list_owners() -> list[Any]:
    owners: list[Any] = [*_MODULES, *_CLASSES]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "netlet":
            owners += [module, *_classes_of(module, len(vars(module)))]
    return owners


@functools.cache
def _classes_of(module: types.ModuleType, names: int) -> tuple[type, ...]:
    """Return the classes that a module defines; its number of names tells when to look again."""
    del names
    found = (value for value in vars(module).values() if isinstance(value, type))
    return tuple(value for value in found if value.__module__ == module.__name__)


def _same_objects(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether both have the same names and values; a value could lie about being equal."""
    return (
        len(before) == len(now)
        and all(map(is_, before, now))
        and all(map(is_, before.values(), now.values()))
    )


def _restore_owner(owner: Any, before: Mapping[str, Any]) -> list[str]:
    replaced = []
    for name, value in before.items():
        if not _is_code(owner, name, value) or vars(owner).get(name) is value:
            continue
        if owner is os and name == "_exit":
            continue
        try:
            setattr(owner, name, value)
        except (AttributeError, TypeError):  # a class of C
            continue
        replaced.append(_full_name(owner, name))
    for name in _shadowing(owner, set(vars(owner)) - set(before)):
        delattr(owner, name)
        replaced.append(_full_name(owner, name))
    return replaced


def _is_code(owner: Any, name: str, value: Any) -> bool:
    if name in ("__dict__", "__weakref__", "__class__", "__annotations__", "__doc__"):
        return False
    is_constant = isinstance(owner, types.ModuleType) and name.strip("_").isupper()
    return isinstance(value, _KINDS) or is_constant


def _shadowing(owner: Any, added: set[str]) -> list[str]:
    """Return the added names that hide an inherited method or a function of Python's."""
    if isinstance(owner, type):
        return [name for name in added if any(name in vars(base) for base in owner.__mro__[1:])]
    return [name for name in added if name in vars(builtins)] if owner not in _MODULES else []


def _full_name(owner: Any, name: str) -> str:
    is_class = isinstance(owner, type)
    prefix = f"{owner.__module__}.{owner.__qualname__}" if is_class else owner.__name__
    return f"{prefix}.{name}"
