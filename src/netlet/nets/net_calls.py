"""Which statements and calls of a file build nets: read from its text, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from netlet.nets.module_classes import class_name, list_required
from netlet.nets.script import is_main_guard, last_name
from netlet.nets.used_functions import FunctionNode

# Methods of a module that return it, like net.to(device), and functions that wrap one.
_RETURN_SELF = {
    "to",
    "cuda",
    "cpu",
    "eval",
    "train",
    "float",
    "double",
    "half",
    "bfloat16",
    "apply",
}
_WRAP = {"compile", "DataParallel", "script"}


def outer_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, also those inside ``if`` and ``try``."""
    for statement in body:
        if is_main_guard(statement):
            continue
        yield statement
        if isinstance(statement, ast.If):
            yield from outer_statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from outer_statements([*statement.body, *statement.orelse, *statement.finalbody])


def is_builder(function: FunctionNode, kinds: set[str]) -> bool:
    """Return whether a function without required arguments returns a new module."""
    return not list_required(function) and returns_net(function, kinds)


def returns_net(function: FunctionNode, kinds: set[str]) -> bool:
    """Return whether a function returns a new module, as far as its text shows."""
    return any(makes_net(value, kinds) for value in list_returned(function))


def list_returned(function: FunctionNode) -> list[ast.expr]:
    """Return what a function returns; for a variable, all that is assigned to it there."""
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for name in (one.id for one in node.targets if isinstance(one, ast.Name)):
                assigned.setdefault(name, []).append(node.value)
    returned = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
    names = [value.id for value in returned if isinstance(value, ast.Name)]
    return [*returned, *(value for name in names for value in assigned.get(name, ()))]


def makes_net(value: ast.expr, kinds: set[str]) -> bool:
    """Return whether an expression builds a net.

    Args:
        value: The expression.
        kinds: Classes and functions of the file that need arguments to make one.
    """
    call = find_call(value)
    return call is not None and class_name(call.func) in {"Sequential", *kinds}


def find_call(value: ast.expr) -> ast.Call | None:
    """Return the call that makes an object: ``Net()`` in ``compile(Net().to(device))``."""
    made = unwrap(value)
    return made if isinstance(made, ast.Call) else None


def unwrap(value: ast.expr) -> ast.expr:
    """Return what makes or holds an object: ``net`` in ``compile(net.to(device))``."""
    if isinstance(value, ast.Call):
        name = last_name(value.func)
        if isinstance(value.func, ast.Attribute) and name in _RETURN_SELF:
            return unwrap(value.func.value)
        if name in _WRAP and value.args:
            return unwrap(value.args[0])
    return value
