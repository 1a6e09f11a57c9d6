"""By which names of a script an object is known: ``head`` of ``head = net.head``, for example."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping

from netlet.nets.script import names_bound

Aliases = Mapping[str, set[str]]  # names, and those whose objects they are or are a part of
# Functions and methods that return what they get, or a part of it.
_PASS_ON = {"vars", "getattr", "iter", "list", "tuple", "reversed", "sorted", "enumerate", "zip"}
_PASS_ON |= {"filter", "next"}
_COPIES = {"list", "tuple", "sorted"}
_ITEM = {"get", "setdefault"}
_PARTS = {"parameters", "named_parameters", "modules", "named_modules", "children", "buffers"}
_PARTS |= {"named_children", "named_buffers", "get_submodule", "get_parameter", "items", "values"}
_PARTS |= {"add_argument_group", "add_mutually_exclusive_group"}


def find_roots(node: ast.expr, aliases: Aliases, chained: Collection[str] = ()) -> set[str]:
    """Return the names whose objects the value of an expression is, or is a part of.

    Args:
        node: The expression.
        aliases: What other names stand for.
        chained: Names of methods that return their object.
    """
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
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in _PASS_ON:
                todo += arguments
            case ast.Call(func=ast.Attribute(attr=name, value=value)):
                if name in _ITEM | _PARTS or name in chained:
                    todo.append(value)
    return found


def find_place(node: ast.expr) -> tuple[str, str]:
    """Return ``("net", "head")`` for ``net.head.weight`` and for ``net["head"]``.

    Both are empty where no name is at the root; the second one also where it is not known.
    """
    key = ""
    while True:
        match node:
            case ast.Attribute(attr=key, value=node):
                pass
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


def find_aliases(nodes: Iterable[ast.AST], chained: Collection[str] = ()) -> dict[str, set[str]]:
    """Return the names that some nodes bind, with those whose objects they may be or are a part of.

    Args:
        nodes: Nodes of a statement or a function.
        chained: Names of methods that return their object.
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
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                targets = [target]
            case ast.comprehension(target=target, iter=value):
                targets = [target]
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                targets = [target]
            case _:
                continue
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_call(value, _COPIES):
            value = ast.Constant(None)  # another list of the same elements
        for target in targets:
            for one, part in _pair(target, value):
                roots = find_roots(part, {}, chained)
                for name in names_bound(one):
                    found.setdefault(name, set()).update(roots)
    return found


def _pair(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield targets of a loop with what they are parts of, as in ``for i, x in enumerate(xs)``."""
    match target, value:
        case ast.Tuple(elts=[_, target]), ast.Call(func=ast.Name(id="enumerate"), args=[value, *_]):
            yield from _pair(target, value)
        case ast.Tuple(elts=targets), ast.Call(func=ast.Name(id="zip"), args=values) if len(
            targets
        ) == len(values):
            for one, part in zip(targets, values, strict=True):
                yield from _pair(one, part)
        case _:
            yield target, value


def _is_call(node: ast.expr, names: Collection[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
