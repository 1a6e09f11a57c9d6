"""Read the code cells of a notebook file, in the formats 2 to 5 of Jupyter, Colab and VS Code.

The format is simple, and a net must be found without optional packages, so this does without
nbformat. The tests compare with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.errors import NetError

NOTEBOOK = ".ipynb"
MAX_NOTEBOOK_BYTES = 1 << 26  # of a notebook with its pictures
_MAX_CODE = 1 << 24  # characters of its code
_REMEDY = "save it again as a notebook"
# Names of Python in the metadata of kernels; no name at all means Python, too.
_PYTHON = re.compile(r"(i?python|pypy|pyodide|xpython|sage)", re.IGNORECASE)


@dataclass(frozen=True)
class RawCell:
    r"""A code cell as the file has it.

    Attributes:
        number: Counted from 1 among all cells, those with text too.
        count: The number in brackets beside the cell, ``In [12]``; None if it was never run.
        text: The code, with ``\n`` between its lines.
    """

    number: int
    count: int | None
    text: str


def parse_notebook(content: bytes, path: Path) -> list[RawCell]:
    """Return the code cells of a notebook, in their order.

    Args:
        content: What the file holds.
        path: The file, for messages.

    Raises:
        NetError: It is not a notebook, or not one in Python.
    """
    if not content.strip():
        raise NetError(f"{path}: is empty; {_REMEDY}")
    try:
        notebook = json.loads(content)
    except json.JSONDecodeError as error:
        raise NetError(
            f"{path}: is not a notebook: its JSON ends or breaks in line {error.lineno} "
            f"({error.msg}); {_REMEDY}"
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise NetError(
            f"{path}: is not a notebook: its JSON cannot be read ({type(error).__name__}); "
            f"{_REMEDY}"
        ) from error
    found = list(_code_cells(notebook, path))
    if sum(len(cell.text) for cell in found) > _MAX_CODE:
        raise NetError(f"{path}: has more than {_MAX_CODE:,} characters of code; name another file")
    return found


def _code_cells(notebook: Any, path: Path) -> Iterator[RawCell]:
    cells = _list_cells(notebook)
    if cells is None:
        raise NetError(f"{path}: is not a notebook: it has no list of cells; {_REMEDY}")
    _refuse_other_language(notebook, path)
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        text = _join(cell.get("source", cell.get("input", "")))
        if text is None:
            raise NetError(f"{path}: is not a notebook: cell {number} has no text; {_REMEDY}")
        if _is_python_cell(cell):
            count = cell.get("execution_count", cell.get("prompt_number"))
            known = isinstance(count, int) and not isinstance(count, bool)
            yield RawCell(number, count if known else None, text)


def _list_cells(notebook: Any) -> list[Any] | None:
    """Return all cells of a notebook; None if it has none."""
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("cells"), list):
        return list(notebook["cells"])
    worksheets = notebook.get("worksheets")  # before format 4
    if not isinstance(worksheets, list):
        return None
    sheets = [sheet.get("cells") for sheet in worksheets if isinstance(sheet, dict)]
    return [cell for cells in sheets if isinstance(cells, list) for cell in cells]


def _refuse_other_language(notebook: dict[str, Any], path: Path) -> None:
    metadata = notebook.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        entry = metadata.get(key)
        language = entry.get(name) if isinstance(entry, dict) else None
        if isinstance(language, str) and language:
            if not _PYTHON.match(language):
                raise NetError(
                    f"{path}: is a notebook in {language[:40]}; netlet reads those in Python"
                )
            return


def _is_python_cell(cell: dict[str, Any]) -> bool:
    """Return whether a cell is in Python, in a notebook that may have several languages."""
    metadata = cell.get("metadata")
    vscode = metadata.get("vscode") if isinstance(metadata, dict) else None
    languages = (
        cell.get("language"),  # before format 4
        vscode.get("languageId") if isinstance(vscode, dict) else None,
    )
    return all(_PYTHON.match(name) for name in languages if isinstance(name, str) and name)


def _join(source: Any) -> str | None:
    """Return the text of a cell, which the file has as one string or as a list of lines."""
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        # Some programs write the lines without their ends.
        source = "".join(_with_end(line) for line in source[:-1]) + "".join(source[-1:])
    if not isinstance(source, str):
        return None
    return re.sub(r"\r\n?", "\n", source)


def _with_end(line: str) -> str:
    ends = len(f"{line}x".splitlines()) > len(line.splitlines())
    return line if ends else f"{line}\n"
