"""A file with nets, read but not run: its statements, and the cells that they are in."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netlet.nets.added_folders import find_added_folders
from netlet.nets.ipython_syntax import RunCommand


@dataclass(frozen=True)
class Cell:
    """A cell; a script without cells is one as a whole.

    Attributes:
        number: Counted from 1 among all cells, those with text too; 0 if the file has no cells.
        count: The number in brackets beside it, ``In [12]``; None if it has none.
        filename: What its code is called in tracebacks: the file itself, or a name of its own.
        lines: Its Python code.
        first_line: What its first line is numbered: 1; in a script, its line in the file.
        problem: Why it is not valid Python; empty if it is.
        runs: Its ``%run`` commands.
        file: The file that it is in, as ``%run`` names it; empty if it is the source's own.
        outer: The number of the source's own cell that runs this file.
    """

    number: int
    count: int | None
    filename: str
    lines: Sequence[str] = field(repr=False)
    first_line: int = 1
    problem: str = ""
    runs: Sequence[RunCommand] = ()
    file: str = ""
    outer: int = 0

    def __str__(self) -> str:
        if not self.number:
            return self.file or "the file"
        count = f" (In [{self.count}])" if self.count is not None else ""
        return f"cell {self.number}{count}" + (f" of {self.file}" if self.file else "")

    def locate(self, line: int) -> str:
        """Return a line as people find it: ``cell 3 (In [12]), line 4``, or ``line 4``."""
        if not self.number:
            return f"line {line}" + (f" of {self.file}" if self.file else "")
        return f"{self}, line {line}"


@dataclass(frozen=True)
class Source:
    """A file with nets.

    Attributes:
        path: The file.
        body: Its statements, in the order of the cells. Cells that are not Python have none. They
            are shared: what changes them copies them first.
        cells: Its cells, at least one.
        written: Files that its cells write with ``%%writefile``, by name, with their text.
        files: Files that its cells run with ``%run``, absolute. Their cells are among its own.
        unfollowed: ``%run`` commands whose files are not among its cells, with the reason.
    """

    path: Path
    body: Sequence[ast.stmt]
    cells: Sequence[Cell]
    written: Mapping[str, str]
    owners: Mapping[int, Cell] = field(repr=False)  # by the ids of the statements
    files: Sequence[Path] = ()
    unfollowed: Sequence[tuple[Cell, RunCommand]] = ()

    @property
    def tree(self) -> ast.Module:
        """All statements as one module."""
        return ast.Module(list(self.body), [])

    @property
    def has_cells(self) -> bool:
        """Whether it is a notebook, or a script that is divided into cells."""
        return any(cell.number for cell in self.cells)

    @property
    def folders(self) -> list[Path]:
        """The folders that it imports from, besides its own: it runs files there or names them."""
        path = self.path.resolve()
        added = find_added_folders(path, self.body)
        folders = dict.fromkeys([*(file.parent for file in self.files), *added])
        return [folder for folder in folders if folder != path.parent]

    def cell_of(self, statement: ast.stmt) -> Cell:
        """Return the cell of a statement of ``body``."""
        return self.owners[id(statement)]

    def lines_of(self, statement: ast.stmt) -> Sequence[str]:
        """Return the lines of a statement of ``body``, those of its decorators included."""
        decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
        cell = self.cell_of(statement)
        end = (statement.end_lineno or statement.lineno) + 1
        return cell.lines[first - cell.first_line : end - cell.first_line]
