"""Recognize slips in the code of a net's class that Python reports as something else.

A method with a misspelled name is never called, and a class without ``super().__init__()`` fails at
its first layer; the messages of Python and PyTorch name neither.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

from torch import nn

from netlet.errors import NetError, did_you_mean
from netlet.nets.patched_classes import list_added
from netlet.nets.sources import find_source, read_source
from netlet.text import count_slips

_UNREADY = re.compile(r"cannot assign \w+ before (?:\w+)\.__init__\(\) call")
_NO_ATTRIBUTE = re.compile(r"'(?P<kind>\w+)' object has no attribute '(?P<name>\w+)'")
_NO_PLACE = re.compile(r"(?:(\w+)\.)?(\w+)\(\) takes 0 positional arguments but 1 was given")
_NOT_A_LAYER = re.compile(r"(\w+) is not a Module subclass")
_MOST_SLIPS = {"init": 1, "forward": 2}


def explain_building(error: Exception, target: object) -> str:
    """Return what is wrong with the code of a class that could not be created; else nothing.

    Args:
        error: What its code raised.
        target: The class or function that builds the net.
    """
    reason = str(error)
    if _UNREADY.match(reason):
        return (
            f"{_class_in_use(error, target)}.__init__() assigns layers before it has called "
            "super().__init__(); make that its first line"
        )
    if missing := _NO_PLACE.match(reason):
        return f"{reason}; write def {missing[2]}(self)"
    if missing := _NO_ATTRIBUTE.match(reason):
        if missing["kind"] == "super" and is_misspelled(missing["name"], "__init__"):
            return f"{reason}; write super().__init__()"
        if module := _module_of_kind(missing["kind"], error):
            return explain_attribute(module, missing["name"])
    if (wrong := _NOT_A_LAYER.match(reason)) and wrong[1] in ("list", "tuple"):
        return f"{reason}: nn.Sequential takes layers, not a {wrong[1]}; write nn.Sequential(*...)"
    return suggest_attribute(error)


def suggest_attribute(error: BaseException) -> str:
    """Return the message of a module that lacks an attribute with the one that was meant.

    Nothing if the error is another one, or no attribute is similar: ``nn.Conv2D``, ``F.Relu``.
    """
    if not isinstance(error, AttributeError) or not isinstance(error.obj, ModuleType):
        return ""
    names = [name for name in dir(error.obj) if not name.startswith("_")]
    hint = did_you_mean(error.name or "", names).rstrip()
    return f"{error}; {hint}" if hint else ""


def explain_attribute(module: nn.Module, name: str) -> str:
    """Return why a module has no attribute, if its class says so; else nothing."""
    cls = type(module)
    if slip := find_misspelled(cls, "__init__"):
        return (
            f"{cls.__name__}: nothing calls its method {slip}(); call it __init__, with two "
            "underscores on each side"
        )
    init = vars(cls).get("__init__")
    if isinstance(init, FunctionType) and name in init.__code__.co_varnames:
        return (
            f"{cls.__name__}: has no attribute {name!r}; its __init__() assigns {name}: write "
            f"self.{name}"
        )
    hint = did_you_mean(name, dir(module)).rstrip()
    return f"{cls.__name__}: has no attribute {name!r}; {hint}" if hint else ""


def explain_missing_forward(cls: type) -> str:
    """Return that a class has no forward, and what it may have instead."""
    if slip := find_misspelled(cls, "forward"):
        return f"{cls.__name__}: has no forward(), but {slip}(); rename it to forward"
    init = vars(cls).get("__init__")
    if isinstance(init, FunctionType) and "forward" in init.__code__.co_varnames:
        return (
            f"{cls.__name__}: its forward() is defined inside of its __init__(); indent it less, "
            "like def __init__"
        )
    if isinstance(init, FunctionType) and _defines(init.__code__.co_filename, "forward"):
        return f"{cls.__name__}: forward() is outside the class; indent it"
    return ""


def _defines(file: str, name: str) -> bool:
    """Return whether a file has a function outside of classes that no decorator puts on one."""
    try:
        source = find_source(file) or read_source(Path(file))
    except (NetError, OSError, SyntaxError, ValueError):  # code of no file
        return False
    is_there = any(isinstance(one, ast.FunctionDef) and one.name == name for one in source.body)
    return is_there and name not in list_added(source.body)


def find_class_as_layer(module: nn.Module) -> tuple[str, str]:
    """Return an attribute that is the class of a layer, and the class; two empty texts if none."""
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, nn.Module):
            return name, value.__name__
    return "", ""


def find_misspelled(cls: type, method: str) -> str:
    """Return a method whose name misspells ``__init__`` or ``forward``; empty if there is none.

    Args:
        cls: The class of a module.
        method: The method that is missing.
    """
    for base in cls.__mro__:
        if base.__module__.startswith("torch.") or method in vars(base):
            break
        for key, value in vars(base).items():
            name = key.removeprefix(f"_{base.__name__.lstrip('_')}")  # that Python puts before __x
            if isinstance(value, FunctionType) and is_misspelled(name, method):
                return name
    return ""


def is_misspelled(name: str, method: str) -> bool:
    """Return whether a name is a slip of the name of a method, as ``_init_`` is of ``__init__``."""
    letters = method.strip("_")
    return name != method and (
        count_slips(name.strip("_").lower(), letters) <= _MOST_SLIPS[letters]
    )


def returns_nothing(module: nn.Module) -> bool:
    """Return whether the code of a module's forward has no ``return`` with a value."""
    forward = getattr(type(module), "forward", None)
    if not isinstance(forward, FunctionType) or forward.__module__.startswith("torch."):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    except (OSError, SyntaxError, TypeError, ValueError):
        return False
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return False
    return not any(_gives_value(node) for node in _walk_own(function))


def _walk_own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the parts of a function, without those of functions and classes inside it."""
    left: list[ast.AST] = list(function.body)
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            left += ast.iter_child_nodes(node)


def _gives_value(node: ast.AST) -> bool:
    if isinstance(node, ast.Return):
        return node.value is not None
    return isinstance(node, ast.Yield | ast.YieldFrom | ast.Raise)


def _class_in_use(error: Exception, target: object) -> str:
    """Return the name of the class whose ``__init__`` raised an error."""
    found = getattr(target, "__name__", "the net")
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "__init__" and "self" in frame.f_locals:
            found = type(frame.f_locals["self"]).__name__
        trace = trace.tb_next
    return str(found)


def _module_of_kind(name: str, error: Exception) -> nn.Module | None:
    """Return the module of a class with this name that an error's frames have as ``self``."""
    trace = error.__traceback__
    while trace is not None:
        own = trace.tb_frame.f_locals.get("self")
        if isinstance(own, nn.Module) and type(own).__name__ == name:
            return own
        trace = trace.tb_next
    return None
