"""The file that a net is in: a script, a script with cells, or a notebook, read but not run."""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import re
import tokenize
import traceback
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from netlet.errors import NetError
from netlet.files import read_regular
from netlet.nets.ipython_syntax import WrittenFile, has_commands, to_python
from netlet.nets.notebook_files import NOTEBOOK, read_notebook
from netlet.nets.script import is_main_guard
from netlet.nets.user_imports import MAX_SOURCE_BYTES

_registered: dict[str, Source] = {}  # files whose code has run, by its names in tracebacks
# Lines that begin a cell of a script, as VS Code, Spyder, Databricks and exports of notebooks do.
_MARK = re.compile(r"#\s*(?:%%|<codecell>|COMMAND -{5}|In\[(?P<count>\d*) ?\])")


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
    """

    number: int
    count: int | None
    filename: str
    lines: Sequence[str] = field(repr=False)
    first_line: int = 1
    problem: str = ""

    def __str__(self) -> str:
        return f"cell {self.number}" + (f" (In [{self.count}])" if self.count is not None else "")

    def locate(self, line: int) -> str:
        """Return a line as people find it: ``cell 3 (In [12]), line 4``, or ``line 4``."""
        return f"{self}, line {line}" if self.number else f"line {line}"


@dataclass(frozen=True)
class Source:
    """A file with nets.

    Attributes:
        path: The file.
        body: Its statements, in the order of the cells. Cells that are not Python have none.
        cells: Its cells, at least one.
        written: Files that its cells write with ``%%writefile``, by name, with their text.
    """

    path: Path
    body: Sequence[ast.stmt]
    cells: Sequence[Cell]
    written: Mapping[str, str]
    _cell_of: Mapping[int, Cell] = field(repr=False)

    @property
    def tree(self) -> ast.Module:
        """All statements as one module."""
        return ast.Module(list(self.body), [])

    @property
    def has_cells(self) -> bool:
        """Whether it is a notebook, or a script that is divided into cells."""
        return any(cell.number for cell in self.cells)

    def cell_of(self, statement: ast.stmt) -> Cell:
        """Return the cell of a statement of ``body``."""
        return self._cell_of[id(statement)]

    def lines_of(self, statement: ast.stmt) -> Sequence[str]:
        """Return the lines of a statement of ``body``, those of its decorators included."""
        decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
        cell = self.cell_of(statement)
        end = (statement.end_lineno or statement.lineno) + 1
        return cell.lines[first - cell.first_line : end - cell.first_line]


def read_source(path: Path) -> Source:
    """Return a file with nets. No code is run.

    Args:
        path: A notebook or a script.

    Raises:
        NetError: The file cannot be read, or it is a notebook that is damaged or not in Python.
        SyntaxError: It is a script that is not valid Python.
        ValueError: It is a script with characters that no Python code has.
    """
    if path.suffix == NOTEBOOK:
        return _read_notebook(path)
    content = read_regular(path, MAX_SOURCE_BYTES, NetError)
    lines = _split(content.decode("utf-8", "surrogateescape"))
    try:
        tree = ast.parse(content, filename=str(path))
    except SyntaxError:
        decoded = _split(_decode(content))
        if len(_find_cells(decoded)) == 1 and not has_commands("\n".join(decoded)):
            raise
        source = _read_cells_of_script(path, decoded)
        if (problem := source.cells[0].problem) and not source.has_cells:
            raise NetError(f"{path}: is not valid Python ({problem}); repair it") from None
        return source
    starts = [start for start in _find_cells(lines) if not _is_inside(start.line, tree.body)]
    texts = [lines[start.line - 1 : end] for start, end in _ranges(starts, len(lines))]
    cells = [
        Cell(start.number, start.count, str(path), text, start.line)
        for start, text in zip(starts, texts, strict=True)
    ]
    first_lines = [start.line for start in starts]
    owners = {id(node): cells[bisect_right(first_lines, node.lineno) - 1] for node in tree.body}
    return Source(path, tree.body, cells, {}, owners)


def register_code(source: Source) -> None:
    """Let errors name the cells of a file; show a notebook's in tracebacks and to ``inspect``."""
    _registered.pop(str(source.path), None)
    for cell in source.cells:
        _registered[cell.filename] = source
        if cell.filename != str(source.path):
            text = [f"{line}\n" for line in cell.lines]
            linecache.cache[cell.filename] = (sum(map(len, text)), None, text, cell.filename)


def find_source(filename: str) -> Source | None:
    """Return the file with cells whose code has this name in tracebacks; None for any other."""
    source = _registered.get(filename)
    return source if source is not None and source.has_cells else None


def locate_error(error: BaseException) -> str:
    """Return the cell and the line where an error comes from: ``cell 3 (In [12]), line 4``.

    Args:
        error: What a user's code raised.

    Returns:
        The innermost place in a file with cells; empty if there is none.
    """
    places = []
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 1))
    for frame, line in traceback.walk_tb(error.__traceback__):
        places.append((frame.f_code.co_filename, line))
    found = ""
    for filename, line in places:
        if (source := find_source(filename)) is not None:
            cells = [c for c in source.cells if c.filename == filename and c.first_line <= line]
            found = cells[-1].locate(line) if cells else found
    return found


def _read_notebook(path: Path) -> Source:
    body: list[ast.stmt] = []
    cells, written, owners = list[Cell](), dict[str, str](), dict[int, Cell]()
    for raw in read_notebook(path):
        python = to_python(raw.text)
        if python.file is not None:
            _write(written, python.file)
        filename = f"{path}#cell-{raw.number}"
        cell = Cell(raw.number, raw.count, filename, python.text.split("\n"))
        found, problem = _parse(python.text, filename)
        cell = replace(cell, problem=problem)
        cells.append(cell)
        found = [inner for node in found for inner in _open_main_guard(node)]
        body += found
        owners |= {id(node): cell for node in found}
    return Source(path, body, cells, written, owners)


def _open_main_guard(node: ast.stmt) -> Sequence[ast.stmt]:
    """Return what ``if __name__ == "__main__"`` holds: in a notebook, it is true."""
    is_guard = isinstance(node, ast.If) and is_main_guard(node) and not node.orelse
    return node.body if isinstance(node, ast.If) and is_guard else [node]


def _read_cells_of_script(path: Path, lines: Sequence[str]) -> Source:
    """Return a script with lines that are not Python; the line numbers stay those of the file."""
    body: list[ast.stmt] = []
    cells, written, owners = list[Cell](), dict[str, str](), dict[int, Cell]()
    for start, end in _ranges(_find_cells(lines), len(lines)):
        # The mark is a comment; without it, a command may come first.
        mark = [""] if start.number and _MARK.match(lines[start.line - 1]) else []
        python = to_python("\n".join([*mark, *lines[start.line - 1 + len(mark) : end]]))
        if python.file is not None:
            _write(written, python.file)
        found, problem = _parse("\n" * (start.line - 1) + python.text, str(path))
        text = python.text.split("\n")
        cells.append(Cell(start.number, start.count, str(path), text, start.line, problem))
        body += found
        owners |= {id(node): cells[-1] for node in found}
    return Source(path, body, cells, written, owners)


def _parse(text: str, filename: str) -> tuple[list[ast.stmt], str]:
    """Return the statements of a cell, or none and why it is not valid Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings, for example
            return ast.parse(text, filename=filename).body, ""
    except SyntaxError as error:
        return [], f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return [], (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass(frozen=True)
class _Start:
    """Where a cell of a script starts."""

    line: int  # from 1
    number: int  # as of Cell
    count: int | None


def _find_cells(lines: Sequence[str]) -> list[_Start]:
    """Return where the cells of a script start; one of number 0 if it has none."""
    marks = [(i, match) for i, line in enumerate(lines, 1) if (match := _MARK.match(line))]
    if not marks:
        return [_Start(1, 0, None)]
    above = lines[: marks[0][0] - 1]
    # Code above the first mark is a cell; a comment, such as a header, is none.
    has_code = any(line.strip() and not line.startswith("#") for line in above)
    starts = [_Start(1, int(has_code), None)]
    for number, (line, match) in enumerate(marks, start=1 + has_code):
        starts.append(_Start(line, number, int(match["count"]) if match["count"] else None))
    return starts


def _ranges(starts: Sequence[_Start], length: int) -> list[tuple[_Start, int]]:
    """Return each start with the number of the last line of its cell."""
    ends = [*(start.line - 1 for start in starts[1:]), length]
    return list(zip(starts, ends, strict=True))


def _is_inside(line: int, body: Sequence[ast.stmt]) -> bool:
    """Return whether a line is in the middle of a statement, as in a string of several lines."""
    above = bisect_left(body, line, key=lambda statement: statement.lineno)
    return above > 0 and (body[above - 1].end_lineno or 0) >= line


def _write(written: dict[str, str], file: WrittenFile) -> None:
    before = written.get(file.path, "") if file.appends else ""
    written[file.path] = before + file.text


def _decode(content: bytes) -> str:
    """Return the text of a script, whose first lines may name its encoding."""
    encoding = "utf-8"
    with contextlib.suppress(SyntaxError):
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    with contextlib.suppress(LookupError, UnicodeError):
        return content.decode(encoding)
    return content.decode("utf-8", "surrogateescape")


def _split(text: str) -> list[str]:
    """Return the lines of a text as Python counts them."""
    return re.split(r"\r\n?|\n", text)
