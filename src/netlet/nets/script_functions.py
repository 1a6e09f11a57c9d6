"""The functions and methods of a script, and which of them a call may mean."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from torch import nn

from netlet.nets.aliases import Aliases, find_aliases, find_roots
from netlet.nets.hook_calls import registers_hook
from netlet.nets.script import last_name, list_parameters, pair_arguments

Function = ast.FunctionDef | ast.AsyncFunctionDef
Given = list[tuple[str, ast.expr]]  # the parameters of a function, with what a call passes
_OF_MODULES = frozenset(dir(nn.Module))


class ScriptFunctions:
    """The functions and methods of a script.

    Attributes:
        by_name: Its functions, also lambdas with a name and partials of a function.
        classes: Its classes by name.
        methods: The methods of its classes by name.

    Args:
        statements: All its statements, also those in blocks.
    """

    def __init__(self, statements: Sequence[ast.stmt]) -> None:
        self.by_name = _list_functions(statements)
        self.classes = {n.name: n for n in statements if isinstance(n, ast.ClassDef)}
        self.methods: dict[str, list[Function]] = {}
        for one in self.classes.values():
            for method in one.body:
                if isinstance(method, Function):
                    self.methods.setdefault(method.name, []).append(method)
        self._returned = {one: _list_returned(one) for one in self.list_all()}

    def list_all(self) -> list[Function]:
        """Return the functions and the methods."""
        return [*self.by_name.values(), *(one for some in self.methods.values() for one in some)]

    def list_meant(
        self, call: ast.Call, aliases: Aliases | None = None
    ) -> list[tuple[Function, Given]]:
        """Return the functions of the file that a call may mean, with what they get.

        A method gets its object as the first parameter.
        """
        functions = list[Function]()
        match call.func:
            case ast.Attribute(attr=name) if name not in _OF_MODULES:
                functions += self.methods.get(name, ())
            case ast.Name(id=name) if name in self.classes:
                inside = self.classes[name].body
                made = ("__init__", "__post_init__")
                functions += [n for n in inside if isinstance(n, Function) and n.name in made]
            case ast.Name(id=name):
                names = find_roots(call.func, aliases or {})
                functions += [self.by_name[one] for one in names if one in self.by_name]
        found = []
        for one in functions:
            is_method = self.by_name.get(one.name) is not one
            given = [*pair_arguments(call, one.args, is_method=is_method)]
            if isinstance(call.func, ast.Attribute):
                given.append((first_parameter(one), call.func.value))
            found.append((one, given))
        return found

    def registers_hook(self, call: ast.Call) -> bool:
        """Return whether a call registers a hook that may change what a net computes."""
        return registers_hook(call, self.by_name, self.methods)

    def list_passed_on(self, call: ast.Call) -> list[ast.expr]:
        """Return the arguments and the object that a call of an own function may return.

        What registers a hook returns a handle, which removes the hook from the object.
        """
        if isinstance(call.func, ast.Attribute) and self.registers_hook(call):
            return [call.func.value]
        found: dict[int, ast.expr] = {}  # by identity, since many methods may have one name
        for function, given in self.list_meant(call):
            returned = self._returned[function]
            found |= {id(value): value for name, value in given if name in returned}
        return [*found.values()]


def _list_functions(statements: Iterable[ast.stmt]) -> dict[str, Function]:
    """Return the functions of a script by name, also lambdas and ``partial(function, key=1)``."""
    found: dict[str, Function] = {}
    for node in statements:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found[node.name] = node
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                body: list[ast.stmt] = [ast.Return(value.body)]
                found[name] = ast.FunctionDef(name, value.args, body, [])
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(func=called, args=[ast.Name(id=of)])
            ) if last_name(called) == "partial" and of in found:
                found[name] = found[of]
    return found


def _list_returned(function: Function) -> set[str]:
    """Return the parameters whose objects, or parts of them, a function returns or yields."""
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    aliases, found = find_aliases(nodes), set[str]()
    for one in nodes:
        if isinstance(one, ast.Return | ast.Yield | ast.YieldFrom) and one.value is not None:
            found |= find_roots(one.value, aliases)
    return found & list_kept(set(list_parameters(function.args)), aliases)


def list_kept(parameters: set[str], aliases: Aliases) -> set[str]:
    """Return the parameters that a function does not set to something else."""
    return {name for name in parameters if name in aliases.get(name, {name})}


def first_parameter(function: Function) -> str:
    """Return the name of the first parameter of a function; empty if it has none."""
    return next(iter(list_parameters(function.args)), "")
