"""Whether a file with a net also creates an optimizer, found in its text: nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from netlet.errors import NetError
from netlet.nets.sources import read_source

_PACKAGE = "torch.optim"


def find_optimizer(path: Path) -> str:
    """Return the first optimizer of PyTorch's that a file creates, and where.

    Args:
        path: A script or a notebook.

    Returns:
        For instance ``SGD, line 34``; empty if there is none, or the file cannot be read.
    """
    try:
        source = read_source(path)
    except (NetError, SyntaxError, ValueError):
        return ""
    names = dict(_list_imports(source.tree))
    for statement in source.body:
        calls = [call for call in ast.walk(statement) if isinstance(call, ast.Call)]
        for call in sorted(calls, key=lambda call: call.lineno):
            package, _, name = _full_name(call.func, names).rpartition(".")
            if package == _PACKAGE and name[:1].isupper():
                return f"{name}, {source.cell_of(statement).locate(call.lineno)}"
    return ""


def _list_imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that imports bind, each with what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _full_name(expression: ast.expr, names: dict[str, str]) -> str:
    """Return what an expression like ``optim.SGD`` stands for; empty if it is another one."""
    parts: list[str] = []
    while isinstance(expression, ast.Attribute):
        parts.insert(0, expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name) or expression.id not in names:
        return ""
    return ".".join([names[expression.id], *parts])
