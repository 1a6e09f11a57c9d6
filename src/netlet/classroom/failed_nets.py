"""Nets of a submission that do not run, of which one may be the net that the student means."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from netlet.classroom.same_code import has_same_text
from netlet.errors import first_line
from netlet.nets.code_imports import UNREADABLE, read_code
from netlet.nets.definitions import select_net
from netlet.nets.net_code import list_needed_files
from netlet.nets.net_names import BELOW_MAIN, list_below_main
from netlet.nets.script import drop_unused_imports, list_definitions
from netlet.nets.sources import read_source

_MOST_NAMED = 3  # in one line
# Of classes and functions that are not the net: blocks, and what has to be filled in or inherited.
_NO_NETS = ("has required arguments (", "NotImplementedError")
_CLASS = re.compile(r"^class (\w+)\s*\(.*(?:Module|Sequential)\b", re.MULTILINE)


def list_hidden(file: Path) -> dict[str, str]:
    """Return the nets of a file that nobody can load, or the file itself, each with the reason.

    They are in a file or cell that is not valid Python, or below ``if __name__ == "__main__":``.

    Args:
        file: A Python file or notebook.
    """
    try:
        source = read_source(file)
    except UNREADABLE as error:
        with contextlib.suppress(*UNREADABLE):
            if _CLASS.search(read_code(file).decode(errors="replace")):
                return {str(file): first_line(error).removeprefix(f"{file}: ")}
        return {}
    found = {
        name: f"{cell} is not valid Python ({cell.problem})"
        for cell in source.cells
        if cell.problem
        for name in _CLASS.findall("\n".join(cell.lines))
    }
    found |= dict.fromkeys(list_below_main(source.tree), f"it {BELOW_MAIN}")
    known = list_definitions(source.tree)
    return {f"{file}:{name}": reason for name, reason in found.items() if name not in known}


def describe_failed(
    failed: Mapping[str, str], graded: str, others: Sequence[str], folder: Path
) -> str:
    """Return which nets do not run, beside one that is graded; empty if none is worth a note.

    Left out are parts and base classes of other nets, and copies of the one that is graded.

    Args:
        failed: Why nets do not run, by their addresses; or files that cannot be read.
        graded: The address of the net that is graded.
        others: The addresses of the other nets that run.
        folder: The folder of the submission.
    """
    uses = {address: _Uses(address) for address in (graded, *others, *failed)} if failed else {}
    said = []
    for address, reason in failed.items():
        if any(mark in reason for mark in _NO_NETS) or has_same_text(address, graded):
            continue
        if not any(one.has(address) for other, one in uses.items() if other != address):
            shown = os.path.relpath(address, folder)
            short = reason.removeprefix(f"{shown}: ").partition("; ")[0].partition(" (input ")[0]
            said.append(f"{shown} does not run ({short})")
    more = len(said) - _MOST_NAMED
    return ", ".join([*said[:_MOST_NAMED], *([f"nor do {more} more"] if more > 0 else [])])


class _Uses:
    """What the code of a net uses, as far as its text shows.

    Args:
        address: The address of the net.
    """

    def __init__(self, address: str) -> None:
        self._files: list[Path] = []
        self._trees: list[Sequence[ast.stmt]] = []
        place, _, name = address.rpartition(":")
        with contextlib.suppress(*UNREADABLE):
            body = select_net(read_source(Path(place)), name).tree.body
            self._trees.append([node for node in drop_unused_imports(body, name) if node])
            self._files = list_needed_files(address)
            self._trees += [read_source(file).body for file in self._files[1:]]

    def has(self, address: str) -> bool:
        """Return whether the net may need another one."""
        place, _, name = address.rpartition(":")
        if Path(place).resolve() not in self._files:
            return False
        return any(name in _read_names(body, name) for body in self._trees)


def _read_names(body: Sequence[ast.stmt], name: str) -> Iterator[str]:
    """Yield the names that statements read, apart from those in the definition of a name."""
    for statement in body:
        if getattr(statement, "name", None) == name:
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.alias):
                yield node.name
