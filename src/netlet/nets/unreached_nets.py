"""Nets of a file that cannot be loaded from where they are built: read from its text.

Nothing below ``if __name__ == "__main__":`` is run, no function is called that has required
arguments or does not return a net, and nobody knows the arguments of a class but the code that
builds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import nn

from netlet.nets.module_classes import (
    class_name,
    find_method,
    list_module_classes,
    list_required,
    takes_net,
    takes_several_inputs,
)
from netlet.nets.net_calls import find_call, outer_statements, returns_net
from netlet.nets.net_names import list_nets
from netlet.nets.patched_classes import list_added
from netlet.nets.script import is_main_guard, last_name, list_definitions
from netlet.nets.used_functions import FunctionNode

BELOW_MAIN = 'is below if __name__ == "__main__", which is not run; move it above that line'
_WITH_WEIGHTS = ("Conv", "Linear")


def list_below_main(tree: ast.Module) -> list[str]:
    """Return the nets below ``if __name__ == "__main__":``, which only a script has.

    Args:
        tree: The file's text.
    """
    guards = [one for one in tree.body if isinstance(one, ast.If) and is_main_guard(one)]
    body = [one for guard in guards for one in guard.body]
    found = list_nets(ast.Module(body, []))
    wrappers = _Wrappers(tree)
    around = {
        target.id
        for node in body
        if isinstance(node, ast.Assign) and wrappers.has(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    known = {*list_definitions(tree), *around}
    return [name for name in found if name not in known]


def list_inside_functions(tree: ast.Module) -> dict[str, str]:
    """Return the nets that are defined or built inside a function, with the name of the function.

    A function that returns the net is left out: that is a net itself, or can be one.

    Args:
        tree: The file's text.
    """
    found: dict[str, str] = {}
    wrappers = _Wrappers(tree)
    for function in _list_functions(tree):
        inside = [node for node in ast.walk(function) if isinstance(node, ast.ClassDef)]
        classes = {node.name: node for node in inside}
        found |= dict.fromkeys(list_module_classes(classes, ()), function.name)
        if not returns_net(function, set()):
            found |= dict.fromkeys(_list_sequentials(function, wrappers), function.name)
    return found


def list_needing_arguments(tree: ast.Module) -> dict[str, list[str]]:
    """Return the classes and functions that need arguments to build a net, with these.

    Left out are those that are given images and more, such as a loss, or a net.

    Args:
        tree: The file's text.
    """
    statements = list(outer_statements(tree.body))
    classes = {s.name: s for s in statements if isinstance(s, ast.ClassDef)}
    modules = list_module_classes(classes, list_added(tree.body).get("forward", set()))
    found = {
        name: list_required(find_method(name, classes, "__init__"))
        for name in modules
        if not (takes_several_inputs(name, classes) or takes_net(name, classes))
    }
    for statement in statements:
        if isinstance(statement, FunctionNode) and returns_net(statement, set(found)):
            found[statement.name] = list_required(statement)
    return {name: names for name, names in found.items() if names and not name.startswith("_")}


def list_calls(tree: ast.Module) -> set[str]:
    """Return the names that are called outside of nets and of functions that return one.

    Args:
        tree: The file's text.
    """
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    nets = {*list_module_classes(classes, ()), *list_needing_arguments(tree)}
    found: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ClassDef | FunctionNode) and node.name in nets:
            continue
        if isinstance(node, ast.Call):
            found.add(last_name(node.func))
        todo += ast.iter_child_nodes(node)
    return found


def _list_functions(tree: ast.Module) -> Iterator[FunctionNode]:
    """Yield the functions of a file, and the methods of its classes that are no modules."""
    statements = list(outer_statements(tree.body))
    classes = {s.name: s for s in statements if isinstance(s, ast.ClassDef)}
    modules = list_module_classes(classes, ())
    inside = [node for name, one in classes.items() if name not in modules for node in one.body]
    yield from (node for node in [*statements, *inside] if isinstance(node, FunctionNode))


def _list_sequentials(function: FunctionNode, wrappers: _Wrappers) -> Iterator[str]:
    """Yield the names of what a function builds of layers with weights, and does not return."""
    returned = {
        node.id
        for statement in ast.walk(function)
        if isinstance(statement, ast.Return) and _is_plain(statement.value)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and (call := find_call(node.value)):
            is_net = last_name(call.func) == "Sequential" and _has_weights(call)
            if is_net and not wrappers.has(call):
                names = [t.id for t in node.targets if isinstance(t, ast.Name)]
                yield from (name for name in names if name not in returned)


def _is_plain(value: ast.expr | None) -> bool:
    """Return whether what is returned are names, and not what is computed with them."""
    return isinstance(value, ast.Name | ast.Tuple | ast.List | ast.Dict)


def _has_weights(call: ast.Call) -> bool:
    names = [last_name(node.func) for node in ast.walk(call) if isinstance(node, ast.Call)]
    return any(word in name for name in names for word in _WITH_WEIGHTS)


class _Wrappers:
    """What is built around a net of a file, like ``nn.Sequential(net, nn.Softmax(1))``.

    Args:
        tree: The file's text.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._nets = set(list_nets(tree))
        calls = {
            target.id: find_call(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        made = {name: class_name(call.func) for name, call in calls.items() if call}
        self._layers = {name for name, kind in made.items() if hasattr(nn, kind)}

    def has(self, value: ast.expr) -> bool:
        """Return whether an expression passes a net, or what may be one, to a module."""
        call = find_call(value)
        return call is not None and any(map(self._may_be_net, call.args))

    def _may_be_net(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Name):
            return value.id not in self._layers
        return isinstance(value, ast.Call) and last_name(value.func) in self._nets
