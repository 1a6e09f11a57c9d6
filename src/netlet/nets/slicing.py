"""From somebody's script, only what a net needs: the imports, definitions and values that lead to its name.

Scripts and exported notebooks train, print and download where they define their nets; none of that is run.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator


def needed_for(name: str, tree: ast.Module) -> ast.Module | None:
    """Those statements of a module, in their order, without which a name would not be what it is.

    Kept are the statements that bind the name, those that bind what these use, and so on; assignments to attributes of
    kept names (``Net.forward = ...``); changes of ``sys.path`` and imports of everything.

    Returns:
        None where no statement binds the name by itself.
    """
    binds = [set(_bound(statement)) for statement in tree.body]
    uses = [_used(statement) for statement in tree.body]
    if not any(name in names for names in binds):
        return None
    needed = {name}
    kept: set[int] = set()
    while True:
        more = {
            i
            for i, statement in enumerate(tree.body)
            if i not in kept and (binds[i] & needed or _owners(statement) & needed or _always(statement))
        }
        if not more:
            break
        kept |= more
        needed.update(*(uses[i] for i in more))
    return ast.Module([tree.body[i] for i in sorted(kept)], tree.type_ignores)


def defined(tree: ast.Module) -> list[str]:
    """The names of a module's classes and functions, in their order."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that running a statement gives the module; those inside its functions and classes are their own."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _used(node: ast.AST) -> set[str]:
    """Names of the module that a statement reads, inside its functions and classes too, but not their own."""

    def read_in(scope: symtable.SymbolTable, *, top: bool) -> Iterator[str]:
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                yield symbol.get_name()
        for child in scope.get_children():
            yield from read_in(child, top=False)

    return set(read_in(symtable.symtable(ast.unparse(node), "statement", "exec"), top=True))


def _owners(node: ast.AST) -> set[str]:
    """Whose attributes or items a plain assignment sets."""
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        return set()
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {_root(target) for target in targets if isinstance(target, ast.Attribute | ast.Subscript)}


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
