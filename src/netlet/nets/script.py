"""From somebody's script, only what a net needs: the imports, definitions and values that lead to its name.

Scripts and exported notebooks train, print and download where they define their nets; none of that
is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Methods that make another thing of what they are called on; calling others, like a net's train(),
# does not.
_CHANGES = {
    "append",
    "extend",
    "insert",
    "add",
    "update",
    "setdefault",
    "add_module",
    "register_module",
    "register_buffer",
    "register_parameter",
    "apply",
    "load_state_dict",
    "add_argument",
    "set_defaults",
    "remove",
    "pop",
}


def select_statements(name: str, tree: ast.Module) -> ast.Module | None:
    """Those statements of a module, in their order, without which a name would not be what it is.

    Kept are the statements that bind the name, those that change what it is bound to (``Net.forward
    = ...``, ``layers.append(...)``), those that bind or change what these use, and so on; changes
    of ``sys.path``; imports of everything. What is under ``if __name__ == "__main__"`` is not part
    of a module.

    Returns:
        None where no statement binds the name, by itself or by importing everything from somewhere.
    """
    body = [statement for statement in tree.body if not _is_main_guard(statement)]
    binds, uses = (
        [set(_bound(statement)) for statement in body],
        [_used(statement) for statement in body],
    )
    imported = {
        name
        for statement in body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for name in _bound(statement)
    }
    if not any(name in names or "*" in names for names in binds):
        return None
    needed, kept = {name}, set[int]()
    while True:
        values = needed - imported  # numpy.random.seed(1) changes nothing of ours
        more = {
            i
            for i, statement in enumerate(body)
            if i not in kept
            and (binds[i] & needed or _changed(statement) & values or _always(statement))
        }
        if not more:
            return ast.Module([body[i] for i in sorted(kept)], tree.type_ignores)
        kept |= more
        needed.update(*(uses[i] for i in more))


def list_definitions(tree: ast.Module) -> list[str]:
    """The names of a module's classes and functions, in their order."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [
        node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")
    ]


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that running a statement gives the module; ``*`` for an import of everything."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif not isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS)):
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def _used(node: ast.AST) -> set[str]:
    """Names of the module that a statement reads, inside its functions and classes too, but not their own names."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load) else set()
    if isinstance(node, _FUNCTIONS):
        return _used_around(node) | _used_inside(node)
    if isinstance(node, ast.ClassDef):
        # A class's own names are seen by its statements, but not inside its methods.
        methods = [child for child in node.body if isinstance(child, _FUNCTIONS)]
        others = [child for child in node.body if child not in methods]
        seen = _used_by(others).union(*map(_used_around, methods)) - {
            name for child in others for name in _bound(child)
        }
        around = [child for child in ast.iter_child_nodes(node) if child not in node.body]
        return seen.union(_used_by(around), *map(_used_inside, methods))
    children = _used_by(ast.iter_child_nodes(node))
    if isinstance(node, _COMPREHENSIONS):
        return children - {
            name for generator in node.generators for name in _bound(generator.target)
        }
    return children


def _used_around(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """What a function's decorators, defaults and annotations read."""
    body = function.body if isinstance(function.body, list) else [function.body]
    return _used_by(child for child in ast.iter_child_nodes(function) if child not in body)


def _used_inside(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    body = function.body if isinstance(function.body, list) else [function.body]
    arguments = {n.arg for n in ast.walk(function.args) if isinstance(n, ast.arg)}
    public = {name for n in ast.walk(function) if isinstance(n, ast.Global) for name in n.names}
    own = arguments.union(*(_bound(statement) for statement in body)) - public
    return _used_by(body) - own


def _used_by(nodes: Iterable[ast.AST]) -> set[str]:
    return set().union(*map(_used, nodes))


def _changed(statement: ast.AST) -> set[str]:
    """Whose attributes or items a statement sets, and on what it calls a method that changes it."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return set()  # until it is called
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            names.add(_root(node))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _CHANGES
        ):
            names.add(_root(node.func))
    return names


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _always(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__" or any(alias.name == "*" for alias in node.names)
    if isinstance(node, ast.Import):
        return any(alias.name == "sys" for alias in node.names)
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("sys.path.")


def _is_main_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and any(
        isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test)
    )
