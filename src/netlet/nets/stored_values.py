"""Read users' objects as Python stores them: none of their code runs, and nothing raises.

A proxy may raise whatever it is asked, even for its class, as ``isinstance`` asks it; and another
thread may change a list or a dict at any time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, TypeGuard, TypeVar

_T = TypeVar("_T")
_SLOTS = GetSetDescriptorType, MemberDescriptorType
_HOLDERS: Sequence[Any] = dict, list, tuple, set, frozenset
_get_class_names = vars(type)["__dict__"].__get__
_get_module_names = vars(ModuleType)["__dict__"].__get__
_get_bases = vars(type)["__mro__"].__get__
_get_name = vars(type)["__name__"].__get__
_get_module = vars(type)["__module__"].__get__


def is_a(value: object, kind: type[_T]) -> TypeGuard[_T]:
    """Return whether an object is of a class, as ``isinstance`` does without asking the object."""
    return issubclass(type(value), kind)


def list_bases(cls: type) -> tuple[type, ...]:
    """Return a class and those that it is derived from."""
    found: tuple[type, ...] = _get_bases(cls)
    return found


def read_class_name(cls: type) -> str:
    """Return the name of a class."""
    found: str = _get_name(cls)
    return found


def read_module(value: object) -> str:
    """Return the name of the module of a class or function; empty if it is not known."""
    found: object = None
    with contextlib.suppress(AttributeError):  # a class without one
        found = _get_module(value) if is_a(value, type) else read_attribute(value, "__module__")
    return str.__str__(found) if is_a(found, str) else ""


def read_names(value: object) -> Mapping[str, Any]:
    """Return the names that are stored in a class, a module or another object itself."""
    found: object = None
    if is_a(value, type):
        found = dict(_get_class_names(value))
    elif is_a(value, FunctionType):
        found = value.__dict__
    elif is_a(value, ModuleType):
        found = _get_module_names(value)
    else:
        found = _read_slot(value, "__dict__")
    return found if is_a(found, dict) else {}


def read_attribute(value: object, name: str) -> object:
    """Return what is stored in an object as an attribute; None if nothing is."""
    names = read_names(value)
    if name in names:
        return names[name]
    return None if is_a(value, type) else _read_slot(value, name)


def _read_slot(value: object, name: str) -> object:
    """Return what an object stores outside its ``__dict__``, or this; None if there is none."""
    for cls in list_bases(type(value)):
        if (slot := _get_class_names(cls).get(name)) is not None:
            with contextlib.suppress(Exception):  # an empty slot
                return slot.__get__(value) if type(slot) in _SLOTS else None
    return None


def list_held(value: Any, most: int) -> list[object]:
    """Return what a list, tuple, set or dict holds, of a dict its values; nothing for others."""
    kind = next((kind for kind in _HOLDERS if is_a(value, kind)), None)
    if kind is None:
        return []
    return [*(dict.values(value) if kind is dict else kind.__iter__(value))][:most]


def list_wrapped(value: object) -> list[object]:
    """Return an object and what is inside its decorators, as far as they tell; that comes last."""
    chain, seen = [value], {id(value)}
    while (inner := read_attribute(chain[-1], "__wrapped__")) is not None and id(inner) not in seen:
        chain.append(inner)
        seen.add(id(inner))
    return chain
