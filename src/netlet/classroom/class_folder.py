"""What lies in the folder of a class: the submissions, and what only looks like a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from netlet.classroom.file_kinds import (
    CLAIMS,
    RECORD,
    REPOSITORY,
    find_usual_name,
    is_archive,
    is_of_teacher,
    is_packed,
    is_source,
    is_weights,
)
from netlet.classroom.submitted_files import LEFT_OUT
from netlet.errors import GradingError
from netlet.files import read_regular

_RUNS = "runs"  # the folder of the runs of netlet train
_RECORDS = (f"*/{RECORD}", f"*/*/{RECORD}")  # of its runs, and those of a study
# How the files of one submission are called, and not students.
_USUAL = {
    *("model", "models", "net", "nets", "network", "cnn", "mnist", "notebook", "solution"),
    *("train", "training", "main", "run", "test", "tests", "eval", "evaluate", "predict"),
    *("data", "dataset", "datasets", "utils", "util", "helpers", "config", "src", "setup"),
}
_MAX_BYTES = 1 << 20  # of code that is looked into
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+\.?(\w+)", re.M)


def is_submission(name: str) -> bool:
    """Return whether a file is a submission by its name, also one that is told to be packed."""
    return is_source(name) or is_archive(name) or is_packed(name)


def list_folder(folder: Path, out: Path | None) -> list[Path]:
    """Return the submissions in the folder of a class, sorted, with files that cannot be read.

    Args:
        folder: The folder.
        out: The folder for the grades, which is not a submission.

    Raises:
        GradingError: There are none, or the folder is itself a submission.
    """
    inside = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.name not in LEFT_OUT
    ]
    paths = [
        path
        for path in inside
        if (path.is_dir() or is_submission(path.name))
        and (out is None or not _holds_only(path, out.resolve()))
    ]
    _refuse_single(folder, inside, paths)
    if not paths:
        raise GradingError(
            f"{folder}: has no submissions; put a .py file, notebook, folder or .zip for each "
            "student into it"
        )
    others = [path for path in inside if path not in paths and path.is_file()]
    return sorted([*paths, *(path for path in others if not is_of_teacher(path.name))])


def is_unread(path: Path) -> bool:
    """Return whether a file in the folder of a class cannot be graded, whatever it contains."""
    return path.is_file() and not is_submission(path.name)


def _holds_only(folder: Path, out: Path) -> bool:
    """Return whether a path is a folder, or leads to it through folders that have nothing else."""
    folder = folder.resolve()
    while folder != out:
        if folder not in out.parents or len(list(folder.iterdir())) != 1:
            return False
        (folder,) = folder.iterdir()
    return True


def _refuse_single(folder: Path, inside: Sequence[Path], submissions: Sequence[Path]) -> None:
    """Check that a folder is not itself a submission, whose files would be taken for students.

    Args:
        folder: The folder.
        inside: What lies in it.
        submissions: What would be taken for submissions.

    Raises:
        GradingError: It has a claim or runs beside its code, which belong to one submission, or
            weights beside code that is not that of several students.
    """
    for path in inside:
        own = path.is_file() and path.name.lower() in CLAIMS
        own |= path.name == _RUNS and any(any(path.glob(record)) for record in _RECORDS)
        if own or (path.is_file() and is_weights(path.name) and _belong_together(submissions)):
            raise GradingError(
                f"{folder}: looks like one submission, because it contains {path.name}; pass "
                "--single to grade it alone, name a second submission to grade both, or put each "
                "student's files into a subfolder"
            )


def _belong_together(paths: Sequence[Path]) -> bool:
    """Return whether files and folders are hardly those of several students."""
    names = {_name_module(path) for path in paths}
    if len(paths) < 2 or names & _USUAL:
        return True
    if any((path.parent / REPOSITORY).exists() for path in paths[:1]):
        return True
    return any(_list_imports(path) & (names - {_name_module(path)}) for path in paths)


def _name_module(path: Path) -> str:
    return Path(find_usual_name(path.name)).stem.lower() if path.is_file() else path.name.lower()


def _list_imports(path: Path) -> set[str]:
    """Return the modules that a Python file imports; none of another file, or one in error."""
    if not (path.is_file() and is_source(path.name)):
        return set()
    try:
        content = read_regular(path, _MAX_BYTES, GradingError)
    except (GradingError, OSError):  # which grading will say
        return set()
    return {name.decode().lower() for name in _IMPORT.findall(content)}
