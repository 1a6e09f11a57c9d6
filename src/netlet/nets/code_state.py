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
from itertools import chain, islice
from operator import is_, methodcaller
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Of other programs, those that count and watch; a net may replace others, such as its layers'
# initialization.
_CLASSES = (nn.Module, torch.Tensor, nn.Parameter, TorchFunctionMode, TorchDispatchMode)
_MODULES = (builtins, json, math, os)
_READS = 100  # of names that change while they are read
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
        if not self._before.unchanged():
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
        self._namespaces = list(map(vars, owners))
        # Another thread may add a name meanwhile, as a lazy import does; names and values would
        # then belong to other owners.
        for _ in range(_READS):
            self._sizes = self._read_sizes()
            self._names: list[str] = list(chain.from_iterable(self._namespaces))
            self._values: list[Any] = list(self._read_values())
            if self._sizes == self._read_sizes() and len(self._names) == len(self._values):
                break

    def _read_values(self) -> Iterator[Any]:
        return chain.from_iterable(map(methodcaller("values"), self._namespaces))

    def _read_sizes(self) -> list[int]:
        return list(map(len, self._namespaces))

    def unchanged(self) -> bool:
        """Return whether all names have the same objects as before.

        Values are compared by identity, since they could lie about being equal.
        """
        return (
            self._sizes == self._read_sizes()
            and self._names == list(chain.from_iterable(self._namespaces))
            and all(map(is_, self._values, self._read_values()))
        )

    def split(self, owners: Iterable[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield each owner with its namespace as it was before."""
        pairs = zip(self._names, self._values, strict=True)
        for owner, size in zip(owners, self._sizes, strict=True):
            yield owner, dict(islice(pairs, size))


def _list_owners() -> tuple[Any, ...]:
    names = _select_own(tuple(sys.modules))
    modules = tuple(module for name in names if (module := sys.modules.get(name)))
    return _add_classes(modules, tuple(len(vars(module)) for module in modules))


@functools.lru_cache(maxsize=1)  # the last result: few modules are imported between two calls
def _select_own(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name == "netlet" or name.startswith("netlet."))


@functools.lru_cache(maxsize=1)
def _add_classes(modules: tuple[types.ModuleType, ...], sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """Return modules with the classes that they define; their sizes tell when to look again."""
    del sizes
    owners: list[Any] = [*_MODULES, *_CLASSES]
    for module in modules:
        found = (value for value in vars(module).values() if isinstance(value, type))
        owners += [module, *(value for value in found if value.__module__ == module.__name__)]
    return tuple(owners)


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
        added -= _OF_PYTHON
        return [name for name in added if any(name in vars(base) for base in owner.__mro__[1:])]
    if owner in _MODULES:
        return []
    return [name for name in added if name in vars(builtins) and not name.startswith("__")]


# Python itself puts these on a class, when an object is copied or its annotations are read.
_OF_PYTHON = {"__slotnames__", "__annotations__", "__annotations_cache__"}


def _full_name(owner: Any, name: str) -> str:
    is_class = isinstance(owner, type)
    prefix = f"{owner.__module__}.{owner.__qualname__}" if is_class else owner.__name__
    return f"{prefix}.{name}"
