"""Divide a file with nets into cells and statements: a script, one with cells, or a notebook."""

from __future__ import annotations

import ast
import codecs
import contextlib
import io
import re
import tokenize
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netlet.errors import NetError, first_line
from netlet.nets.cells import Cell, Source
from netlet.nets.ipython_syntax import (
    RunCommand,
    WrittenFile,
    find_run_call,
    has_commands,
    to_python,
)
from netlet.nets.notebook_files import NOTEBOOK, parse_notebook
from netlet.nets.script import is_main_guard

# Lines that begin a cell of a script, as VS Code, Spyder, Databricks and exports of notebooks do.
_MARK = re.compile(r"#\s*(?:%%|<codecell>|COMMAND -{5}|In\[(?P<count>\d*) ?\])")
# What git merge and git pull leave of two versions, which is neither Python nor JSON.
_CONFLICT = re.compile(r"^<<<<<<< .*^=======\r?$.*^>>>>>>> ", re.MULTILINE | re.DOTALL)
_IN_CONFLICT = (
    "an unresolved merge conflict of Git; keep one version, and delete the lines <<<<<<<, ======= "
    "and >>>>>>>"
)


def parse_source(path: Path, content: bytes) -> Source:
    """Return a file with nets, without following its ``%run`` commands.

    Args:
        path: A notebook or a script.
        content: What it holds.

    Raises:
        NetError: It is a notebook that is damaged or not in Python, or it is saved as UTF-16.
        SyntaxError: It is a script that is not valid Python.
        ValueError: It is a script with characters that no Python code has.
    """
    _refuse_wide(path, content)
    if path.suffix == NOTEBOOK:
        return _parse_notebook(path, content)
    lines = _split(content.decode("utf-8", "surrogateescape"))
    try:
        tree = ast.parse(content, filename=str(path))
    except SyntaxError:
        _refuse_conflict(path, content)
        decoded = _split(_decode(content))
        if len(_find_cells(decoded)) == 1 and not has_commands("\n".join(decoded)):
            raise
        source = _read_cells_of_script(path, decoded)
        if (problem := source.cells[0].problem) and not source.has_cells:
            raise NetError(f"{path}: is not valid Python ({problem}); repair it") from None
        return source
    starts = [start for start in _find_cells(lines) if not _is_inside(start.line, tree.body)]
    texts = [lines[start.line - 1 : end] for start, end in _ranges(starts, len(lines))]
    first_lines = [start.line for start in starts]
    places = [bisect_right(first_lines, node.lineno) - 1 for node in tree.body]
    parts: list[list[ast.stmt]] = [[] for _ in starts]
    for node, place in zip(tree.body, places, strict=True):
        parts[place].append(node)
    cells = [
        Cell(s.number, s.count, str(path), text, s.line, runs=_find_run_calls(part))
        for s, text, part in zip(starts, texts, parts, strict=True)
    ]
    owners = {id(node): cells[place] for node, place in zip(tree.body, places, strict=True)}
    return Source(path, tree.body, cells, {}, owners)


def _refuse_wide(path: Path, content: bytes) -> None:
    """Check that a file is not in an encoding of two or four bytes for each letter.

    Raises:
        NetError: It is: it has its mark at the start, or about every second byte is zero.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked or content.count(0) > len(content) // 3:
        raise NetError(f"{path}: is saved as UTF-16; save it as UTF-8")


def _refuse_conflict(path: Path, content: bytes) -> None:
    """Check that what is not valid Python or JSON has no marks of a merge conflict.

    Raises:
        NetError: It has.
    """
    text = content.decode("utf-8", "replace")
    if start := _CONFLICT.search(text):
        line = text.count("\n", 0, start.start()) + 1
        raise NetError(f"{path}: line {line} begins {_IN_CONFLICT}")


def _parse_notebook(path: Path, content: bytes) -> Source:
    body: list[ast.stmt] = []
    cells, written, owners = list[Cell](), dict[str, str](), dict[int, Cell]()
    try:
        texts = [*parse_notebook(content, path)]
    except NetError:
        _refuse_conflict(path, content)
        raise
    for raw in texts:
        python = to_python(raw.text)
        if python.file is not None:
            _write(written, python.file)
        filename = f"{path}#cell-{raw.number}"
        found, problem = _parse(python.text, filename)
        runs = [*python.runs, *_find_run_calls(found)]
        lines = python.text.split("\n")
        cell = Cell(raw.number, raw.count, filename, lines, problem=problem, runs=runs)
        cells.append(cell)
        found = open_main_guards(found)
        body += found
        owners |= {id(node): cell for node in found}
    return Source(path, body, cells, written, owners)


def open_main_guards(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return statements with what ``if __name__ == "__main__"`` holds, where that is true."""
    found: list[ast.stmt] = []
    for node in body:
        is_guard = isinstance(node, ast.If) and is_main_guard(node) and not node.orelse
        found += node.body if isinstance(node, ast.If) and is_guard else [node]
    return found


def _find_run_calls(body: Sequence[ast.stmt]) -> list[RunCommand]:
    return [command for node in body if (command := find_run_call(node)) is not None]


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
        runs = [replace(run, line=run.line + start.line - 1) for run in python.runs]
        runs += _find_run_calls(found)
        cells.append(Cell(start.number, start.count, str(path), text, start.line, problem, runs))
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
        if start := _CONFLICT.search(text):
            line = text.count("\n", 0, start.start()) + 1
            return [], f"line {line} begins {_IN_CONFLICT}"
        return [], f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return [], first_line(error)


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
    ended = not before or before.endswith("\n")  # IPython ends the last line of each cell
    written[file.path] = before + ("" if ended else "\n") + file.text


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
