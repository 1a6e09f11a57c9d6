"""Compare the constants that a net was built from and runs with, with those of its file."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType

from torch import nn

from netlet.nets.built_nets import (
    Building,
    describe_constant,
    evaluate_constant,
    find_namespace,
)
from netlet.nets.changed_names import list_changed, list_defaults
from netlet.nets.definitions import Selection
from netlet.nets.other_nets import find_definitions
from netlet.nets.registered import list_modules
from netlet.nets.script import names_bound
from netlet.nets.stored_values import is_a, list_bases
from netlet.nets.used_functions import (
    FunctionNode,
    find_used,
    is_of_library,
    list_all_functions,
    list_functions,
    list_names,
)


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
    classes = {id(cls): cls for _, part in list_modules(net) for cls in list_bases(type(part))}
    members: dict[str, list[FunctionType]] = {}
    for cls in classes.values():
        for function in list_functions(cls):
            members.setdefault(function.__name__, []).append(function)
    built = [*members.get("__init__", ()), *members.get("__new__", ())]
    if not is_a(builder, type):
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
            used = (one for one in find_used(function) if id(one) not in classes)
            todo += [one for value in used for one in list_all_functions(value)]
        return found

    return ReadNames(follow(built), follow([*members.get("forward", ())]))


def find_other_constant(
    namespace: Mapping[str, object],
    building: Building | None,
    read: ReadNames,
    selection: Selection,
    whole: ast.Module,
) -> tuple[str, str, bool] | None:
    """Return a constant of a file that a net has another value of.

    What the net reads when it runs has to be as it is now, and what it was built from as it was by
    then. Both are compared with what the file sets last before it uses the net, since loading the
    class or function of an address runs these statements first. Of anything else, and of what a
    variable was built from, any value counts: the file may have set the name again since.

    Args:
        namespace: The names in the module of the net, as they are now.
        building: How the net was built, if that is known.
        read: Those that it reads.
        selection: The net and the statements of the file that it needs.
        whole: All its statements.

    Returns:
        Its name, its value, and whether this is the value that it has now; None if there is none.
    """
    is_same = building is not None and find_namespace(building.builder) is namespace
    then = building.constants if building is not None and is_same else {}
    changed = list_changed(whole, namespace)
    anywhere = _list_constants(whole, changed)
    is_built_last = bool(find_definitions(selection))
    for name, texts in _list_constants(selection.tree, changed).items():
        now = _describe_now(namespace, name)
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
    value: object, saved: Mapping[tuple[str, str], Sequence[str]]
) -> tuple[str, str] | None:
    """Return a parameter of a function whose default value is another one than in a file.

    Args:
        value: The function, or a class with functions.
        saved: What :func:`read_defaults` returns for the file.

    Returns:
        The parameter and its default value; None if there is none.
    """
    for function in list_functions(value):
        code = function.__code__
        args = code.co_varnames[: code.co_argcount]
        found = dict(zip(reversed(args), reversed(function.__defaults__ or ()), strict=False))
        found |= function.__kwdefaults__ or {}
        for parameter, default in found.items():
            expected = saved.get((code.co_qualname, parameter))
            with contextlib.suppress(Exception):  # not a constant; its class is anybody's
                text = describe_constant(default)
                # A list may be changed by the function.
                if expected and text not in expected and text[0] not in "[{":
                    return f"{parameter} in {code.co_qualname}", text
    return None


def read_defaults(
    needed: ast.Module, whole: ast.Module, namespace: Mapping[str, object]
) -> dict[tuple[str, str], list[str]]:
    """Return the default values of functions and methods of a file, where they are constants.

    Args:
        needed: The statements of the file that a net needs.
        whole: All its statements.
        namespace: The names in its module.

    Returns:
        The texts of the values, by the names of functions and of parameters. A function that may
        also come about in another way, as in the branch of an ``if``, is left out.
    """
    found: dict[tuple[str, str], list[str]] = {}
    constants = _list_constants(needed, list_changed(whole, namespace)).keys()
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
