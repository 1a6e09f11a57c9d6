"""What the code of a net uses, as far as its text shows."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from netlet.nets.code_imports import UNREADABLE
from netlet.nets.definitions import select_net
from netlet.nets.net_code import list_needed_files
from netlet.nets.script import drop_unused_imports, names_bound
from netlet.nets.sources import read_source
from netlet.nets.training_code import may_train


class CodeUses:
    """What the code of a net uses.

    Args:
        address: The address of the net.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def are_known(self) -> bool:
        """Whether the net is in code that can be read, and not below a main guard, for example."""
        return bool(self._body)

    def has(self, address: str) -> bool:
        """Return whether the net may need another one."""
        place, _, name = address.rpartition(":")
        if not self._files or Path(place).resolve() not in self._files:
            return False
        return any(name in _read_names(body, name) for body in (self._body, *self._imported))

    def has_part(self, address: str) -> bool:
        """Return whether code of the net's file builds it of another one, of another file.

        A base class is not a part.
        """
        place, _, name = address.rpartition(":")
        return name in self._inside and Path(place).resolve() in self._files

    def trains(self) -> bool:
        """Return whether building the net may train one or load data, as far as the text shows."""
        name = self._address.rpartition(":")[2]
        return may_train([node for body in (self._body, *self._imported) for node in body], name)

    @cached_property
    def _body(self) -> Sequence[ast.stmt]:
        """The statements of its file that the net needs."""
        place, _, name = self._address.rpartition(":")
        with contextlib.suppress(*UNREADABLE):
            source = read_source(Path(place))
            if any({name, "*"} & {*names_bound(node)} for node in source.body):
                body = select_net(source, name).tree.body
                return [node for node in drop_unused_imports(body, name) if node]
        return []

    @cached_property
    def _inside(self) -> set[str]:
        """The names that these statements read, apart from those of base classes."""
        renamed = {
            alias.asname: alias.name
            for node in self._body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname
        }
        inside: list[ast.AST] = []
        for node in self._body:
            if isinstance(node, ast.ClassDef):
                inside += node.body
            elif not isinstance(node, ast.Import | ast.ImportFrom):
                inside.append(node)
        return {renamed.get(name, name) for name in _list_read(inside)}

    @cached_property
    def _files(self) -> list[Path]:
        return list_needed_files(self._address) if self._body else []

    @cached_property
    def _imported(self) -> list[Sequence[ast.stmt]]:
        """The statements of the other files."""
        found: list[Sequence[ast.stmt]] = []
        with contextlib.suppress(*UNREADABLE):
            found += [read_source(file).body for file in self._files[1:]]
        return found


def _read_names(body: Sequence[ast.stmt], name: str) -> Iterator[str]:
    """Yield the names that statements read, apart from those in the definition of a name."""
    return _list_read(node for node in body if getattr(node, "name", None) != name)


def _list_read(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that some code reads; attributes of ``self`` are no such names."""
    for each in nodes:
        for node in ast.walk(each):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Attribute):
                if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                    yield node.attr
            elif isinstance(node, ast.alias):
                yield node.name
