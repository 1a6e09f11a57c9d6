"""The grades of a grading that is not finished: a line of JSON for each, appended.

A grading that is killed loses none of them, and the cost of a line does not grow with the class.
When all submissions are graded, ``grades.json`` has the grades and the journal is removed.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from netlet.classroom.file_kinds import JOURNAL
from netlet.classroom.grades import Grade
from netlet.errors import GradingError
from netlet.files import read_regular
from netlet.outputs.place import explain
from netlet.text import dump_json

_MAX_BYTES = 256 << 20


def append_grade(folder: Path, grade: Grade) -> None:
    """Add a grade to the journal in a folder, and wait until the disk has it.

    Raises:
        OutputError: It cannot be written; the lines before it stay as they were.
    """
    path = folder / JOURNAL
    # Not through a link that somebody has put there: netlet chose the name.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    line = f"{dump_json(asdict(grade))}\n".encode()
    with explain(path, "--out", "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, flags, 0o666), "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def read_journal(folder: Path) -> list[Grade]:
    """Return the grades in the journal of a folder, the oldest first; none if there is none.

    Raises:
        GradingError: The file there is not one of netlet's.
    """
    from pydantic import TypeAdapter, ValidationError

    path = folder / JOURNAL
    if not os.path.lexists(path):
        return []
    lines = read_regular(path, _MAX_BYTES, GradingError).split(b"\n")
    adapter = TypeAdapter(Grade)
    try:
        # After the last line break is what a killed process has not finished.
        return [adapter.validate_python(json.loads(line)) for line in lines[:-1]]
    except (ValueError, ValidationError, RecursionError) as error:
        raise GradingError(
            f"{path}: holds no grades of this version; name another folder with --out, or remove it"
        ) from error


def remove_journal(folder: Path) -> None:
    """Remove the journal of a folder, if there is one.

    Raises:
        OutputError: It cannot be removed.
    """
    path = folder / JOURNAL
    with explain(path, "--out", "folder"):
        path.unlink(missing_ok=True)
