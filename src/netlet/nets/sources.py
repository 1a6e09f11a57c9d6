"""The file that a net is in: a script, a script with cells, or a notebook, read but not run."""

from __future__ import annotations

import hashlib
import linecache
import threading
import traceback
from dataclasses import replace
from pathlib import Path

from netlet.errors import NetError
from netlet.files import read_regular
from netlet.nets.cell_reading import parse_source
from netlet.nets.cells import Source
from netlet.nets.notebook_files import MAX_NOTEBOOK_BYTES, NOTEBOOK
from netlet.nets.run_commands import follow_runs
from netlet.nets.user_imports import MAX_SOURCE_BYTES

_registered: dict[str, Source] = {}  # files whose code has run, by its names in tracebacks
_MOST_PARSED = 16
_parsed: dict[tuple[bool, bytes], Source] = {}  # by what files hold, since a command reads several
_lock = threading.Lock()


def read_source(path: Path) -> Source:
    """Return a file with nets, with the files that its cells run in their place. No code is run.

    Args:
        path: A notebook or a script.

    Raises:
        NetError: The file cannot be read, or it is a notebook that is damaged or not in Python.
        SyntaxError: It is a script that is not valid Python.
        ValueError: It is a script with characters that no Python code has.
    """
    return follow_runs(_read_file(path), _read_file)


def _read_file(path: Path) -> Source:
    """Return a file with nets; what has been parsed before is not parsed again."""
    is_notebook = path.suffix == NOTEBOOK
    limit = MAX_NOTEBOOK_BYTES if is_notebook else MAX_SOURCE_BYTES
    content = read_regular(path, limit, NetError)
    key = (is_notebook, hashlib.sha256(content).digest())
    with _lock:
        found = _parsed.pop(key, None)
    if found is None:
        found = parse_source(path, content)
    found = _rename(found, path)
    with _lock:
        _parsed[key] = found  # the last used one comes last
        while len(_parsed) > _MOST_PARSED:
            del _parsed[next(iter(_parsed))]
    return found


def _rename(source: Source, path: Path) -> Source:
    """Return a source as it is under another path."""
    if source.path == path:
        return source
    before = str(source.path)
    cells = {
        id(cell): replace(cell, filename=f"{path}{cell.filename.removeprefix(before)}")
        for cell in source.cells
    }
    owners = {statement: cells[id(cell)] for statement, cell in source.owners.items()}
    return replace(source, path=path, cells=list(cells.values()), owners=owners)


def register_code(source: Source) -> None:
    """Let errors name the cells of a file; show a notebook's in tracebacks and to ``inspect``."""
    _registered.pop(str(source.path), None)
    for cell in source.cells:
        _registered[cell.filename] = source
        if not cell.filename.endswith(".py"):  # a script is read from its file
            text = [f"{line}\n" for line in cell.lines]
            linecache.cache[cell.filename] = (sum(map(len, text)), None, text, cell.filename)


def find_source(filename: str) -> Source | None:
    """Return the file with cells whose code has this name in tracebacks; None for any other."""
    source = _registered.get(filename)
    return source if source is not None and source.has_cells else None


def locate_error(error: BaseException) -> str:
    """Return where an error comes from: ``cell 3 (In [12]), line 4``, or ``net.py, line 4``.

    Args:
        error: What a user's code raised.

    Returns:
        The innermost place in a file with nets; empty if there is none.
    """
    places = []
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 1))
    for frame, line in traceback.walk_tb(error.__traceback__):
        places.append((frame.f_code.co_filename, line))
    located = [locate_line(filename, line) for filename, line in places]
    return next(filter(None, reversed(located)), "")


def locate_function(function: object) -> str:
    """Return the place of the first line of a function; empty if it is not one of nets."""
    code = getattr(function, "__code__", None)
    return locate_line(code.co_filename, code.co_firstlineno) if code else ""


def locate_line(filename: str, line: int) -> str:
    """Return the place of a line of nets: ``cell 3 (In [12]), line 4``, or ``net.py, line 4``.

    Args:
        filename: The name of its code in tracebacks.
        line: Its number there.

    Returns:
        The place; empty for a line of any other file.
    """
    source = _registered.get(filename)
    if source is None:
        return ""
    cells = [c for c in source.cells if c.filename == filename and c.first_line <= line]
    if not cells:
        return ""
    found = cells[-1].locate(line)
    return found if source.has_cells else f"{source.path.name}, {found}"
