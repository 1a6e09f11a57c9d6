"""With which arguments a file builds its nets: read from its text, without running it.

A class or function whose arguments all have defaults is a net by itself. Code that calls it with
other arguments builds another net.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from netlet.nets.imported_definitions import Imported
from netlet.nets.module_classes import (
    class_name,
    find_method,
    list_module_classes,
    list_required,
    takes_net,
    takes_several_inputs,
)
from netlet.nets.net_calls import (
    find_call,
    list_returned,
    outer_statements,
    returns_net,
    unwrap,
)
from netlet.nets.patched_classes import list_added
from netlet.nets.registry import recognize_parameter
from netlet.nets.script import (
    is_main_guard,
    list_statements,
    list_values,
    names_bound,
    pair_arguments,
)
from netlet.nets.script_functions import ScriptFunctions
from netlet.nets.training_code import TrainingCode
from netlet.nets.used_functions import FunctionNode

_DEPTH = 4  # of functions that return what others build
_BELOW_MAIN = 'it is below if __name__ == "__main__"'
_NOT_HELD = "neither a variable nor a function without arguments holds it"
HELD_BEFORE = "its variable is also assigned another net"
_Values = Mapping[str, ast.expr]


@dataclass(frozen=True)
class Build:
    """What a call builds.

    Attributes:
        kind: The name of the class; of the function if it builds a net of layers.
        arguments: The arguments that differ from the defaults, like ``width=64``; empty if none do.
            Those that netlet passes itself, such as ``num_classes``, do not count.
    """

    kind: str
    arguments: str


class Builds:
    """The nets that a file builds.

    Attributes:
        classes: The classes that it has or imports, by name.
        functions: The functions that it has or imports, by name.
        modules: Those of the classes that are modules.
        own: The names of the classes and functions that are defined in the file.

    Args:
        tree: The file's text.
        imported: What it imports from other files of the person.
    """

    def __init__(self, tree: ast.Module, imported: Mapping[str, Imported]) -> None:
        self._tree = tree
        self._outer = [*outer_statements(tree.body)]
        known = {name: one.node for name, one in imported.items()}
        known |= {
            one.name: one for one in self._outer if isinstance(one, ast.ClassDef | FunctionNode)
        }
        self.own = {one.name for one in self._outer if isinstance(one, ast.ClassDef | FunctionNode)}
        self.classes = {name: n for name, n in known.items() if isinstance(n, ast.ClassDef)}
        self.functions = {name: n for name, n in known.items() if isinstance(n, FunctionNode)}
        with_forward = list_added(tree.body).get("forward", set())  # by a decorator
        self.modules = list_module_classes(self.classes, with_forward)
        self._kinds = {
            name
            for name in self.modules
            if not (takes_several_inputs(name, self.classes) or takes_net(name, self.classes))
        }
        self._constants = {
            name: found[0]
            for name, found in list_values(tree).items()
            if len(found) == 1 and isinstance(found[0], ast.Constant)
        }

    @cached_property
    def named(self) -> dict[str, tuple[ast.stmt, Build]]:
        """The variables, and functions without required arguments, that hold a net.

        Left out are functions that train: they would do so whenever the net is built.
        """
        found: dict[str, tuple[ast.stmt, Build]] = {}
        for node in self._outer:
            if isinstance(node, FunctionNode):
                build = None if list_required(node) else self._find_returned(node, {}, _DEPTH)
                if build and build.kind != node.name and not self._training.trains(node):
                    found[node.name] = node, build
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for name in _list_targets(node):  # the last value of a variable counts
                    if name not in self._unclear and _is_held(name, node.value):
                        continue  # model = model.to(device)
                    found.pop(name, None)
                    if node.value and (build := self._find(node.value, {}, _DEPTH)):
                        found[name] = node, build
        return found

    @cached_property
    def unnamed(self) -> list[tuple[Build, str]]:
        """The nets that are built elsewhere, each with the reason why it cannot be named."""
        found: list[tuple[Build, str]] = []
        names = {name for name in self.named if not name.startswith("_")}
        places = _Places(self._tree, [self.named[name][0] for name in names])
        earlier = {
            id(part): name
            for node in self._outer
            for name in names.intersection(_list_targets(node))
            for part in ast.walk(node)
        }
        for call, place in places.walk(self._tree, _Place()):
            given = self._read_defaults(place.function) if place.function else {}
            build = self._find(call, given, _DEPTH)
            if not build or build.kind in place.classes or self._is_maker(place, build):
                continue
            holder = earlier.get(id(call), "")
            if not holder or build != self.named[holder][1]:
                found.append((build, place.reason or (HELD_BEFORE if holder else _NOT_HELD)))
        return found

    @cached_property
    def by_default(self) -> set[str]:
        """The classes and functions that the file calls with no other than the defaults."""
        called = {class_name(n.func) for n in ast.walk(self._tree) if isinstance(n, ast.Call)}
        builds = [
            build
            for name, (node, build) in self.named.items()
            if not (isinstance(node, FunctionNode) and name in called)
        ]
        builds += [build for build, reason in self.unnamed if reason != HELD_BEFORE]
        return {build.kind for build in builds if not build.arguments}

    @cached_property
    def _unclear(self) -> set[str]:
        """The names that not only assignments bind, but loops, for example."""
        return {
            name
            for node in self._outer
            if not isinstance(node, ast.If | ast.Try)
            for name in {*names_bound(node)} - {*_list_targets(node)}
        }

    @cached_property
    def _training(self) -> TrainingCode:
        statements = [*list_statements(self._tree)]
        return TrainingCode(ScriptFunctions(statements), statements)

    def _is_maker(self, place: _Place, build: Build) -> bool:
        """Return whether a function returns what is built there: its own calls count instead."""
        function = place.function
        return (
            function is not None
            and returns_net(function, {build.kind})
            and bool(list_required(function))
        )

    def _find(self, value: ast.expr, given: _Values, depth: int) -> Build | None:
        """Return what an expression builds, with values for the parameters around it."""
        call = find_call(value)
        name = class_name(call.func) if call else ""
        if call and name in self._kinds:
            made_by = find_method(name, self.classes, "__init__")
            return Build(name, self._describe(call, made_by, given))
        if call and depth and name in self.functions:
            function = self.functions[name]
            passed = pair_arguments(call, function.args)
            own = {one: self._resolve(what, given) for one, what in passed}
            build = self._find_returned(function, own, depth - 1)
            if build and build.kind == function.name:
                return Build(name, self._describe(call, function, given))
            return build
        return None

    def _find_returned(self, function: FunctionNode, given: _Values, depth: int) -> Build | None:
        """Return what a function builds; itself if that are several nets, or layers."""
        values = {**_pair_defaults(function), **given}
        builds = {self._find(value, values, depth) for value in list_returned(function)} - {None}
        if len(builds) == 1:
            return builds.pop()
        return Build(function.name, "") if builds or returns_net(function, set()) else None

    def _describe(self, call: ast.Call, function: FunctionNode | None, given: _Values) -> str:
        """Return the arguments of a call that differ from the defaults of what it calls."""
        starred = any(isinstance(one, ast.Starred) for one in call.args)
        if function is None or starred or any(one.arg is None for one in call.keywords):
            written = [ast.unparse(self._resolve(one, given)) for one in call.args]
            written += [ast.unparse(one) for one in call.keywords]
            return ", ".join(written)
        defaults = _pair_defaults(function)
        different = {}
        is_method = function.name == "__init__"
        for name, value in pair_arguments(call, function.args, is_method=is_method):
            resolved = self._resolve(value, given)
            default = defaults.get(name)
            if recognize_parameter(name) or (default and _are_equal(default, resolved)):
                continue
            different[name] = ast.unparse(resolved)
        return ", ".join(f"{name}={text}" for name, text in sorted(different.items()))

    def _resolve(self, value: ast.expr, given: _Values) -> ast.expr:
        """Return the value of a parameter or of a constant of the file for its name."""
        if isinstance(value, ast.Name):
            return given.get(value.id, self._constants.get(value.id, value))
        return value

    def _read_defaults(self, function: FunctionNode) -> _Values:
        """Return the defaults of a function, apart from those that some call replaces."""
        calls = (n for n in ast.walk(self._tree) if isinstance(n, ast.Call))
        passed = {
            name
            for call in calls
            if class_name(call.func) == function.name
            for name, _ in pair_arguments(call, function.args)
        }
        return {name: one for name, one in _pair_defaults(function).items() if name not in passed}


class _Places:
    """The places of calls whose results a file keeps.

    Args:
        tree: The file's text.
        named: The statements that give a net a name, which are left out.
    """

    def __init__(self, tree: ast.Module, named: Iterable[ast.stmt]) -> None:
        self._left_out = {id(node) for node in named} | {*_list_dropped(tree)}

    def walk(self, node: ast.AST, place: _Place) -> Iterator[tuple[ast.Call, _Place]]:
        """Yield the calls in a node, each with its place; those of tests are left out."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | FunctionNode):
                if id(child) not in self._left_out and not child.name.lower().startswith("test"):
                    yield from self.walk(child, place.enter(child))
            elif is_main_guard(child):
                yield from self.walk(child, replace(place, reason=place.reason or _BELOW_MAIN))
            elif id(child) not in self._left_out or isinstance(child, ast.Call):
                if isinstance(child, ast.Call) and id(child) not in self._left_out:
                    yield child, place
                yield from self.walk(child, place)


@dataclass(frozen=True)
class _Place:
    """Where a call stands.

    Attributes:
        reason: Why what it builds has no name; empty outside of functions and classes.
        function: The innermost function.
        classes: The names of the classes.
    """

    reason: str = ""
    function: FunctionNode | None = None
    classes: frozenset[str] = frozenset()

    def enter(self, node: ast.ClassDef | FunctionNode) -> _Place:
        """Return the place inside a class or function."""
        if isinstance(node, ast.ClassDef):
            reason = self.reason or f"it is inside {node.name}"
            return replace(self, reason=reason, classes=self.classes | {node.name})
        return replace(self, reason=self.reason or f"it is inside {node.name}()", function=node)


def _list_dropped(tree: ast.Module) -> Iterator[int]:
    """Yield the ids of calls whose results are used at once: ``Net()(x)``, ``Net().state_dict()``.

    Calls that yield what another one builds, such as ``Net().to(device)``, are among them, since
    the other call counts.
    """
    for node in ast.walk(tree):
        used: ast.expr | None = None
        if isinstance(node, ast.Expr):
            used = node.value
        elif isinstance(node, ast.Call):
            made = find_call(node)
            used = node.func if made is node else None
            if made is not node:
                yield id(node)
        if isinstance(used, ast.Attribute):
            used = used.value
        if isinstance(used, ast.Call):
            yield id(used)
            yield id(find_call(used))


def _list_targets(node: ast.stmt) -> list[str]:
    """Return the variables that a statement assigns to; none if it is no assignment."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [one.id for one in targets if isinstance(one, ast.Name)]


def _is_held(name: str, value: ast.expr | None) -> bool:
    """Return whether a value is the net that a variable holds, moved or wrapped."""
    made = unwrap(value) if value else None
    return isinstance(made, ast.Name) and made.id == name


def _pair_defaults(function: FunctionNode) -> dict[str, ast.expr]:
    """Return the defaults of the parameters of a function."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    keyword = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs = [*zip(with_default, arguments.defaults, strict=True), *keyword]
    return {one.arg: value for one, value in pairs if value}


def _are_equal(one: ast.expr, other: ast.expr) -> bool:
    """Return whether two expressions have the same value, as far as their text shows."""
    if ast.dump(one) == ast.dump(other):
        return True
    with contextlib.suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return bool(ast.literal_eval(one) == ast.literal_eval(other))
    return False
