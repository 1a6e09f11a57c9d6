"""Find the lists and dicts that the code of a file changes after it has set them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType

from netlet.nets.script import MUTATING_METHODS, pair_arguments
from netlet.nets.stored_values import is_a, read_names
from netlet.nets.used_functions import FunctionNode, is_of_library

# Functions that change what is passed to them first, and functions that return parts of it.
_FUNCTIONS = {"heapify", "heappush", "heappop", "heapreplace", "heappushpop", "shuffle"}
_FUNCTIONS |= {"insort", "insort_left", "insort_right", "setitem", "delitem", "iadd"}
_PASS_ON = {
    "list",
    "tuple",
    "set",
    "dict",
    "iter",
    "next",
    "reversed",
    "sorted",
    "enumerate",
    "zip",
}
_PASS_ON |= {"filter", "chain", "islice", "copy", "min", "max", "cast", "getattr"}
# What an expression has from other ones, by the names of the fields of its node.
_PARTS: Mapping[type[ast.AST], Sequence[str]] = {
    ast.Attribute: ["value"],
    ast.Subscript: ["value"],
    ast.Starred: ["value"],
    ast.NamedExpr: ["value"],
    ast.Await: ["value"],
    ast.Yield: ["value"],
    ast.Return: ["value"],
    ast.YieldFrom: ["value"],
    ast.IfExp: ["body", "orelse"],
    ast.BoolOp: ["values"],
    ast.BinOp: ["left", "right"],
    ast.List: ["elts"],
    ast.Tuple: ["elts"],
    ast.Set: ["elts"],
    ast.Dict: ["values"],
    ast.ListComp: ["elt"],
    ast.SetComp: ["elt"],
    ast.GeneratorExp: ["elt"],
    ast.DictComp: ["value"],
    ast.Lambda: ["body"],
    ast.Call: ["func"],
}


def list_changed(tree: ast.Module, namespace: Mapping[str, object]) -> set[str]:
    """Return the names whose lists and dicts are changed, here or by another name.

    Scopes are not told apart: of a name that is used for several things, all count as changed if
    one is.

    Args:
        tree: The file.
        namespace: The names in its module.
    """
    found = _Changes(tree, namespace)
    for node in ast.walk(tree):
        found.read(node)
    return {place for place in found.follow_aliases() if place.isidentifier()}


def list_defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameters of a function with their default values."""
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    yield from zip(reversed(names), reversed(arguments.defaults), strict=False)
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


class _Changes:
    """What the statements of a file change, and by which names.

    Attributes:
        changed: The places whose objects are changed: names, attributes of anything, as in
            ``.attribute``, and what was put into a list there, as in ``name[]``.
        aliases: What else the object in a place, or a part of it, may be called.
    """

    def __init__(self, tree: ast.Module, namespace: Mapping[str, object]) -> None:
        self.changed: set[str] = set()
        self.aliases: dict[str, set[str]] = {}
        self._namespace = namespace
        self._functions: dict[str, list[ast.arguments]] = {}
        for node in ast.walk(tree):
            if isinstance(node, FunctionNode):
                self._functions.setdefault(node.name, []).append(node.args)
            elif isinstance(node, ast.ClassDef):
                inside = [one for one in node.body if isinstance(one, FunctionNode)]
                made = [one.args for one in inside if one.name == "__init__"]
                self._functions.setdefault(node.name, []).extend(made)

    def follow_aliases(self) -> set[str]:
        """Return the places whose objects are changed there or in another place."""
        found, todo = set[str](), [*self.changed]
        while todo:
            place = todo.pop()
            if place not in found:
                found.add(place)
                todo += self.aliases.get(place, ())
        return found

    def read(self, node: ast.AST) -> None:
        """Note what a node by itself changes or names."""
        match node:
            case ast.Attribute() | ast.Subscript():
                if not isinstance(node.ctx, ast.Load) or _find_name(node) in MUTATING_METHODS:
                    self.changed |= _list_places(node.value)
            case ast.AugAssign():
                self.changed |= _list_places(node.target)
            case ast.Assign():
                for target in node.targets:
                    self._bind(target, node.value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._bind(target, value)
            case ast.NamedExpr():
                self._bind(node.target, node.value)
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._bind(node.target, ast.Subscript(node.iter, ast.Slice(), ast.Load()))
            case ast.withitem(optional_vars=ast.expr() as target):
                self._bind(target, node.context_expr)
            case ast.Match():
                self._read_match(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._read_function(node)
            case ast.Lambda():
                self._name(list_defaults(node.args))
            case ast.Call():
                self._read_call(node)

    def _name(self, pairs: Iterator[tuple[str, ast.expr]]) -> None:
        """Note places with what is put there."""
        for place, value in pairs:
            self.aliases.setdefault(place, set()).update(_list_places(value))

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        """Note the names of an assignment, or of a statement that assigns parts of a value."""
        several = ast.Tuple | ast.List
        if isinstance(target, several) and isinstance(value, several):
            both = *target.elts, *value.elts
            is_starred = any(isinstance(one, ast.Starred) for one in both)
            if len(target.elts) == len(value.elts) and not is_starred:
                for one, part in zip(target.elts, value.elts, strict=True):
                    self._bind(one, part)
                return
        bound = (
            one for one in ast.walk(target) if isinstance(getattr(one, "ctx", None), ast.Store)
        )
        self._name((_find_place(one), value) for one in bound)

    def _read_match(self, node: ast.Match) -> None:
        """Note the names that the patterns of a ``match`` give to parts of its subject."""
        for case in node.cases:
            for one in ast.walk(case.pattern):
                names = getattr(one, "name", None), getattr(one, "rest", None)
                self._name((name, node.subject) for name in names if name)

    def _read_function(self, node: FunctionNode) -> None:
        """Note the defaults of a function, and what its name returns if it is called."""
        self._name(list_defaults(node.args))
        for one in ast.walk(node):
            if isinstance(one, ast.Return | ast.Yield | ast.YieldFrom) and one.value is not None:
                self._name((place, one.value) for place in (node.name, f".{node.name}"))

    def _read_call(self, node: ast.Call) -> None:
        """Note what a call changes, and the names of what it passes on to a function."""
        passed = [*node.args, *(one.value for one in node.keywords)]
        called = _find_name(node.func)
        # As in "partial(heappush, items)", too.
        changes = any(map(_changes_argument, (node.func, *node.args)))
        if changes or (called not in self._functions and self._is_of_user(node.func)):
            self.changed = self.changed.union(*map(_list_places, passed))
        elif called in MUTATING_METHODS and isinstance(node.func, ast.Attribute):
            into = f"{_find_place(node.func.value)}[]"
            self._name((into, one) for one in passed)
        # Of a dataclass, for example.
        self._name((f".{one.arg}", one.value) for one in node.keywords if one.arg)
        for arguments in self._functions.get(called, ()):
            self._name(pair_arguments(node, arguments, is_method=True))

    def _is_of_user(self, function: ast.expr) -> bool:
        """Return whether this is an imported function that may change what is passed to it."""
        names, places = self._namespace, [function]
        while isinstance(places[-1], ast.Attribute):
            places.append(places[-1].value)
        value: object = None
        for one in reversed(places):
            value = names.get(_find_name(one))
            names = read_names(value)
        return is_a(value, FunctionType) and not is_of_library(value)


def _changes_argument(function: ast.expr) -> bool:
    """Return whether a function changes what is passed to it, like ``list.append``."""
    if isinstance(function, ast.Attribute) and _find_name(function.value) in (
        "list",
        "dict",
        "set",
    ):
        return function.attr in MUTATING_METHODS
    return _find_name(function) in _FUNCTIONS


def _list_places(node: ast.expr) -> set[str]:
    """Return the places that an expression has its value from, or parts of it."""
    found, todo = set[str](), [node]
    while todo:
        one = todo.pop()
        if isinstance(one, ast.Name | ast.Attribute):
            found.add(_find_place(one))
        if isinstance(one, ast.Subscript):
            found.add(f"{_find_place(one)}[]")
        if isinstance(one, ast.Call):
            todo += one.args if _find_name(one.func) in _PASS_ON else []
            of = one.func.value if isinstance(one.func, ast.Attribute) else one
            found.add(f"{_find_place(of)}[]")
        for name in _PARTS.get(type(one), ()):
            part = getattr(one, name)
            todo += part if isinstance(part, list) else [part]
    return found


def _find_place(node: ast.AST) -> str:
    """Return ``name``, or ``.attribute`` of anything; of an item, the place of what has it."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return f".{node.attr}" if isinstance(node, ast.Attribute) else _find_name(node)


def _find_name(node: ast.AST) -> str:
    """Return a name or that of an attribute; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
