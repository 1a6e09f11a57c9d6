"""Compare the constants that a net was built from and runs with, with those of its file."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType

from torch import nn

from netlet.nets.built_nets import Building, describe_constant, find_namespace
from netlet.nets.script import names_bound
from netlet.nets.used_functions import (
    find_used,
    is_of_library,
    list_all_functions,
    list_functions,
    list_names,
)

_CHANGE = {"append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse"}
_CHANGE |= {"add", "discard", "update", "setdefault", "shuffle", "__setitem__"}


@dataclass(frozen=True)
class ReadNames:
    """The global names of a net's module that its functions read.

    Attributes:
        built: Those that they read when the net is built.
        called: Those that they read when it runs.
    """

    built: set[str]
    called: set[str]


def list_read_names(net: nn.Module, builder: object, namespace: Mapping[str, object]) -> ReadNames:
    """Return which names of a module the functions of a net read.

    Args:
        net: The net.
        builder: The class or function that has built it, if that is known.
        namespace: The names of the module.
    """
    classes = {cls for part in net.modules() for cls in type(part).__mro__}
    members: dict[str, list[FunctionType]] = {}
    for cls in classes:
        for function in list_functions(cls):
            members.setdefault(function.__name__, []).append(function)
    built = [*members.get("__init__", ()), *members.get("__new__", ())]
    if not isinstance(builder, type):
        built += list_functions(builder)

    def follow(todo: list[FunctionType]) -> set[str]:
        seen, found = set[FunctionType](), set[str]()
        while todo:
            function = todo.pop()
            if function in seen or is_of_library(function):
                continue
            seen.add(function)
            read, names = list_names(function.__code__)
            if function.__globals__ is namespace:
                found |= read
            todo += [one for name in names for one in members.get(name, ())]
            # Of the net's own classes, the methods that are called are followed by their names.
            used = (v for v in find_used(function) if not (isinstance(v, type) and v in classes))
            todo += [one for value in used for one in list_all_functions(value)]
        return found

    return ReadNames(follow(built), follow([*members.get("forward", ())]))


def find_other_constant(
    namespace: Mapping[str, object],
    building: Building | None,
    read: ReadNames,
    needed: ast.Module,
    whole: ast.Module,
) -> tuple[str, str, bool] | None:
    """Return a constant of a file that a net has another value of.

    What the net reads when it runs has to be as it is now; what it was built from, as it was by
    then. Anything else may have been read before the file has set it again.

    Args:
        namespace: The names in the module of the net, as they are now.
        building: How the net was built, if that is known.
        read: Those that it reads.
        needed: The statements of the file that the net needs.
        whole: All its statements.

    Returns:
        Its name, its value, and whether this is the value that it has now; None if there is none.
    """
    is_same = building is not None and find_namespace(building.builder) is namespace
    then = building.constants if building is not None and is_same else {}
    changed = _list_changed(whole)
    anywhere = _list_constants(whole, changed)
    for name, expected in _list_constants(needed, changed).items():
        now = _describe_now(namespace, name)
        values = [now] if name in read.called else []
        if name in read.built and then:
            values.append(then.get(name))
        elif not values and name in anywhere:
            values, expected = [now], anywhere[name]
        for value in values:
            if value is not None and value not in expected:
                return name, value, value == now
    return None


def _describe_now(namespace: Mapping[str, object], name: str) -> str | None:
    """Return the text of a constant; None if there is none of this name."""
    if name in namespace:
        with contextlib.suppress(Exception):  # not a constant; its class is anybody's
            return describe_constant(namespace[name])
    return None


def _list_constants(tree: ast.Module, changed: set[str]) -> dict[str, list[str]]:
    """Return the variables that are only ever set to constants, with the texts of these.

    Lists and dicts that are changed are left out.
    """
    found: dict[str, list[str]] = {}
    others = {
        name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names
    }
    for node in tree.body:
        constants = dict(_read_assignment(node))
        for name, text in constants.items():
            found.setdefault(name, []).append(text)
        others |= {*names_bound(node)} - constants.keys()
    return {
        name: texts
        for name, texts in found.items()
        if name not in others and not (name in changed and any(t[0] in "[{(" for t in texts))
    }


def _read_assignment(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the names that a statement sets to constants, with the texts of these."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            if len(target.elts) != len(node.value.elts):
                continue
            pairs = list(zip(target.elts, node.value.elts, strict=True))
        for one, value in pairs:
            with contextlib.suppress(ValueError, TypeError, RecursionError, MemoryError):
                if isinstance(one, ast.Name):
                    yield one.id, describe_constant(ast.literal_eval(value))


def _list_changed(tree: ast.Module) -> set[str]:
    """Return the names whose lists and dicts are changed, here or by another name."""
    changed, names = set[str](), dict[str, str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed.add(_root(node))
        elif isinstance(node, ast.Call) and _last_name(node.func) in _CHANGE:
            changed |= {_root(node.func), *map(_root, node.args)}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            names |= {_root(target): node.value.id for target in node.targets}
    return changed | {of for name, of in names.items() if name in changed}


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
