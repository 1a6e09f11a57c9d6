"""Remember the functions that netlet's statements rest on, and put them back."""

from __future__ import annotations

import builtins
import functools
import json
import math
import os
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
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
        self._owners = _list_owners()
        self._before = _Names(self._owners)

    def restore(self) -> list[str]:
        """Put back what has been replaced since, and return the names of it."""
        replaced = []
        if not self._before.same_as(_Names(self._owners)):
            for owner, before in self._before.split(self._owners):
                replaced += _restore_owner(owner, before)
        return replaced


class _Names:
    """All names and values of many modules and classes.

    They are in a few long lists, since a command does this often: lists are filled and compared
    quickly, while a thousand copies of namespaces would keep the garbage collector busy.

    Args:
        owners: The modules and classes.
    """

    def __init__(self, owners: Iterable[Any]) -> None:
        self._names: list[str] = []
        self._values: list[Any] = []
        self._ends: list[int] = []
        for owner in owners:
            namespace = vars(owner)
            self._names += namespace
            self._values += namespace.values()
            self._ends.append(len(self._names))

    def same_as(self, other: _Names) -> bool:
        """Return whether both have the same objects; a value could lie about being equal."""
        return (
            self._ends == other._ends
            and self._names == other._names
            and all(map(is_, self._values, other._values))
        )

    def split(self, owners: Iterable[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield each owner with its namespace."""
        start = 0
        for owner, end in zip(owners, self._ends, strict=True):
            yield owner, dict(zip(self._names[start:end], self._values[start:end], strict=True))
            start = end


def _list_owners() -> list[Any]:
    owners: list[Any] = [*_MODULES, *_CLASSES]
    for name, module in list(sys.modules.items()):
        if name == "netlet" or name.startswith("netlet."):
            owners.append(module)
            owners += _classes_of(module, len(vars(module)))
    return owners


@functools.cache
def _classes_of(module: types.ModuleType, names: int) -> tuple[type, ...]:
    """Return the classes that a module defines; its number of names tells when to look again."""
    del names
    found = (value for value in vars(module).values() if isinstance(value, type))
    return tuple(value for value in found if value.__module__ == module.__name__)


def _restore_owner(owner: Any, before: Mapping[str, Any]) -> list[str]:
    replaced = []
    now = vars(owner)
    for name, value in before.items():
        if now.get(name) is value or not _is_code(owner, name, value):
            continue
        if _wrapped_by_pytorch(now.get(name)):
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


def _wrapped_by_pytorch(value: Any) -> bool:
    """Return whether TorchDynamo has put this function around a method of :class:`nn.Module`.

    It does so once, when a function is called that must not be compiled.
    """
    guard = sys.modules.get("torch._dynamo.mutation_guard")
    return guard is not None and getattr(value, "__globals__", None) is vars(guard)


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
