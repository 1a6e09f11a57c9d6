"""Which functions a net may run: those of its classes, and what these use by their names."""

from __future__ import annotations

import contextlib
import dis
import inspect
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache, partial
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType

from netlet.nets.user_imports import is_installed

_OWN_PACKAGE = __name__.partition(".")[0]
_READ_GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_READ_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
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
    todo = [function.__globals__[name] for name in sorted(read) if name in function.__globals__]
    inside = _list_attributes(function)
    modules: list[ModuleType] = []
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            yield from islice(value.values(), _MOST_HELD)
        elif isinstance(value, list | tuple | set):
            yield from islice(value, _MOST_HELD)
        elif isinstance(value, ModuleType) and value not in modules:
            modules.append(value)
            used = inside.get(id(value), names)
            todo += [vars(value)[name] for name in sorted(used) if name in vars(value)]
        yield value


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
            value = function.__globals__.get(str(step.argval))
            for after in steps[i + 1 :]:
                if not isinstance(value, ModuleType):
                    break
                if after.opname not in _READ_ATTRIBUTES:
                    others.add(id(value))
                    break
                found.setdefault(id(value), set()).add(str(after.argval))
                value = vars(value).get(str(after.argval))
    return {module: names for module, names in found.items() if module not in others}


def name_lambdas(function: FunctionType) -> dict[FunctionType, str]:
    """Return the names by which a function reads lambdas of its module."""
    found: dict[FunctionType, str] = {}
    for name in list_names(function.__code__)[0]:
        value = function.__globals__.get(name)
        if not isinstance(value, FunctionType) or value.__globals__ is not function.__globals__:
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
    if isinstance(value, type):
        for member in vars(value).values():
            member = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(member, FunctionType):
                yield from list_functions(member)
        return
    while isinstance(value, partial):
        value = value.func
    if isinstance(value, MethodType):
        value = value.__func__
    if callable(value):
        chain: list[object] = []

        def keep(one: object) -> bool:
            chain.append(one)
            return False

        with contextlib.suppress(ValueError):  # the chain has no end
            keep(inspect.unwrap(value, stop=keep))
        yield from (one for one in reversed(chain) if isinstance(one, FunctionType))


def list_all_functions(value: object) -> Iterator[FunctionType]:
    """Yield a function as :func:`list_functions` does, or those of a class and of its bases."""
    if not callable(value):
        return
    kind = value if isinstance(value, type) else type(value)
    for one in (value, *kind.__mro__):
        yield from list_functions(one)


def is_of_library(function: FunctionType) -> bool:
    """Return whether a function is netlet's, Python's, or that of an installed package."""
    if str(function.__module__).partition(".")[0] == _OWN_PACKAGE:
        return True
    places = function.__code__.co_filename, function.__globals__.get("__file__")
    return any(_is_of_library(place) for place in places if isinstance(place, str))


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
