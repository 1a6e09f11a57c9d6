"""Which lists and dicts of a file are changed, and so are not what the file has set them to."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import FunctionType

from netlet.nets.stored_values import is_a
from netlet.nets.used_functions import FunctionNode, is_of_library

_CHANGE = {"append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse"}
_CHANGE |= {"add", "discard", "update", "setdefault", "shuffle", "__setitem__"}
_Alias = tuple[str, ast.expr]  # another name of what an expression stands for


def list_changed(tree: ast.Module, namespace: Mapping[str, object]) -> set[str]:
    """Return the names whose lists and dicts are changed, here or by another name.

    Args:
        tree: The file.
        namespace: The names in its module.
    """
    changed, aliases = set[str](), list[_Alias]()
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, FunctionNode)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            inside = {one.name: one for one in node.body if isinstance(one, FunctionNode)}
            if "__init__" in inside:
                functions[node.name] = inside["__init__"]
    imported = {name for name, value in dict(namespace).items() if is_a(value, FunctionType)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed |= _roots(node.value)
        elif isinstance(node, ast.Assign):
            aliases += [(_name(target), node.value) for target in node.targets]
        elif isinstance(node, FunctionNode):
            aliases += list_defaults(node.args)
        elif isinstance(node, ast.Call):
            called = _name(node.func).removeprefix(".")
            if called in _CHANGE:
                of = node.func.value if isinstance(node.func, ast.Attribute) else node.func
                changed |= _roots(of).union(*map(_roots, node.args))
            if called in functions:
                aliases += _list_arguments(node, functions[called].args)
            elif called in imported and not is_of_library(namespace[called]):  # type: ignore[arg-type]
                changed = changed.union(*map(_roots, node.args))
    aliases = [(name, of) for name, of in aliases if isinstance(of, ast.Name | ast.Attribute)]
    while more := set().union(*(_roots(of) for name, of in aliases if name in changed)) - changed:
        changed |= more
    return changed


def list_defaults(arguments: ast.arguments) -> Iterator[_Alias]:
    """Yield the parameters of a function with their default values."""
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    yield from zip(reversed(names), reversed(arguments.defaults), strict=False)
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


def _list_arguments(call: ast.Call, arguments: ast.arguments) -> Iterator[_Alias]:
    """Yield the parameters of a function with what a call passes for them."""
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    names = names[1:] if names[:1] in (["self"], ["cls"]) else names
    yield from zip(names, call.args, strict=False)
    if arguments.vararg:
        yield from ((arguments.vararg.arg, one) for one in call.args[len(names) :])
    yield from ((one.arg, one.value) for one in call.keywords if one.arg)


def _roots(node: ast.expr) -> set[str]:
    """Return the name in ``name.first[0].second``, and its attributes as ``.first``."""
    found = set[str]()
    while isinstance(node, ast.Attribute | ast.Subscript):
        found |= {_name(node)} - {""}
        node = node.value
    return found | ({node.id} if isinstance(node, ast.Name) else set())


def _name(node: ast.expr) -> str:
    """Return ``name``, or ``.attribute`` of anything; of an item, the name of what has it."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return f".{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
