"""What an earlier grading has left in its folder, and what a later one must not lose."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from netlet.classroom.file_kinds import GRADES_JSON
from netlet.classroom.grade_files import SCHEMA
from netlet.classroom.grades import Grade, GradedBudget
from netlet.classroom.journal import read_journal
from netlet.classroom.roster import find_correction, find_row
from netlet.classroom.submissions import Submission, list_names
from netlet.errors import GradingError, did_you_mean
from netlet.files import read_regular

_MAX_BYTES = 256 << 20


def read_grades(folder: Path) -> dict[str, Grade]:
    """Return the grades that an earlier grading has written into a folder; none if it has not.

    If it was killed, these are those that it had finished.

    Raises:
        GradingError: The file there is not one of netlet's.
    """
    from pydantic import TypeAdapter, ValidationError

    unfinished = {grade.name: grade for grade in read_journal(folder)}
    path = folder / GRADES_JSON
    if not path.exists():
        return unfinished
    content = read_regular(path, _MAX_BYTES, GradingError)
    try:
        document = json.loads(content)
        if document.get("kind") != "grades" or document.get("schema") != SCHEMA:
            raise ValueError("other kind")
        found = TypeAdapter(list[Grade]).validate_python(document["grades"])
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise GradingError(
            f"{path}: holds no grades of this version; name another folder with --out, or remove it"
        ) from error
    return {grade.name: grade for grade in found} | unfinished


def refuse_missing_roster(graded: Iterable[Grade], folder: Path) -> None:
    """Check that no earlier grade has the name of a student, which only a roster gives.

    Args:
        graded: The earlier grades.
        folder: Where they are.

    Raises:
        GradingError: One has: names, corrections and missing students would be lost.
    """
    if any(grade.student for grade in graded):
        raise GradingError(
            f"{folder}: these grades have names and corrections from a roster; name it again with "
            "--roster, or name another folder with --out"
        )


def drop_grades(graded: dict[str, Grade], names: Iterable[str], folder: Path) -> None:
    """Remove earlier grades that no longer count.

    Args:
        graded: The earlier grades by name.
        names: Those to remove.
        folder: Where they are.

    Raises:
        GradingError: There is no such grade.
    """
    for name in names:
        if name not in graded:
            raise GradingError(
                f"{folder}: has no grade of {name!r}; {did_you_mean(name, graded)}name one of "
                f"{', '.join(sorted(graded)) or 'none'} with --drop"
            )
        del graded[name]


def find_replaced(
    submissions: Iterable[Submission],
    graded: Mapping[str, Grade],
    roster: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    """Return the students whose grades are about to become those of others.

    Args:
        submissions: The submissions that are about to be graded.
        graded: The earlier grades by name.
        roster: The lines of the roster.

    Returns:
        For each name of a submission that had the name of another student, that student.
    """
    found = {}
    for one in submissions:
        row = find_row(roster, *list_names(one.name, one.path.name))
        before = graded[one.name].student if one.name in graded else ""
        if before and row.get("student", before) != before:
            found[one.name] = before
    return found


def find_uncorrected(graded: Iterable[Grade], roster: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the names of submissions whose points or comment the roster has changed since.

    Those that have no line on it are left out.

    Args:
        graded: Their grades.
        roster: Its lines, as :func:`~netlet.classroom.roster.read_roster` returns them.
    """
    found = []
    for grade in graded:
        row = find_row(roster, *list_names(grade.name, grade.source))
        if roster and not row:
            continue
        now = find_correction(row)
        corrected = None if grade.points_by_rules is None else grade.points
        if (now.points, now.comment) != (corrected, grade.comment):
            found.append(grade.name)
    return found


def find_other_totals(
    grades: Sequence[Grade], graded: Mapping[str, Grade], missing: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return the names of submissions with a correction that may be of another total.

    The roster has it from a grading that gave other points in all.

    Args:
        grades: The grades now.
        graded: The earlier grades by name.
        missing: The lines of the roster of those who have submitted nothing.
    """
    now = {one.max_points for one in grades}
    found = [
        one.name
        for one in grades
        if one.points_by_rules is not None
        and one.name in graded
        and graded[one.name].max_points != one.max_points
    ]
    if any(one.max_points not in now for one in graded.values()):
        found += [name for name, row in missing.items() if find_correction(row).points is not None]
    return found


def find_other_budgets(graded: Iterable[Grade], budget: GradedBudget | None) -> list[str]:
    """Return the names of submissions whose grade is known to be by another budget.

    Args:
        graded: Their grades.
        budget: What judges the class now; None if that is not known.
    """
    known = [(one.name, one.budget) for one in graded if one.budget]
    return [name for name, other in known if budget and other.digest != budget.digest]


def read_table_digest(folder: Path) -> str:
    """Return the digest of ``grades.csv`` as an earlier grading has written it; empty if unknown.

    Raises:
        GradingError: ``grades.json`` cannot be read.
    """
    path = folder / GRADES_JSON
    if not path.exists():
        return ""
    document = json.loads(read_regular(path, _MAX_BYTES, GradingError))
    return str(document.get("table_digest", ""))
