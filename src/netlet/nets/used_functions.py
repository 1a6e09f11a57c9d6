"""Which functions a net may run: those of its classes, and what these use by their names."""

from __future__ import annotations

import ast
import contextlib
import dis
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType

from netlet.nets.stored_values import (
    is_a,
    list_bases,
    list_held,
    list_wrapped,
    read_attribute,
    read_module,
    read_names,
)
from netlet.nets.user_imports import is_installed

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_OWN_PACKAGE = __name__.partition(".")[0]
_READ_GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_READ_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_MEMBERS = {property: "fget", staticmethod: "__func__", classmethod: "__func__"}
_MEMBERS |= {cached_property: "func"}  # where they keep their functions
_MOST_HELD = 1_000  # functions that a list or dict holds


def walk_functions(values: Iterable[object]) -> Iterator[FunctionType]:
    """Yield the functions that classes and functions may run, those of libraries left out."""
    seen: set[FunctionType] = set()
    todo = [one for value in values for one in list_all_functions(value)]
    while todo:
        function = todo.pop()
        if function not in seen and not is_of_library(function):
            yield function
            todo += [one for value in find_used(function) for one in list_all_functions(value)]
        seen.add(function)


def find_used(function: FunctionType) -> Iterator[object]:
    """Yield what a function may use: by the names in it, its default values and outer functions."""
    read, names = list_names(function.__code__)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty
            yield cell.cell_contents
    todo = [read_global(function, name) for name in sorted(read)]
    inside = _list_attributes(function)
    modules = set[int]()
    while todo:
        value = todo.pop()
        yield from list_held(value, _MOST_HELD)
        if is_a(value, ModuleType) and id(value) not in modules:
            modules.add(id(value))
            todo += [read_names(value).get(one) for one in sorted(inside.get(id(value), names))]
        yield value


def read_global(function: FunctionType, name: str) -> object:
    """Return what a name means in the module of a function; None if nothing."""
    return dict.get(function.__globals__, name)


def _list_attributes(function: FunctionType) -> dict[int, set[str]]:
    """Return which names a function reads of a module, by the module's id.

    A module that it uses in any other way, as in ``m = module``, is left out.
    """
    found: dict[int, set[str]] = {}
    others: set[int] = set()
    for code in list_code(function.__code__):
        steps = [one for one in dis.get_instructions(code) if one.opname != "EXTENDED_ARG"]
        for i, step in enumerate(steps):
            if step.opname not in _READ_GLOBALS:
                continue
            value = read_global(function, str(step.argval))
            for after in steps[i + 1 :]:
                if not is_a(value, ModuleType):
                    break
                if after.opname not in _READ_ATTRIBUTES:
                    others.add(id(value))
                    break
                found.setdefault(id(value), set()).add(str(after.argval))
                value = read_names(value).get(str(after.argval))
    return {module: names for module, names in found.items() if module not in others}


def name_lambdas(function: FunctionType) -> dict[FunctionType, str]:
    """Return the names by which a function reads lambdas of its module."""
    found: dict[FunctionType, str] = {}
    for name in list_names(function.__code__)[0]:
        value = read_global(function, name)
        if not is_a(value, FunctionType) or value.__globals__ is not function.__globals__:
            continue
        if value.__code__.co_name == "<lambda>":
            found[value] = name
    return found


def list_names(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the global names that a function reads, and these with the names of attributes.

    Those in functions inside it count.
    """
    read, names = set[str](), set(code.co_names)
    for one in dis.get_instructions(code):
        if one.opname in _READ_GLOBALS:
            read.add(str(one.argval))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = list_names(constant)
            read |= inner[0]
            names |= inner[1]
    return read, names


def list_functions(value: object) -> Iterator[FunctionType]:
    """Yield a function and what its decorators have made of it, or those of a class."""
    if is_a(value, type):
        for member in read_names(value).values():
            for kind, name in _MEMBERS.items():
                if is_a(member, kind):
                    member = read_attribute(member, name)
            if is_a(member, FunctionType):
                yield from list_functions(member)
        return
    while is_a(value, partial):
        value = read_attribute(value, "func")
    if is_a(value, MethodType):
        value = value.__func__
    if callable(value):
        yield from (one for one in reversed(list_wrapped(value)) if is_a(one, FunctionType))


def list_all_functions(value: object) -> Iterator[FunctionType]:
    """Yield a function as :func:`list_functions` does, or those of a class and of its bases."""
    if not callable(value):
        return
    for one in (value, *list_bases(value if is_a(value, type) else type(value))):
        yield from list_functions(one)


def is_of_library(function: FunctionType) -> bool:
    """Return whether a function is netlet's, Python's, or that of an installed package."""
    if read_module(function).partition(".")[0] == _OWN_PACKAGE:
        return True
    places = function.__code__.co_filename, read_global(function, "__file__")
    return any(_is_of_library(str.__str__(place)) for place in places if is_a(place, str))


@lru_cache(1_000)
def _is_of_library(place: str) -> bool:
    path = Path(place)
    return is_installed(path) or path.is_relative_to(_find_library())


@cache
def _find_library() -> str:
    return sysconfig.get_path("stdlib")


def list_code(whole: CodeType) -> Iterator[CodeType]:
    """Yield code and the functions and classes in it."""
    yield whole
    for one in whole.co_consts:
        if isinstance(one, CodeType):
            yield from list_code(one)
