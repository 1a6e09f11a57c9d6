"""Find the submissions of a class, and their names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlet.classroom.class_folder import (
    is_submission,
    is_unread,
    leave_out_grades,
    list_folder,
)
from netlet.classroom.file_kinds import ARCHIVE, SOURCES, find_ending, is_packed
from netlet.display import Displayed
from netlet.errors import GradingError

# A folder or file in Moodle's download: the student's name, which others may have, and a number.
_MOODLE = re.compile(r"(.+)_(\d+)_assignsubmission_(?:file|onlinetext)_?.*", re.S)
_TYPED = "_assignsubmission_onlinetext_"  # Moodle's folder of what a student has typed


@dataclass(frozen=True)
class Submission(Displayed):
    """What one student has handed in.

    Attributes:
        name: The name of the file without its ending, or of the folder; without what Moodle adds,
            but with its number, as in *Ann Lee_12*, where several students have one name.
        path: A Python file, a notebook, a folder or a zip file; or a file that is not read, which
            grading says.
    """

    name: str
    path: Path


def list_submissions(
    paths: Sequence[Path],
    *,
    single: bool = False,
    out: Path | None = None,
    graded: Mapping[str, str] | None = None,
) -> list[Submission]:
    """Return the submissions that some paths mean.

    Args:
        paths: One folder with a Python file, notebook, folder or zip file for each student; or
            several of these themselves. One that is named twice counts once.
        single: Whether the path is itself one submission.
        out: The folder for the grades, which is not a submission if it lies among them.
        graded: For the name of each submission that has a grade there, that of its file or folder;
            empty if it is not known.

    Returns:
        The submissions, those of a folder sorted by name.

    Raises:
        GradingError: A path does not exist, is of another kind, or has no submissions.
    """
    for path in paths:
        if not path.exists():
            raise GradingError(f"{path}: no such submission or folder; check its path")
        if path.is_file() and not is_submission(path.name):
            raise GradingError(f"{path}: is not a submission; name a .py, .ipynb or .zip file")
    named: dict[str, Path] = {}
    for path in paths:
        named.setdefault(os.path.abspath(path), path)
    paths = list(named.values())
    if single and len(paths) > 1:
        raise GradingError("--single is for one submission; name one, or leave out --single")
    if len(paths) == 1 and paths[0].is_dir() and not single:
        if out is not None and out.resolve() == paths[0].resolve():
            raise GradingError(
                f"{out}: has the submissions; name another folder for the grades with --out"
            )
        paths = list_folder(paths[0], out)
    elif not single and not (paths := leave_out_grades(paths, out)):
        raise GradingError("there are only grades of an earlier grading; name submissions")
    given = {path.name for path in paths}
    paths = [path for path in paths if not _is_typed_beside_files(path.name, given)]
    _refuse_output(paths, out)
    read = [path for path in paths if not is_unread(path)]
    names = dict(zip(read, _name_all(read, graded or {}), strict=True))
    for path in paths:  # a file that is not read takes no name from one that is
        if path not in names:
            name = _student(path)
            names[path] = name if name not in names.values() else path.name
    return [Submission(names[path], path) for path in paths]


def _name_all(paths: Sequence[Path], graded: Mapping[str, str]) -> list[str]:
    """Return the shortest names that tell submissions apart, also from those that have a grade."""
    names = [path.name for path in paths]
    for shorten in (_stem, _number, _student):
        short = [shorten(path) for path in paths]
        often = Counter(short)
        names = [new if often[new] == 1 else old for new, old in zip(short, names, strict=True)]
    names = [
        _number(path) if name == _student(path) and _is_of_another(name, path, graded) else name
        for name, path in zip(names, paths, strict=True)
    ]
    for longer in (lambda path: path.name, str):
        often = Counter(names)
        names = [
            name if often[name] == 1 else longer(path)
            for name, path in zip(names, paths, strict=True)
        ]
    return names


def _is_of_another(name: str, path: Path, graded: Mapping[str, str]) -> bool:
    """Return whether a student's name alone means, or may mean, another one who has a grade."""
    own = _split_moodle(_stem(path))
    if own is not None and _number(path) in graded:
        return True  # it has had a number before
    if own is None or (graded.get(name) and _split_moodle(graded[name]) == own):
        return False
    others = [_split_moodle(source) for source in graded.values()]
    return any(other and other[0] == own[0] and other != own for other in others)


def find_namesakes(
    submissions: Sequence[Submission],
    rows: Collection[str] = (),
    graded: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Return the students whose name others have, too, and the names of their submissions.

    Those are left out whose submissions all have a line of their own on the roster.

    Args:
        submissions: What is graded now.
        rows: The names on the roster. A student there whose submission has a number is one of
            these, too, if it has a grade.
        graded: As in :func:`list_submissions`.
    """
    found: dict[str, list[str]] = {}
    for one in submissions:
        if (split := _split_moodle(_stem(one.path))) and one.name != split[0]:
            found.setdefault(split[0], []).append(one.name)
    earlier = graded or {}
    for name in find_unknown(rows, earlier):
        split = _split_moodle(earlier[name])
        if split and name != split[0] and split[0] in rows:
            found.setdefault(split[0], [])
            found[split[0]] = sorted({*found[split[0]], name})
    return {
        student: called
        for student, called in found.items()
        if student in rows or student in earlier or not set(called) <= set(rows)
    }


def find_renamed(submissions: Sequence[Submission], graded: Mapping[str, str]) -> set[str]:
    """Return the earlier names of submissions that have a longer one now.

    A student's name alone is that of a submission until a second student of this name hands in.

    Args:
        submissions: What is graded now.
        graded: As in :func:`list_submissions`.
    """
    found = set()
    for one in submissions:
        split = _split_moodle(_stem(one.path))
        if split and one.name != split[0] and split[0] in graded:
            source = graded[split[0]]
            if not source or _split_moodle(source) == split:
                found.add(split[0])
    return found


def _split_moodle(name: str) -> tuple[str, str] | None:
    """Return the student and the number in the name of a folder of Moodle; None if it is none."""
    match = _MOODLE.fullmatch(compose(name))
    return (match[1].strip(), match[2]) if match else None


def _number(path: Path) -> str:
    return "_".join(_split_moodle(_stem(path)) or [_stem(path)])


def _student(path: Path) -> str:
    return (_split_moodle(_stem(path)) or [_stem(path)])[0]


def compose(name: str) -> str:
    """Return a name as it is compared: macOS writes umlauts as a letter and a mark (NFD)."""
    return unicodedata.normalize("NFC", name)


def find_missing(
    rows: Iterable[str], submissions: Sequence[Submission], graded: Mapping[str, str]
) -> list[str]:
    """Return the names on a roster for which there is neither a submission nor a grade, sorted.

    Args:
        rows: The names on the roster: of a submission, or of its file.
        submissions: What is graded now.
        graded: As in :func:`list_submissions`.
    """
    handed_in = {name for one in submissions for name in (one.name, one.path.name)}
    for name, source in graded.items():
        handed_in |= {*list_names(name, source)}
    return sorted(set(rows) - set(map(compose, handed_in)))


def find_unknown(rows: Iterable[str], graded: Mapping[str, str]) -> list[str]:
    """Return the names of submissions that are not on a roster, sorted.

    Args:
        rows: The names on the roster: of a submission, or of its file.
        graded: As in :func:`list_submissions`.
    """
    known = set(rows)
    return sorted(
        name
        for name, source in graded.items()
        if known.isdisjoint(map(compose, list_names(name, source)))
    )


def list_names(name: str, source: str = "") -> list[str]:
    """Return the names by which a roster may know a submission.

    Args:
        name: Its name.
        source: That of its file or folder; empty if it is not known.
    """
    return [name, *([source] if source else []), *(f"{name}{kind}" for kind in (*SOURCES, ARCHIVE))]


def _is_typed_beside_files(name: str, names: Collection[str]) -> bool:
    """Return whether a folder of Moodle has what a student has typed, beside one of files."""
    student, typed, _ = name.partition(_TYPED)
    return bool(typed) and any(one.startswith(f"{student}_assignsubmission_file_") for one in names)


def _refuse_output(paths: Sequence[Path], out: Path | None) -> None:
    """Check that the grades do not come into a submission, whose own files may have their names.

    Raises:
        GradingError: They would.
    """
    if out is None:
        return
    places = (out.resolve(), *out.resolve().parents)
    for path in paths:
        if path.is_dir() and (path.resolve() in places or path.resolve().parent == places[0]):
            raise GradingError(
                f"{path}: is a submission, and the grades would be written into it; name another "
                "folder with --out"
            )


def _stem(path: Path) -> str:
    path = path if path.name else path.resolve()
    name = (
        path.name[: len(path.name) - len(find_ending(path.name))] if path.is_file() else path.name
    )
    name = name.removesuffix(".tar") if path.is_file() and is_packed(path.name) else name
    return compose(name).strip() or "submission"
