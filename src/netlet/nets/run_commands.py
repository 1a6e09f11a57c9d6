"""Put the files that cells run with ``%run`` in the place of the commands."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from netlet.errors import NetError, first_line
from netlet.nets.cell_reading import open_main_guards, parse_source
from netlet.nets.cells import Cell, Source
from netlet.nets.ipython_syntax import RunCommand, find_run_call
from netlet.nets.user_imports import folders_above

_MAX_FILES = 64  # of one source
_Read = Callable[[Path], Source]


def follow_runs(source: Source, read: _Read) -> Source:
    """Return a source with the cells of the files that it runs, in the place of the commands.

    A file is followed once, where it is run first.

    Args:
        source: A file.
        read: Reads another one. It may raise what :func:`parse_source` does.
    """
    if not any(cell.runs for cell in source.cells):
        return source
    made = _Made(source.path.resolve().parent, read)
    made.seen.add(source.path.resolve())
    made.add(source)
    return replace(
        source,
        body=made.body,
        cells=made.cells,
        owners=made.owners,
        written=made.written,
        files=made.files,
        unfollowed=made.unfollowed,
    )


@dataclass
class _Made:
    """A source that is being put together.

    Attributes:
        folder: Where relative paths start from: the folder of the notebook, as in Jupyter.
        read: Reads a file.
        seen: The files that are part of it, absolute, also those that only cells write.
        files: Those of them that are on the disk, besides the first.
        unfollowed: Commands that are not followed, with the reason.
    """

    folder: Path
    read: _Read
    seen: set[Path] = field(default_factory=set)
    files: list[Path] = field(default_factory=list)
    body: list[ast.stmt] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    owners: dict[int, Cell] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    unfollowed: list[tuple[Cell, RunCommand]] = field(default_factory=list)

    def add(self, source: Source, file: str = "", outer: int = 0) -> None:
        """Add a file.

        Args:
            source: The file.
            file: What the command that runs it calls it; empty for the first.
            outer: The number of the cell of the first one with this command.
        """
        self.written |= source.written
        parts: dict[int, list[ast.stmt]] = {id(cell): [] for cell in source.cells}
        for node in source.body:
            parts[id(source.cell_of(node))].append(node)
        for cell in source.cells:
            self._add_cell(replace(cell, file=file, outer=outer), parts[id(cell)])

    def _add_cell(self, cell: Cell, body: list[ast.stmt]) -> None:
        self.cells.append(cell)
        runs = {run.line: run for run in cell.runs}
        for node in body:
            run = runs.pop(node.lineno, None) if _may_be_run(node) else None
            found = self._follow(run, cell) if run else None
            if found is None:
                self.body.append(node)
                self.owners[id(node)] = cell
            elif run:
                self.add(found, run.file, cell.outer or cell.number)
                cell = replace(cell)  # another one, for the statements below those of the file
                self.cells.append(cell)
        for run in runs.values() if not cell.problem else ():
            self._refuse(run, cell, "it is inside another statement; move it out")

    def _refuse(self, run: RunCommand, cell: Cell, problem: str) -> None:
        self.unfollowed.append((cell, replace(run, problem=problem)))

    def _follow(self, run: RunCommand, cell: Cell) -> Source | None:
        """Return the file that a command runs; None if it is there already, or cannot be read."""
        path = (self.folder / run.file).resolve()
        if run.file and path in self.seen:
            return None
        try:
            found = self._read(run, path)
        except NetError as error:
            self._refuse(run, cell, str(error).removeprefix(f"{path}: "))
            return None
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
            reason = first_line(error)
            self._refuse(run, cell, f"it is not valid Python ({reason}); repair it")
            return None
        self.seen.add(path)
        if any(id(node) in self.owners for node in found.body):
            return None  # a copy of another file
        return _run_as_main(found) if path.suffix == ".py" and run.as_main else found

    def _read(self, run: RunCommand, path: Path) -> Source:
        """Read the file that a command runs: what a cell has written there, or what is there.

        Raises:
            NetError: It has no name, does not exist, lies too far away, or is not a notebook.
            SyntaxError: It is not valid Python.
            ValueError: It is not valid Python.
        """
        if not run.file:
            raise NetError("its name is computed; write the path itself")
        roots = [self.folder, *folders_above(self.folder)]
        if not any(path.is_relative_to(root) for root in roots):
            raise NetError("it lies outside of the repository; copy what the net needs into a cell")
        if len(self.seen) > _MAX_FILES:
            raise NetError(f"more than {_MAX_FILES} files are run; copy its code into a cell")
        for name, text in self.written.items():
            if (self.folder / name).resolve() == path:
                return parse_source(path, text.encode("utf-8", "surrogateescape"))
        if not path.is_file():
            raise NetError("there is no such file; put it there")
        self.files.append(path)
        return self.read(path)


def _run_as_main(source: Source) -> Source:
    """Return a script with what its ``if __name__ == "__main__"`` block holds, which is true."""
    body, owners = list[ast.stmt](), dict[int, Cell]()
    for node in source.body:
        opened = open_main_guards([node])
        body += opened
        owners |= dict.fromkeys(map(id, opened), source.cell_of(node))
    return replace(source, body=body, owners=owners)


def _may_be_run(node: ast.stmt) -> bool:
    """Return whether a statement is in the place of a ``%run`` command, or calls it."""
    return isinstance(node, ast.Pass) or find_run_call(node) is not None
