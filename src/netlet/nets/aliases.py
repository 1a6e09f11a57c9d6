"""By which names of a script an object is known: ``head`` of ``head = net.head``, for example."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

from netlet.nets.script import last_name, names_bound

# Names, and those whose objects they are or are a part of. "name[]" stands for the elements of a
# new list or dict, as list(net.children()) is one: who appends to it does not change the net.
Aliases = Mapping[str, set[str]]
# The arguments, or the object of the method, that the value of a call is or is a part of.
PassedOn = Callable[[ast.Call], Iterable[ast.expr]]
# Functions and methods that return what they get, or a part of it.
_PASS_ON = {"vars", "getattr", "iter", "list", "tuple", "reversed", "sorted", "enumerate", "zip"}
_PASS_ON |= {"filter", "next", "set", "dict", "map", "chain", "islice", "reduce", "attrgetter"}
_COPIES = {"list", "tuple", "sorted", "set", "dict", "state_dict"}
_ITEM = {"get", "setdefault"}
_NAMESPACES = {"__dict__", "_modules", "_parameters", "_buffers"}
_PARTS = {"parameters", "named_parameters", "modules", "named_modules", "children", "buffers"}
_PARTS |= {"named_children", "named_buffers", "get_submodule", "get_parameter", "items", "values"}
_PARTS |= {"add_argument_group", "add_mutually_exclusive_group", "state_dict"}


def pass_nothing_on(call: ast.Call) -> Iterable[ast.expr]:
    """Return nothing: no functions of the file are known."""
    return ()


def find_roots(node: ast.expr, aliases: Aliases, passed_on: PassedOn = pass_nothing_on) -> set[str]:
    """Return the names whose objects the value of an expression is, has or is a part of.

    Args:
        node: The expression.
        aliases: What other names stand for.
        passed_on: What calls of the file's own functions and methods return of what they get.
    """
    found = _find_names(node, aliases, passed_on)
    return {name for name in found if not name.endswith("[]")}


def _find_names(node: ast.expr, aliases: Aliases, passed_on: PassedOn) -> set[str]:
    """Return the names as :func:`find_roots` does, and those of elements."""
    found, todo = set[str](), [node]
    while todo:
        match each := todo.pop():
            case ast.Name(id=name):
                if name not in found:
                    found.add(name)
                    todo += [ast.Name(one, ast.Load()) for one in aliases.get(name, ())]
            case ast.Subscript(value=value) | ast.Starred(value=value):
                todo += _list_with_elements(value)
            case ast.Attribute(value=value) | ast.NamedExpr(value=value):
                todo.append(value)
            case ast.IfExp(body=body, orelse=orelse):
                todo += [body, orelse]
            case ast.BoolOp(values=values) | ast.Tuple(elts=values) | ast.List(elts=values):
                todo += values
            case ast.Set(elts=values) | ast.Dict(values=values):
                todo += values
            case ast.ListComp(elt=value) | ast.SetComp(elt=value) | ast.GeneratorExp(elt=value):
                todo += _list_elements(value, each.generators, passed_on)
            case ast.DictComp(value=value):
                todo += _list_elements(value, each.generators, passed_on)
            case ast.Call(func=function, args=arguments) as call:
                todo += passed_on(call)
                if last_name(function) in _PASS_ON:
                    todo += [part for one in arguments for part in _list_with_elements(one)]
                elif isinstance(function, ast.Attribute) and function.attr in _ITEM | _PARTS:
                    todo += _list_with_elements(function.value)
    return found


def _list_elements(
    node: ast.expr, generators: Iterable[ast.comprehension], passed_on: PassedOn
) -> list[ast.expr]:
    """Return what the elements of a comprehension are; its variables mean nothing outside it."""
    names, found = _find_names(node, {}, passed_on), list[ast.expr]()
    for one in generators:
        bound = set(names_bound(one.target))
        found += [ast.Starred(one.iter)] if bound & names else []
        names -= bound
    return found + [ast.Name(name, ast.Load()) for name in names]


def _list_with_elements(node: ast.expr) -> list[ast.expr]:
    """Return an expression, and what stands for its elements if it is the name of a new list."""
    if isinstance(node, ast.Name) and not node.id.endswith("[]"):
        return [node, ast.Name(f"{node.id}[]", ast.Load())]
    return [node]


def find_place(node: ast.expr) -> tuple[str, str]:
    """Return ``("net", "head")`` for ``net.head.weight`` and for ``net["head"]``.

    Both are empty where no name is at the root; the second one also where it is not known.
    """
    key = ""
    while True:
        match node:
            case ast.Attribute(attr=name, value=node):
                key = key if name in _NAMESPACES else name
            case ast.Call(func=ast.Name(id="vars"), args=[node]):
                pass
            case ast.Call(func=ast.Attribute(attr=name, value=node), args=[key_node, *_]):
                if name not in _ITEM:
                    return "", ""
                key = _read_key(key_node)
            case ast.Subscript(value=node, slice=key_node):
                key = _read_key(key_node)
            case ast.Name(id=name):
                return name, key
            case _:
                return "", ""


def _read_key(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def find_aliases(
    nodes: Iterable[ast.AST], passed_on: PassedOn = pass_nothing_on
) -> dict[str, set[str]]:
    """Return the names that some nodes bind, with those whose objects they may be or are a part of.

    Args:
        nodes: Nodes of a statement or a function.
        passed_on: As for :func:`find_roots`.
    """
    found: dict[str, set[str]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                targets = [target]
            case ast.NamedExpr(target=target, value=value):
                targets = [target]
            case (
                ast.For(target=target)
                | ast.AsyncFor(target=target)
                | ast.comprehension(target=target)
            ):
                targets, value = [target], node.iter
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                targets = [target]
            case _:
                continue
        iterates = isinstance(node, ast.For | ast.AsyncFor | ast.comprehension)
        for target in targets:
            for one, part in _pair(target, value):
                of = ast.Starred(part) if iterates else part
                roots = _find_names(of, {}, passed_on)
                is_new = not iterates and _is_new(part)
                for name in names_bound(one):
                    found.setdefault(name, set())
                    found.setdefault(f"{name}[]" if is_new else name, set()).update(roots)
    return found


def _pair(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield targets with what they are or are parts of, as in ``for i, x in enumerate(xs)``."""
    match target, value:
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            for one, part in zip(targets, values, strict=True):
                yield from _pair(one, part)
        case ast.Tuple(elts=[_, target]), ast.Call(func=ast.Name(id="enumerate"), args=[value, *_]):
            yield from _pair(target, value)
        case ast.Tuple(elts=targets), ast.Call(func=ast.Name(id="zip"), args=values) if len(
            targets
        ) == len(values):
            for one, part in zip(targets, values, strict=True):
                yield from _pair(one, part)
        case _:
            yield target, value


def _is_new(node: ast.expr) -> bool:
    """Return whether this is a new list or dict, perhaps of the elements of another one."""
    match node:
        case ast.Call(func=ast.Name() | ast.Attribute(attr="state_dict") as function):
            return last_name(function) in _COPIES
    displays = ast.List | ast.Tuple | ast.Set | ast.Dict
    return isinstance(node, displays | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp)
