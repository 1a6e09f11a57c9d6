"""Compare the code of a net that was imported with its files, which may have been edited since."""

from __future__ import annotations

import inspect
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from torch import nn

from netlet.nets.user_imports import is_installed

_DOCSTRING = 0  # the place of a function's docstring among its constants


def find_edited(net: nn.Module) -> tuple[Path, str] | None:
    """Return a file that has another function than the one that was imported from it, and its name.

    Python keeps what it has imported; a record would name the code that the file has now. Files of
    installed packages are not read.

    Args:
        net: The net.

    Returns:
        The file and the function, such as ``Net.forward``; None if there is none.
    """
    seen: set[CodeType] = set()
    read = cache(_sign_functions)
    todo = [f for part in net.modules() for cls in type(part).__mro__ for f in list_functions(cls)]
    while todo:
        function = todo.pop()
        code = function.__code__
        if code in seen:
            continue
        seen.add(code)
        # IPython's autoreload has loaded a class under this name that was edited.
        if not _was_imported(function) or code.co_qualname.startswith("__autoreload_class__"):
            continue
        path = Path(code.co_filename)
        if (code.co_qualname, _sign(code)) not in read(path):
            return path, code.co_qualname
        todo += [one for value in _find_used(function) for one in list_functions(value)]
    return None


def _find_used(function: FunctionType) -> Iterator[object]:
    """Yield what the names in a function may stand for, in its module or one that it imports."""
    names = function.__code__.co_names
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if isinstance(value, ModuleType):
            yield from (vars(value).get(other) for other in names)


def list_functions(value: object) -> Iterator[FunctionType]:
    """Yield a function without its decorators, or those of a class."""
    if isinstance(value, type):
        for member in vars(value).values():
            member = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(member, FunctionType):
                yield from list_functions(member)
    elif callable(value):
        function = inspect.unwrap(value)
        if isinstance(function, FunctionType):
            yield function


def _was_imported(function: FunctionType) -> bool:
    """Return whether Python itself has read the function from a file of the user's."""
    module = sys.modules.get(function.__module__ or "")
    loader = getattr(module, "__loader__", None)
    path = Path(function.__code__.co_filename)
    # Other loaders may change the code, as that of pytest does.
    if type(loader) is not SourceFileLoader or not path.is_file():
        return False
    return not (is_installed(path) or path.is_relative_to(sysconfig.get_path("stdlib")))


def _sign_functions(path: Path) -> set[tuple[str, object]]:
    """Return the name and the content of each function of a file as it is now."""
    try:
        whole = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return set()
    found, todo = set(), [whole]
    while todo:
        code = todo.pop()
        found.add((code.co_qualname, _sign(code)))
        todo += [one for one in code.co_consts if isinstance(one, CodeType)]
    return found


def _sign(code: CodeType) -> object:
    """Return what a function does, to be compared: without its lines and its docstring."""
    constants = [
        _sign(one) if isinstance(one, CodeType) else _describe(one)
        for place, one in enumerate(code.co_consts)
        if not (place == _DOCSTRING and isinstance(one, str))
    ]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return code.co_code, *names, *counts, tuple(constants)


def _describe(constant: object) -> str:
    """Return a text of a constant, in which 1, 1.0 and True differ and sets have an order."""
    if isinstance(constant, frozenset):
        return f"{{{', '.join(sorted(map(_describe, constant)))}}}"
    return repr(constant)
