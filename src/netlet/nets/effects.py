"""What the statements of a script change besides the names that they bind.

A statement may change an object by another name, as in ``for layer in net.children()``, or in a
function or method of the file that it calls. Of what other files have, only functions of Python and
PyTorch are known.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from netlet.nets.patched_classes import list_patched
from netlet.nets.random_numbers import DRAW, RANDOM, SEED, list_generators, list_imported
from netlet.nets.script import (
    MUTATING_METHODS,
    find_root,
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
_Aliases = Mapping[str, set[str]]  # names, and those whose objects they are or are a part of
_Change = tuple[str, str]  # a name, and the attribute of its object that is set; empty if unknown
# Functions that change their first argument.
_CHANGE_FIRST = {"setattr", "delattr", "setitem", "delitem", "next", "shuffle", "copyto"}
_CHANGE_FIRST |= {"heapify", "heappush", "heappop", "heapreplace", "heappushpop", "insort"}
_CHANGE_FIRST |= {"register_parametrization", "remove_parametrizations", "weight_norm"}
_CHANGE_FIRST |= {"spectral_norm", "l1_unstructured", "random_unstructured", "ln_structured"}
_CHANGE_FIRST |= {"random_structured", "custom_from_mask"}
# Functions and methods that return what they get, or a part of it.
_PASS_ON = {"vars", "getattr", "iter", "list", "tuple", "reversed", "sorted", "enumerate", "zip"}
_PASS_ON |= {"filter", "next"}
_PARTS = {"parameters", "named_parameters", "modules", "named_modules", "children", "buffers"}
_PARTS |= {"named_children", "named_buffers", "get_submodule", "get_parameter", "items", "values"}
_PARTS |= {"get", "setdefault", "add_argument_group", "add_mutually_exclusive_group"}
# Of these packages, settings are changed, such as torch.backends.cudnn.benchmark.
_WITH_SETTINGS = {"torch", "numpy", "matplotlib", "pandas"}


@dataclass
class _Effects:
    """What a function does when it is called.

    Attributes:
        parameters: What it changes of its parameters.
        names: What it changes of the names outside of it, or that it sets these.
        returned: The parameters that it returns, or a part of them.
    """

    parameters: set[_Change] = field(default_factory=set)
    names: set[_Change] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)


class ScriptEffects:
    """What each statement of a script changes.

    Attributes:
        changed: For each statement the names whose objects it may change.
        noted: For each statement names with the attributes that functions set which it calls; this
            matters only to who reads these, and often only notes a result.
        registered: For each definition what its decorators or ``__init_subclass__`` change, such
            as a dict of all nets, which matters only to who reads that.

    Args:
        body: All statements.
    """

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        definitions = [*list_statements(ast.Module([*body], []))]
        self._functions = {n.name: n for n in definitions if isinstance(n, _Function)}
        self._classes = {n.name: n for n in definitions if isinstance(n, ast.ClassDef)}
        self._methods: dict[str, list[_Function]] = {}
        for one in self._classes.values():
            for method in one.body:
                if isinstance(method, _Function):
                    self._methods.setdefault(method.name, []).append(method)
        self._effects: dict[_Function, _Effects] = {
            one: _Effects() for one in (*self._functions.values(), *self._list_methods())
        }
        self._training = TrainingCode(self._functions, self._methods)
        self._imported = list_imported(body)
        self._modules = list_imported(n for n in body if isinstance(n, ast.Import)).keys()
        self._generators = list_generators(body)
        self._read_functions()
        self._aliases: _Aliases = {}
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
        """Return whether a statement trains or loads data, itself or in functions of the file."""
        return self._training.is_in(node)

    def _list_methods(self) -> Iterator[_Function]:
        for methods in self._methods.values():
            yield from methods

    def _read_functions(self) -> None:
        """Find what the functions do, also those that call each other."""
        before = -1
        while before != (size := sum(map(_measure, self._effects.values()))):
            before = size
            for function, effects in self._effects.items():
                self._read_function(function, effects)

    def _read_function(self, function: _Function, effects: _Effects) -> None:
        """Note what a function does; those inside it count."""
        nodes = [node for statement in function.body for node in ast.walk(statement)]
        declared = {name for n in nodes if isinstance(n, ast.Global) for name in n.names}
        parameters = set(list_parameters(function.args))
        local = parameters | _list_bound(nodes)
        aliases = self._find_aliases(nodes, {})
        changed = self._find_changed(nodes, aliases) | {
            (root, _find_key(node))
            for node in _list_set(nodes)
            for root in self._find_roots(node.value, aliases)
        }
        # What it calls is more likely a net that it trains or evaluates.
        called = {n.func.id for n in nodes if isinstance(n, ast.Call) and _is_name(n.func)}
        effects.parameters |= {one for one in changed if one[0] in parameters - called}
        effects.names |= {one for one in changed if one[0] not in local}
        effects.names |= {(name, "") for name in declared & local}
        for node in nodes:
            if isinstance(node, ast.Return) and node.value is not None:
                effects.returned |= self._find_roots(node.value, aliases) & parameters

    def _read_statement(self, node: ast.stmt) -> set[_Change]:
        """Return what a statement changes; what trains changes only what it names itself."""
        if isinstance(node, _Definition):
            return set()
        nodes = [*walk_outside_functions(node)]
        own = self._find_aliases(nodes, {})
        aliases = self._find_aliases(nodes, self._aliases)
        changed = {(name, "") for name in self._find_named(nodes)}
        if not self.trains(node):
            changed |= self._find_changed(nodes, aliases)
            parts = (one.value for one in _list_set(nodes))
            changed |= {(root, "") for one in parts for root in self._find_roots(one, aliases)}
        if isinstance(node, ast.Assign | ast.AnnAssign):  # its names mean something else now
            aliases |= {name: own.get(name, set()) for name in names_bound(node)}
        self._aliases = aliases
        return {one for one in changed if self._imported.get(one[0]) not in _WITH_SETTINGS}

    def _find_named(self, nodes: Iterable[ast.AST]) -> set[str]:
        """Return the names whose attributes or items some nodes set, or whose methods do."""
        calls = (one for one in nodes if isinstance(one, ast.Call))
        methods = (one.func for one in calls if self._is_mutating(one))
        return {find_root(one) for one in (*_list_set(nodes), *methods)} - {""}

    def _is_mutating(self, call: ast.Call) -> bool:
        """Return whether a call is that of a method that changes its object.

        ``os.remove`` is a function of a module instead.
        """
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in MUTATING_METHODS:
            return False
        return not (_is_name(call.func.value) and call.func.value.id in self._modules)

    def _find_changed(self, nodes: Sequence[ast.AST], aliases: _Aliases) -> set[_Change]:
        """Return what some nodes change, but for what they set themselves."""
        found = set[_Change]()
        for node in nodes:
            if isinstance(node, ast.Call):
                found |= self._find_changed_by_call(node, aliases)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                roots = self._find_roots(node.target, aliases)
                found |= {(root, "") for root in roots}  # may be a list
        return found

    def _find_changed_by_call(self, call: ast.Call, aliases: _Aliases) -> set[_Change]:
        name, receiver = last_name(call.func), set[str]()
        if isinstance(call.func, ast.Attribute):
            receiver = self._find_roots(call.func.value, aliases)
        of_module = bool((receiver or {name}) & self._imported.keys())
        in_place = name.endswith("_") and not name.startswith("_")
        roots, found = set[str](), set[_Change]()
        if self._is_mutating(call) or (in_place and not of_module):
            roots |= receiver
        elif name in SEED | DRAW:
            roots |= receiver & self._generators
        if of_module and name in SEED:
            roots.add(RANDOM)
        if call.args and (name in _CHANGE_FIRST or (in_place and of_module)):
            roots |= self._find_roots(call.args[0], aliases)
        for function, passed in self._find_called(call):
            effects, first = self._effects[function], _first(function)
            found |= effects.names
            of_self = {at for parameter, at in effects.parameters if parameter == first}
            found |= {(root, at) for root in receiver for at in of_self}
            for parameter, value in passed:
                given = self._find_roots(value, aliases)
                changes = {at for one, at in effects.parameters if one == parameter}
                found |= {(root, at) for root in given for at in changes}
        return found | {(root, "") for root in roots}

    def _find_called(
        self, call: ast.Call
    ) -> Iterator[tuple[_Function, Iterable[tuple[str, ast.expr]]]]:
        """Yield the functions of the file that a call may mean, with what it passes to them."""
        functions = list[_Function]()
        if isinstance(call.func, ast.Attribute):
            functions += self._methods.get(call.func.attr, ())
        elif _is_name(call.func) and call.func.id in self._functions:
            functions.append(self._functions[call.func.id])
        elif _is_name(call.func) and call.func.id in self._classes:
            inside = self._classes[call.func.id].body
            made = ("__init__", "__post_init__")
            functions += [n for n in inside if isinstance(n, _Function) and n.name in made]
        for one in functions:
            is_method = self._functions.get(one.name) is not one
            yield one, pair_arguments(call, one.args, is_method=is_method)

    def _find_roots(self, node: ast.expr, aliases: _Aliases) -> set[str]:
        """Return the names whose objects the value of an expression is, or is a part of."""
        found, todo = set[str](), [node]
        while todo:
            match todo.pop():
                case ast.Name(id=name):
                    if name not in found:
                        found.add(name)
                        todo += [ast.Name(one, ast.Load()) for one in aliases.get(name, ())]
                case ast.Attribute(value=value) | ast.Subscript(value=value):
                    todo.append(value)
                case ast.Starred(value=value) | ast.NamedExpr(value=value):
                    todo.append(value)
                case ast.IfExp(body=body, orelse=orelse):
                    todo += [body, orelse]
                case ast.BoolOp(values=values) | ast.Tuple(elts=values) | ast.List(elts=values):
                    todo += values
                case ast.Call() as call:
                    todo += self._find_passed_on(call)
        return found

    def _find_passed_on(self, call: ast.Call) -> Iterator[ast.expr]:
        """Yield the expressions that a call may return, or a part of them."""
        if _is_name(call.func) and call.func.id in _PASS_ON:
            yield from call.args
        if isinstance(call.func, ast.Attribute) and call.func.attr in _PARTS:
            yield call.func.value
        for function, passed in self._find_called(call):
            returned = self._effects[function].returned
            yield from (value for name, value in passed if name in returned)
            if isinstance(call.func, ast.Attribute) and _first(function) in returned:
                yield call.func.value

    def _find_aliases(self, nodes: Iterable[ast.AST], known: _Aliases) -> dict[str, set[str]]:
        """Return the known aliases and those that some nodes make."""
        found = {name: {*others} for name, others in known.items()}
        for node in nodes:
            match node:
                case ast.Assign(targets=targets, value=value):
                    pass
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    targets = [target]
                case ast.NamedExpr(target=target, value=value):
                    targets = [target]
                case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                    targets = [target]
                case ast.comprehension(target=target, iter=value):
                    targets = [target]
                case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                    targets = [target]
                case _:
                    continue
            names = {name for one in targets for name in names_bound(one)}
            roots = self._find_roots(value, found)
            for name in names if roots else ():
                found[name] = found.get(name, set()) | (roots - {name})
        return found

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
    return len(effects.parameters) + len(effects.names) + len(effects.returned)


def _first(function: _Function) -> str:
    return next(iter(list_parameters(function.args)), "")


def _list_set(nodes: Iterable[ast.AST]) -> Iterator[ast.Attribute | ast.Subscript]:
    """Yield the attributes and items that some nodes set or delete."""
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield node


def _find_key(node: ast.Attribute | ast.Subscript) -> str:
    """Return an attribute, or a key that is a string; empty for others."""
    if isinstance(node, ast.Attribute):
        return node.attr
    key = getattr(node.slice, "value", "")
    return key if isinstance(key, str) else ""


def _is_name(node: ast.expr) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)
