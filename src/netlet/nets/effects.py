"""What the statements of a script change besides the names that they bind.

A statement may change an object by another name, as in ``for layer in net.children()``, or in a
function or method of the file that it calls. Of what other files have, only functions of Python and
PyTorch are known.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from torch import nn

from netlet.nets.aliases import Aliases, find_aliases, find_place, find_roots
from netlet.nets.patched_classes import list_patched
from netlet.nets.random_numbers import DRAW, RANDOM, SEED, list_generators, list_imported
from netlet.nets.script import (
    MUTATING_METHODS,
    last_name,
    list_parameters,
    list_statements,
    names_bound,
    pair_arguments,
    walk_outside_functions,
)
from netlet.nets.training_code import TrainingCode

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef
_Loop = ast.For | ast.AsyncFor | ast.While
# A name, and the attribute or key of its object that is changed; empty if that is not known.
_Change = tuple[str, str]
# Functions that change their first argument.
_CHANGE_FIRST = {"setattr", "delattr", "setitem", "delitem", "next", "shuffle", "copyto"}
_CHANGE_FIRST |= {"heapify", "heappush", "heappop", "heapreplace", "heappushpop", "insort"}
_CHANGE_FIRST |= {"register_parametrization", "remove_parametrizations", "weight_norm"}
_CHANGE_FIRST |= {"spectral_norm", "l1_unstructured", "random_unstructured", "ln_structured"}
_CHANGE_FIRST |= {"random_structured", "custom_from_mask"}
# What changes weights only is no part of how a net is made, unless the script does it itself.
_OF_WEIGHTS = {"apply", "load_state_dict"}
_OF_MODULES = frozenset(dir(nn.Module))
# Of these packages, settings are changed, such as torch.backends.cudnn.benchmark.
_WITH_SETTINGS = {"wandb", "mlflow", "comet_ml", "neptune", "clearml"}
_WITH_SETTINGS |= {"torch", "numpy", "matplotlib", "pandas", "os", "sys", "warnings", "logging"}


@dataclass
class _Effects:
    """What a function changes when it is called.

    Attributes:
        parameters: Of its parameters.
        names: Of the names outside of it; these may be set, too.
    """

    parameters: set[_Change] = field(default_factory=set)
    names: set[_Change] = field(default_factory=set)


@dataclass(frozen=True)
class _Code:
    """What is known of a function without the functions that it calls.

    Attributes:
        nodes: Its calls and the like.
        aliases: By which names it knows objects.
        places: What it sets itself.
        declared: Its global names.
        local: The names that it binds.
        own: The parameters that it sets to nothing else.
    """

    nodes: Sequence[ast.AST]
    aliases: Aliases
    places: set[_Change]
    declared: set[str]
    local: set[str]
    own: set[str]


class ScriptEffects:
    """What each statement of a script changes.

    Attributes:
        changed: For each statement the names whose objects it may change.
        noted: For each statement names with the attributes and keys that it changes in functions,
            or while it trains; this matters only to who reads these, and often notes a result.
        registered: For each definition what its decorators or ``__init_subclass__`` change, such
            as a dict of all nets, which matters only to who reads that.

    Args:
        body: All statements.
    """

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        statements = [*list_statements(ast.Module([*body], []))]
        self._functions = {n.name: n for n in statements if isinstance(n, _Function)}
        self._classes = {n.name: n for n in statements if isinstance(n, ast.ClassDef)}
        self._methods: dict[str, list[_Function]] = {}
        for one in self._classes.values():
            for method in one.body:
                if isinstance(method, _Function):
                    self._methods.setdefault(method.name, []).append(method)
        methods = [one for some in self._methods.values() for one in some]
        self._chained = {one.name for one in methods if _returns_self(one)}
        self._imported = list_imported(body)
        self._modules = list_imported(n for n in body if isinstance(n, ast.Import)).keys()
        self._generators = list_generators(body)
        self._training = TrainingCode(self._functions, self._methods, statements)
        self._effects = {one: _Effects() for one in (*self._functions.values(), *methods)}
        self._code = {one: self._prepare(one) for one in self._effects}
        self._read_functions()
        self._aliases: dict[str, set[str]] = {}
        found = [self._read_statement(node) for node in body]
        pairs = zip(found, list_patched(body), strict=True)
        self.changed = [{name for name, at in one if not at} | patched for one, patched in pairs]
        self.noted = [{(name, at) for name, at in one if at} for one in found]
        self.registered = [self._find_registered(node) for node in body]

    def writes(self, node: ast.stmt, name: str) -> bool:
        """Return whether a function, or a method of a class, changes what is outside of it."""
        functions = getattr(node, "body", ()) if isinstance(node, ast.ClassDef) else [node]
        found = (self._effects[one].names for one in functions if one in self._effects)
        return any(name == written for names in found for written, _ in names)

    def trains(self, node: ast.stmt) -> bool:
        """Return whether a statement trains, reads data or writes; see :class:`TrainingCode`."""
        return self._training.is_in(node)

    def _read_functions(self) -> None:
        """Find what the functions do, also those that call each other."""
        order, before = [*self._effects], -1
        while before != (size := sum(map(_measure, self._effects.values()))):
            before = size
            for function in order:
                self._read_function(function, self._effects[function])
            order.reverse()  # a chain of calls is followed in one direction

    def _read_function(self, function: _Function, effects: _Effects) -> None:
        """Note what a function changes; those inside it count."""
        code = self._code[function]
        changed = self._find_changed(code.nodes, code.aliases, is_inside=True) | code.places
        effects.parameters |= {one for one in changed if one[0] in code.own}
        effects.names |= {one for one in changed if one[0] not in code.local}
        effects.names |= {(name, "") for name in code.declared & code.local}

    def _prepare(self, function: _Function) -> _Code:
        nodes = [node for statement in function.body for node in ast.walk(statement)]
        parameters = set(list_parameters(function.args))
        aliases = find_aliases(nodes, self._chained)
        places = (self._place(node, aliases) for node in _list_set(nodes))
        return _Code(
            nodes=[node for node in nodes if isinstance(node, ast.Call | ast.AugAssign)],
            aliases=aliases,
            places=set[_Change]().union(*places),
            declared={name for n in nodes if isinstance(n, ast.Global) for name in n.names},
            local=parameters | _list_bound(nodes),
            # A parameter that is set to something else is that from there on.
            own={name for name in parameters if name in aliases.get(name, {name})},
        )

    def _place(self, node: ast.expr, aliases: Aliases) -> set[_Change]:
        """Return an object and what of it a node is, by each name of the object."""
        root, key = find_place(node)
        roots = find_roots(node, aliases, self._chained)
        return {(one, key if one == root else "") for one in roots}

    def _read_statement(self, node: ast.stmt) -> set[_Change]:
        """Return what a statement changes; what trains changes only what it names itself."""
        if isinstance(node, _Definition):
            return set()
        nodes = [*walk_outside_functions(node)]
        own = find_aliases(nodes, self._chained)
        aliases = {**self._aliases}
        for name, roots in own.items():
            aliases[name] = aliases.get(name, set()) | roots
        calls = any(isinstance(one, ast.Call) for one in nodes)
        trains = calls and self.trains(node)
        named = self._find_named(nodes)
        if trains and isinstance(node, _Loop):
            changed = named
        elif trains:
            changed = {(name, "") for name, _ in named}
        else:
            changed = {(name, "") for name, _ in named}
            changed |= self._find_changed(nodes, aliases)
            for one in _list_set(nodes):
                changed |= {(root, "") for root in find_roots(one, aliases, self._chained)}
        self._aliases |= own  # names mean something else now
        if trains or (calls and self._training.uses_work(node)):  # notes a result in a setting
            changed = {one for one in changed if one[0] not in self._imported}
        return {one for one in changed if self._imported.get(one[0]) not in _WITH_SETTINGS}

    def _find_named(self, nodes: Iterable[ast.AST]) -> set[_Change]:
        """Return what some nodes set, or change by methods, without other names of it."""
        functions = (n.func for n in nodes if isinstance(n, ast.Call) and self._is_mutating(n))
        objects = (one.value for one in functions if isinstance(one, ast.Attribute))
        return {find_place(one) for one in (*_list_set(nodes), *objects)} - {("", "")}

    def _is_mutating(self, call: ast.Call) -> bool:
        """Return whether a call is that of a method that changes its object.

        ``os.remove`` is a function of a module instead.
        """
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in MUTATING_METHODS:
            return False
        return not (_is_name(call.func.value) and call.func.value.id in self._modules)

    def _find_changed(
        self, nodes: Sequence[ast.AST], aliases: Aliases, *, is_inside: bool = False
    ) -> set[_Change]:
        """Return what some nodes change, but for what they set themselves."""
        found = set[_Change]()
        for node in nodes:
            if isinstance(node, ast.Call):
                found |= self._find_changed_by_call(node, aliases, is_inside=is_inside)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                # It may be a list; inside a function, more likely a number or an image.
                found |= self._place(node.target, {} if is_inside else aliases)
        return found

    def _find_changed_by_call(
        self, call: ast.Call, aliases: Aliases, *, is_inside: bool
    ) -> set[_Change]:
        name, found = last_name(call.func), set[_Change]()
        receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
        of = self._place(receiver, aliases) if receiver is not None else set[_Change]()
        roots = {root for root, _ in of}
        of_module = bool((roots or {name}) & self._imported.keys())
        in_place = name.endswith("_") and not name.startswith("_")
        if is_inside and name != "requires_grad_" and not of_module:
            in_place = False  # restores weights
        only_weights = is_inside and name in _OF_WEIGHTS
        if (not only_weights and self._is_mutating(call)) or (in_place and not of_module):
            found |= of
        elif name in SEED | DRAW:
            found |= {(root, "") for root in roots & self._generators}
        if of_module and name in SEED:
            found.add((RANDOM, ""))
        if call.args and (name in _CHANGE_FIRST or (in_place and of_module)):
            found |= self._place(call.args[0], aliases)
        for function, passed in self._find_called(call):
            effects, first = self._effects[function], _first(function)
            found |= effects.names
            given = [*passed, *([(first, receiver)] if receiver is not None else [])]
            for parameter, value in given:
                keys = {at for one, at in effects.parameters if one == parameter}
                if keys:
                    objects = find_roots(value, aliases, self._chained)
                    found |= {(one, at) for one in objects for at in keys}
        return found

    def _find_called(
        self, call: ast.Call
    ) -> Iterator[tuple[_Function, Iterable[tuple[str, ast.expr]]]]:
        """Yield the functions of the file that a call may mean, with what it passes to them.

        Those that train, evaluate or do other work are left out.
        """
        functions = list[_Function]()
        if isinstance(call.func, ast.Attribute) and call.func.attr not in _OF_MODULES:
            functions += self._methods.get(call.func.attr, ())
        elif _is_name(call.func) and call.func.id in self._functions:
            functions.append(self._functions[call.func.id])
        elif _is_name(call.func) and call.func.id in self._classes:
            inside = self._classes[call.func.id].body
            made = ("__init__", "__post_init__")
            functions += [n for n in inside if isinstance(n, _Function) and n.name in made]
        for one in functions:
            if not self._training.works(one):
                is_method = self._functions.get(one.name) is not one
                yield one, pair_arguments(call, one.args, is_method=is_method)

    def _find_registered(self, node: ast.stmt) -> set[str]:
        if not isinstance(node, _Definition):
            return set()
        found = set[str]()
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if function := self._functions.get(last_name(called)):
                found |= {name for name, _ in self._effects[function].names}
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            above = self._classes.get(last_name(base))
            for one in above.body if above else ():
                if isinstance(one, _Function) and one.name == "__init_subclass__":
                    found |= {name for name, _ in self._effects[one].names} | {last_name(base)}
        return found


def _list_bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that are bound in a function, or in those inside it."""
    found = set[str]()
    for node in nodes:
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.stmt):
            found |= set(names_bound(node))
    return found


def _measure(effects: _Effects) -> int:
    return len(effects.parameters) + len(effects.names)


def _first(function: _Function) -> str:
    return next(iter(list_parameters(function.args)), "")


def _list_set(nodes: Iterable[ast.AST]) -> Iterator[ast.Attribute | ast.Subscript]:
    """Yield the attributes and items that some nodes set or delete."""
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield node


def _returns_self(method: _Function) -> bool:
    """Return whether a method returns its object, as those of builders do."""
    returned = (one.value for one in ast.walk(method) if isinstance(one, ast.Return))
    return any(isinstance(one, ast.Name) and one.id == _first(method) for one in returned)


def _is_name(node: ast.expr) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)
