"""Find the decorators that change a class outside of its body.

``@add_to_class(Net)`` of Dive into Deep Learning puts a function on a class that stands above it,
and so does ``@patch`` of fastai, by the annotation of ``self``.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from netlet.nets.script import find_root, last_name, list_parameters, pair_arguments

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef
# Of functools.singledispatch and others, of pytest, and of click.
_DO_NOT_SET = {"register", "parametrize", "option", "argument"}


def list_patched(body: Sequence[ast.stmt]) -> list[set[str]]:
    """Return for each statement of a file the names of the classes that its decorators change.

    Args:
        body: All statements, since it depends on the functions of the file what a call changes.
    """
    functions = {node.name: node for node in body if isinstance(node, _Function)}
    classes = {node.name for node in body if isinstance(node, ast.ClassDef)}
    return [_find_patched(node, functions) & classes for node in body]


def list_added(body: Sequence[ast.stmt]) -> dict[str, set[str]]:
    """Return the functions that decorators put on classes, by name, with the names of these."""
    found: dict[str, set[str]] = {}
    for node, patched in zip(body, list_patched(body), strict=True):
        if isinstance(node, _Definition) and patched:
            found.setdefault(node.name, set()).update(patched)
    return found


def _find_patched(node: ast.stmt, functions: Mapping[str, _Function]) -> set[str]:
    """Return the names that the decorators of a definition may change."""
    found = set[str]()
    if isinstance(node, _Definition):
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                found |= _find_in_decorator(decorator, functions)
            if isinstance(node, _Function):
                found |= _find_annotated(decorator, node)
    return found


def _find_in_decorator(call: ast.Call, functions: Mapping[str, _Function]) -> set[str]:
    """Return the names in the arguments of a decorator that may set attributes of them."""
    function = functions.get(find_root(call.func))
    if function is not None:
        parameters = _find_passed_on(function)
        pairs = pair_arguments(call, function.args)
        return {find_root(value) for name, value in pairs if name in parameters}
    if last_name(call.func) in _DO_NOT_SET:
        return set()
    return {find_root(one) for one in (*call.args, *(each.value for each in call.keywords))}


def _find_annotated(decorator: ast.expr, function: _Function) -> set[str]:
    """Return the names in the annotation of ``self``, as fastai's ``@patch`` reads them."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    if not arguments or arguments[0].annotation is None:
        return set()
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if arguments[0].arg not in ("self", "cls") and not last_name(called).startswith("patch"):
        return set()
    return {one.id for one in ast.walk(arguments[0].annotation) if isinstance(one, ast.Name)}


def _find_passed_on(function: _Function) -> set[str]:
    """Return the parameters of a function whose attributes it sets, or that it passes on.

    Those that it calls are none: it builds nets of them.
    """
    found, called = set[str](), set[str]()
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(find_root(node))
        elif isinstance(node, ast.Call):
            called |= {node.func.id} if isinstance(node.func, ast.Name) else set()
            found |= set(map(find_root, node.args))
    return found & set(list_parameters(function.args)) - called
