"""Find the submissions of a class, and their names."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlet.classroom.submitted_files import CLAIMS, KINDS, LEFT_OUT, PACKED, RECORD, WEIGHTS
from netlet.display import Displayed
from netlet.errors import GradingError

# What Moodle adds to the name of a student's folder, or to that of a file.
_MOODLE = re.compile(r"_\d+_assignsubmission_(file|onlinetext)_?.*$", re.S)
_TYPED = "_assignsubmission_onlinetext_"  # Moodle's folder of what a student has typed
_RUNS = "runs"  # the folder of the runs of netlet train
_RECORDS = (f"*/{RECORD}", f"*/*/{RECORD}")  # of its runs, and those of a study


@dataclass(frozen=True)
class Submission(Displayed):
    """What one student has handed in.

    Attributes:
        name: The name of the file without its ending, or of the folder; without what Moodle adds.
        path: A Python file, a notebook, a folder or a zip file.
    """

    name: str
    path: Path


def list_submissions(
    paths: Sequence[Path],
    *,
    single: bool = False,
    out: Path | None = None,
    graded: Iterable[str] = (),
) -> list[Submission]:
    """Return the submissions that some paths mean.

    Args:
        paths: One folder with a Python file, notebook, folder or zip file for each student; or
            several of these themselves.
        single: Whether the path is itself one submission.
        out: The folder for the grades, which is not a submission if it lies among them.
        graded: The names of submissions that have a grade there.

    Returns:
        The submissions, those of a folder sorted by name.

    Raises:
        GradingError: A path does not exist, is of another kind, or has no submissions.
    """
    for path in paths:
        if not path.exists():
            raise GradingError(f"{path}: no such submission or folder; check its path")
        if path.is_file() and path.suffix.lower() not in (*KINDS, *PACKED):
            raise GradingError(f"{path}: is not a submission; name a .py, .ipynb or .zip file")
    if single and len(paths) > 1:
        raise GradingError("--single is for one submission; name one, or leave --single out")
    if len(paths) == 1 and paths[0].is_dir() and not single:
        _refuse_single(paths[0])
        if out is not None and out.resolve() == paths[0].resolve():
            raise GradingError(
                f"{out}: has the submissions; name another folder for the grades with --out"
            )
        paths = _list_folder(paths[0], out)
    _refuse_output(paths, out)
    names = [path.name for path in paths]
    # Moodle's number tells students of one name apart. A grade that has it is of one of them.
    numbered = {_cut_moodle(name) for name in graded if _cut_moodle(name) != name}
    for shorten in (_stem, lambda path: _cut_moodle(_stem(path))):
        short = [shorten(path) for path in paths]
        often = Counter(short) + Counter(numbered)
        names = [new if often[new] == 1 else old for new, old in zip(short, names, strict=True)]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [Submission(name, path) for name, path in zip(names, paths, strict=True)]


def find_renamed(submissions: Sequence[Submission], graded: Iterable[str]) -> set[str]:
    """Return the earlier names of submissions that have a longer one now.

    A student's name alone is that of a submission until a second student of this name hands in.

    Args:
        submissions: What is graded now.
        graded: The names of submissions that have a grade.
    """
    longer = {_cut_moodle(one.name) for one in submissions if _cut_moodle(one.name) != one.name}
    return longer & set(graded)


def _cut_moodle(name: str) -> str:
    return _MOODLE.sub("", name)


def compose(name: str) -> str:
    """Return a name as it is compared: macOS writes umlauts as a letter and a mark (NFD)."""
    return unicodedata.normalize("NFC", name)


def find_missing(
    rows: Iterable[str], submissions: Sequence[Submission], graded: Iterable[str]
) -> list[str]:
    """Return the names on a roster for which there is neither a submission nor a grade, sorted.

    Args:
        rows: The names on the roster: of a submission, or of its file.
        submissions: What is graded now.
        graded: The names of submissions that have a grade.
    """
    handed_in = {name for one in submissions for name in (one.name, one.path.name)}
    for name in graded:
        handed_in |= {name, *(f"{name}{kind}" for kind in KINDS)}
    return sorted(set(rows) - set(map(compose, handed_in)))


def find_unknown(rows: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the names of submissions that are not on a roster, sorted.

    Args:
        rows: The names on the roster: of a submission, or of its file.
        names: The names of submissions that have a grade.
    """
    known = set(rows)
    return sorted(
        name
        for name in names
        if not known & {compose(name), *(compose(f"{name}{kind}") for kind in KINDS)}
    )


def _list_folder(folder: Path, out: Path | None) -> list[Path]:
    paths = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and path.name not in LEFT_OUT
        and (path.is_dir() or path.suffix.lower() in (*KINDS, *PACKED))
        and (out is None or not _holds_only(path, out.resolve()))
    ]
    names = {path.name for path in paths}
    paths = [path for path in paths if not _is_typed_beside_files(path.name, names)]
    if not paths:
        raise GradingError(
            f"{folder}: has no submissions; put a .py file, notebook, folder or .zip for each "
            "student into it"
        )
    return paths


def _holds_only(folder: Path, out: Path) -> bool:
    """Return whether a path is a folder, or leads to it through folders that have nothing else."""
    folder = folder.resolve()
    while folder != out:
        if folder not in out.parents or len(list(folder.iterdir())) != 1:
            return False
        (folder,) = folder.iterdir()
    return True


def _is_typed_beside_files(name: str, names: Collection[str]) -> bool:
    """Return whether a folder of Moodle has what a student has typed, beside one of files."""
    student, typed, _ = name.partition(_TYPED)
    return bool(typed) and any(one.startswith(f"{student}_assignsubmission_file_") for one in names)


def _refuse_single(folder: Path) -> None:
    """Check that a folder is not itself a submission, whose files would be taken for students.

    Raises:
        GradingError: It has weights, a claim or runs beside its code, which belong to one
            submission.
    """
    for path in sorted(folder.iterdir()):
        own = path.is_file() and (path.suffix.lower() in WEIGHTS or path.name.lower() in CLAIMS)
        if own or (path.name == _RUNS and any(any(path.glob(record)) for record in _RECORDS)):
            raise GradingError(
                f"{folder}: looks like one submission, because it contains {path.name}; pass "
                "--single to grade it alone, name a second submission to grade both, or put each "
                "student's files into a subfolder"
            )


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
    name = path.name.removesuffix(path.suffix) if path.is_file() else path.name
    return (name.removesuffix(".tar") if path.suffix.lower() in PACKED else name) or "submission"
