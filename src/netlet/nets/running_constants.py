"""Compare the constants that a net was built from and runs with, with those of its file."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Mapping, Sequence

from netlet.nets.built_nets import describe_constant, evaluate_constant
from netlet.nets.changed_names import list_changed, list_defaults
from netlet.nets.other_nets import find_definitions
from netlet.nets.running_net import RunningNet, SavedNet
from netlet.nets.script import names_bound
from netlet.nets.used_functions import FunctionNode, list_functions


def find_other_constant(running: RunningNet, saved: SavedNet) -> tuple[str, str, bool] | None:
    """Return a constant of a file that a net has another value of.

    What the net reads when it runs has to be as it is now, and what it was built from as it was by
    then. Both are compared with what the file sets last before it uses the net, since loading the
    class or function of an address runs these statements first. Of anything else, and of what a
    variable was built from, any value counts: the file may have set the name again since.

    Args:
        running: The net.
        saved: What the file has for it.

    Returns:
        Its name, its value, and whether this is the value that it has now; None if there is none.
    """
    building, read, whole = running.own_building, running.read, saved.source.tree
    then = building.constants if building else {}
    changed = list_changed(whole, running.home)
    anywhere = _list_constants(whole, changed)
    is_built_last = bool(find_definitions(saved.selection))
    for name, texts in _list_constants(saved.selection.tree, changed).items():
        now = _describe_now(running.home, name)
        pairs = [(now, texts[-1:])] if name in read.called else []
        if name in read.built and then:
            pairs.append((then.get(name), texts[-1:] if is_built_last else texts))
        elif not pairs and name in anywhere:
            pairs = [(now, anywhere[name])]
        for value, expected in pairs:
            if value is not None and value not in expected:
                return name, value, value == now
    return None


def find_other_default(
    value: object, defaults: Mapping[tuple[str, str], Sequence[str]]
) -> tuple[str, str] | None:
    """Return a parameter of a function whose default value is another one than in a file.

    Args:
        value: The function, or a class with functions.
        defaults: What :func:`read_defaults` returns for the file.

    Returns:
        The parameter and its default value; None if there is none.
    """
    for function in list_functions(value):
        code = function.__code__
        args = code.co_varnames[: code.co_argcount]
        found = dict(zip(reversed(args), reversed(function.__defaults__ or ()), strict=False))
        found |= function.__kwdefaults__ or {}
        for parameter, default in found.items():
            expected = defaults.get((code.co_qualname, parameter))
            with contextlib.suppress(Exception):  # not a constant; its class is anybody's
                text = describe_constant(default)
                # A list may be changed by the function.
                if expected and text not in expected and text[0] not in "[{":
                    return f"{parameter} in {code.co_qualname}", text
    return None


def read_defaults(
    saved: SavedNet, namespace: Mapping[str, object]
) -> dict[tuple[str, str], list[str]]:
    """Return the default values of functions and methods of a file, where they are constants.

    Args:
        saved: The file, and the statements that a net needs.
        namespace: The names in its module.

    Returns:
        The texts of the values, by the names of functions and of parameters. A function that may
        also come about in another way, as in the branch of an ``if``, is left out.
    """
    found: dict[tuple[str, str], list[str]] = {}
    needed, changed = saved.selection.tree, list_changed(saved.source.tree, namespace)
    constants = _list_constants(needed, changed).keys()
    now, others = dict[str, str](), set[str]()
    for node in needed.body:
        now |= {one: text for one, text in _read_assignment(node) if one in constants}
        known, functions, place = now, [node], ""
        if isinstance(node, ast.ClassDef):
            own = {one for statement in node.body for one in names_bound(statement)}
            known = {one: text for one, text in now.items() if one not in own}
            functions, place = node.body, f"{node.name}."
        elif not isinstance(node, FunctionNode):
            bound = {*names_bound(node)}
            others |= bound
            others |= {name for name, _ in found} if "*" in bound else set()
        for function in functions:
            if isinstance(function, FunctionNode):
                for parameter, default in list_defaults(function.args):
                    key = f"{place}{function.name}", parameter
                    found.setdefault(key, []).append(_describe_default(default, known))
            elif place:
                others |= {f"{place}{name}" for name in names_bound(function)}
    # Of one that is no constant, the value is not known.
    return {
        (name, parameter): texts
        for (name, parameter), texts in found.items()
        if "" not in texts and others.isdisjoint((name, name.partition(".")[0]))
    }


def _describe_default(node: ast.expr, known: Mapping[str, str]) -> str:
    """Return the text of a constant, or of one that a name stands for; empty for anything else."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    with contextlib.suppress(ValueError):
        return describe_constant(evaluate_constant(node))
    return ""


def _describe_now(namespace: Mapping[str, object], name: str) -> str | None:
    """Return the text of a constant; None if there is none of this name."""
    if name in namespace:
        with contextlib.suppress(Exception):  # not a constant; its class is anybody's
            return describe_constant(namespace[name])
    return None


def _list_constants(tree: ast.Module, changed: set[str]) -> dict[str, list[str]]:
    """Return the variables that are only ever set to constants, with the texts of these.

    Lists and dicts that are changed are left out, and what ``from module import *`` may set again.
    """
    found: dict[str, list[str]] = {}
    others = {
        name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names
    }
    for node in tree.body:
        constants = dict(_read_assignment(node))
        for name, text in constants.items():
            found.setdefault(name, []).append(text)
        bound = {*names_bound(node)}
        others |= bound - constants.keys()
        others |= found.keys() if "*" in bound else set()
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
            with contextlib.suppress(ValueError):
                if isinstance(one, ast.Name):
                    yield one.id, describe_constant(evaluate_constant(value))
