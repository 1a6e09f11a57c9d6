"""What lies in the folder of a class: the submissions, and what only looks like a class."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from netlet.classroom.file_kinds import (
    CLAIMS,
    GRADES_JSON,
    JOURNAL,
    RECORD,
    REPOSITORY,
    find_usual_name,
    is_archive,
    is_of_teacher,
    is_packed,
    is_source,
    is_weights,
)
from netlet.classroom.stated_files import read_text
from netlet.classroom.submitted_files import HAND_IN, LEFT_OUT_FOLDERS
from netlet.errors import GradingError, warn
from netlet.files import read_regular
from netlet.records import STUDY
from netlet.text import split_address
from netlet.toml_files import parse_toml

_RECORDS = {  # of what netlet train and netlet study leave beside a net, by the name of the folder
    "runs": (f"*/{RECORD}", f"*/*/{RECORD}"),
    "studies": (f"*/{STUDY}", f"*/*/{RECORD}"),
    HAND_IN: (RECORD,),
}
# How the files of one submission are called, and not students.
_USUAL = {
    *("model", "models", "net", "nets", "network", "cnn", "mnist", "notebook", "solution"),
    *("train", "training", "main", "run", "test", "tests", "eval", "evaluate", "predict"),
    *("data", "dataset", "datasets", "utils", "util", "helpers", "config", "src", "setup"),
}
_MAX_BYTES = 1 << 20  # of code that is looked into
_MAX_SETTINGS_BYTES, _MAX_DOTS = 1 << 16, 100  # of netlet.toml, and in one of its lines
_OF_GRADES = re.compile(rb'"kind":\s*"grades"')  # in the first lines of grades.json
_MOST_BYTES = 500  # of these lines
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

    Warns:
        NetletWarning: A folder has the grades of an earlier grading, and no submission.
    """
    inside = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.name not in LEFT_OUT_FOLDERS
    ]
    paths = [
        path
        for path in inside
        if (path.is_dir() or is_submission(path.name))
        and (out is None or out.resolve() not in _descend(path))
    ]
    paths = leave_out_grades(paths, out)
    _refuse_single(folder, inside, paths)
    if not paths:
        raise GradingError(
            f"{folder}: has no submissions; put a .py file, notebook, folder or .zip for each "
            "student into it"
        )
    others = [path for path in inside if path.is_file() and not is_submission(path.name)]
    return sorted([*paths, *(path for path in others if not is_of_teacher(path.name))])


def is_unread(path: Path) -> bool:
    """Return whether a file in the folder of a class cannot be graded, whatever it contains."""
    return path.is_file() and not is_submission(path.name)


def leave_out_grades(paths: Sequence[Path], out: Path | None) -> list[Path]:
    """Return paths without the folders that have grades, which are no submissions.

    Args:
        paths: The paths.
        out: The folder for the grades, which is left out without a warning.

    Warns:
        NetletWarning: A folder has those of an earlier grading.
    """
    kept = []
    for path in paths:
        chain = list(_descend(path))
        if not (chain and _has_grades(chain[-1])):
            kept.append(path)
        elif out is None or out.resolve() not in chain:
            text = f"{path}: is left out, since it has the grades of an earlier grading"
            warn(text)
    return kept


def _descend(folder: Path) -> Iterator[Path]:
    """Yield a folder and, as long as each has nothing but another one, those inside.

    Hidden files do not count: macOS writes one into each folder that a person opens.
    """
    folder = folder.resolve()
    while folder.is_dir() and not folder.is_symlink():
        yield folder
        try:
            inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
        except OSError:  # which grading will say
            return
        if len(inside) != 1:
            return
        (folder,) = inside


def _has_grades(folder: Path) -> bool:
    """Return whether a grading has written into a folder, in which there is no code."""
    try:
        if any(is_submission(name) for name in os.listdir(folder)):
            return False
        if (folder / JOURNAL).is_file():
            return True
        path = folder / GRADES_JSON
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            return bool(_OF_GRADES.search(file.read(_MOST_BYTES)))
    except OSError:
        return False


def _refuse_single(folder: Path, inside: Sequence[Path], submissions: Sequence[Path]) -> None:
    """Check that a folder is not itself a submission, whose files would be taken for students.

    Args:
        folder: The folder.
        inside: What lies in it.
        submissions: What would be taken for submissions.

    Raises:
        GradingError: It has a claim, runs, or the settings of its net, which belong to one
            submission, or weights beside code that is not that of several students.
    """
    belong_together = functools.cache(lambda: _belong_together(submissions))  # it reads all code
    for path in inside:
        own = path.is_file() and find_usual_name(path.name) in CLAIMS
        own |= any(any(path.glob(record)) for record in _RECORDS.get(path.name, ()))
        own |= path.name == REPOSITORY and _has_net_beside(path)
        if own or (path.is_file() and is_weights(path.name) and belong_together()):
            raise GradingError(
                f"{folder}: looks like one submission, because it contains {path.name}; pass "
                "--single to grade it alone, name a second submission to grade both, or put each "
                "student's files into a subfolder"
            )


def _has_net_beside(settings: Path) -> bool:
    """Return whether a ``netlet.toml`` names a net in a file that is there.

    That of a teacher does not, unless the folder has the teacher's own net, too.
    """
    try:
        text = read_text(settings, _MAX_SETTINGS_BYTES, settings.parent)
        net = parse_toml(text, settings.name, GradingError, "repair it", max_dots=_MAX_DOTS)["net"]
    except (GradingError, OSError, KeyError):
        return False
    file = split_address(net)[0] if isinstance(net, str) else ""
    return is_source(file) and (settings.parent / file).is_file()


def _belong_together(paths: Sequence[Path]) -> bool:
    """Return whether files and folders are hardly those of several students."""
    names = {_name_module(path) for path in paths}
    if len(paths) < 2 or names & _USUAL:
        return True
    if any((path.parent / REPOSITORY).exists() for path in paths[:1]):
        return True
    return any((_list_imports(path) - {_name_module(path)}) & names for path in paths)


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
