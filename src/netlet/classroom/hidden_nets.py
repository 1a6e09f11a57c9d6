"""Nets of a submission in a file or a cell that is not valid Python."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from netlet.errors import first_line
from netlet.nets.code_imports import UNREADABLE, read_code
from netlet.nets.module_classes import list_required
from netlet.nets.script import list_definitions
from netlet.nets.sources import read_source
from netlet.nets.used_functions import FunctionNode

_CLASS = re.compile(r"^class (\w+)\s*\(([^)]*)", re.MULTILINE)
_BASE = re.compile(r"(?<!Data)(?:Module|Sequential)\b")
_METHOD = re.compile(r"^[ \t]+def (__init__|forward)\s*(\([^)]*\))", re.MULTILINE)


def list_hidden(file: Path) -> dict[str, str]:
    """Return the nets of a file that cannot be read, or the file itself, each with the reason.

    Args:
        file: A Python file or notebook.
    """
    try:
        source = read_source(file)
    except UNREADABLE as error:
        with contextlib.suppress(*UNREADABLE):
            if any(_list_nets(read_code(file).decode(errors="replace"))):
                return {str(file): first_line(error).removeprefix(f"{file}: ")}
        return {}
    known = list_definitions(source.tree)
    return {
        f"{file}:{name}": f"{cell} is not valid Python ({cell.problem})"
        for cell in source.cells
        if cell.problem
        for name in _list_nets("\n".join(cell.lines))
        if name not in known
    }


def _list_nets(text: str) -> Iterator[str]:
    """Yield the classes of modules in text that is not valid Python.

    Left out are those that need arguments, or images and more.
    """
    classes = list(_CLASS.finditer(text))
    ends = [one.start() for one in classes[1:]]
    for found, end in zip(classes, [*ends, len(text)], strict=True):
        name, bases = found.groups()
        if _BASE.search(bases) and not name.endswith("Loss"):
            methods = dict(_METHOD.findall(text[found.start() : end]))
            inputs = _list_required(methods.get("forward", ""))
            if len(inputs) <= 2 and not _list_required(methods.get("__init__", ""))[1:]:
                yield name


def _list_required(header: str) -> list[str]:
    """Return the required arguments in what stands behind the name of a method, with ``self``."""
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.parse(f"def method{header}: pass").body if header else ():
            if isinstance(node, FunctionNode):
                return list_required(node)
    return []
