"""What grading writes: a table, CSV, JSON and Gradescope's results."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from netlet.budgets import RuleResult, is_about_accuracy
from netlet.budgets.points import format_points
from netlet.classroom.copies import find_copies
from netlet.classroom.file_kinds import GRADES_JSON, JOURNAL
from netlet.classroom.grades import Grade, GradedBudget, Used, check_claim, format_earned
from netlet.classroom.notes_to_inspect import find_notes_to_inspect
from netlet.classroom.roster import find_correction
from netlet.classroom.submissions import compose
from netlet.files import safe_name
from netlet.text import dump_json, escape_controls, format_count, format_table

GRADES_CSV = "grades.csv"
CHANGED_CSV = "grades.changed{}.csv"  # a table that a person has changed, kept
REPORT, RESULTS = "report.md", "results.json"
SCHEMA = 1
_TITLES = (
    *("submission", "student", "verdict", "points", "max_points", "net", "parameters"),
    *("accuracy", "claimed_accuracy", "claimed_parameters", "claimed_epochs", "accuracy_moved_1px"),
    *("weights", "mean", "std", "same_as"),
)
_REASON = "reason"
_LAST_TITLES = ("source", "report", "budget")
NO_SUBMISSION = "NO SUBMISSION"  # the verdict of a student who has submitted nothing
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute such a cell
Missing = Mapping[str, Mapping[str, str]]  # their lines of the roster by the submission's name
_FULL_STOP = re.compile(r"(?<!\.)\.$")  # and no "..."


def format_grades(grades: Sequence[Grade]) -> str:
    """Return the table for the terminal."""
    rows = [
        (
            grade.name,
            grade.state,
            format_earned(grade, "/"),
            format_count(grade.parameters) if grade.parameters is not None else "-",
            f"{grade.score.percent:.2f}%" if grade.score else "-",
            "-" if grade.claim.accuracy is None else f"{grade.claim.accuracy:.2f}%",
            f"{grade.perturbed.percent:.2f}%" if grade.perturbed else "-",
        )
        for grade in grades
    ]
    titles = (
        *("submission", "verdict", "points", "parameters"),
        *("accuracy", "claimed accuracy", "moved 1 px"),
    )
    problems = [
        escape_controls(f"{grade.name}: {reason}")
        for grade in grades
        if (reason := explain_grade(grade))
    ]
    return "\n".join([format_table(titles, rows), *problems])


def explain_grade(grade: Grade) -> str:
    """Return in one line why a submission does not pass, and what its teacher should know.

    That is which points the teacher has changed, what is not as claimed, what may hide data or
    makes scores vary, which of several outputs was scored, which of several definitions of its net
    was graded, and the comment; empty if there is nothing to say.
    """
    missed = [
        ": ".join(filter(None, (_state(rule), find_advice(rule))))
        for rule in grade.rules
        if rule.state not in ("PASS", "NOT YET")
    ]
    measured = [grade.problem, *grade.warnings, *missed, *check_claim(grade)]
    measured += [*find_notes_to_inspect(grade.notes), grade.definitions]
    # What the teacher writes comes last, where it keeps its full stop.
    parts = [grade.describe_correction(), *measured, grade.comment]
    return _join(list(filter(None, parts)))


def _state(rule: RuleResult) -> str:
    """Return what was found by a rule that is missed, and its limit."""
    limit = "none are allowed" if rule.limit == "none" else rule.limit
    return f"{rule.title}: {rule.found}, {limit}"


def find_advice(rule: RuleResult) -> str:
    """Return in one line what would satisfy a missed rule, and what the budget says on it."""
    return _join([" ".join(text.split()) for text in (rule.remedy, rule.message) if text])


def _join(texts: Sequence[str]) -> str:
    """Join texts, of which those that people write may end with a full stop."""
    return "; ".join([*(_FULL_STOP.sub("", text) for text in texts[:-1]), *texts[-1:]])


def grades_to_csv(
    grades: Sequence[Grade],
    missing: Missing | None = None,
    *,
    folders: Mapping[str, str] | None = None,
    budget: GradedBudget | None = None,
    max_points: float | None = None,
) -> str:
    """Return a CSV file with a line for each submission.

    Args:
        grades: The grades.
        missing: The lines of the students on the roster who have submitted nothing; they have a
            line each at the end.
        folders: The folder of the report of each submission, within that of the grades.
        budget: What judges the class now; grades by another budget are marked. None: none are.
        max_points: What the task is worth in all now; None: as for the first grade.
    """
    rules = list(dict.fromkeys(title for grade in grades for title in _states(grade)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    copies = find_copies(grades)
    columns = [cell for rule in map(_cell, rules) for cell in (rule, f"{rule}, points")]
    writer.writerow([*_TITLES, *columns, _REASON, *_LAST_TITLES])
    for grade in grades:
        states = _states(grade)
        # Grades of earlier versions have no points for each rule.
        earned = {
            rule: format_points(one.points)
            for rule, one in zip(states, grade.rule_points, strict=False)
        }
        writer.writerow(
            [
                *map(_cell, (grade.name, grade.student, grade.state)),
                format_points(grade.points),
                format_points(grade.max_points),
                _cell(grade.net),
                _shown(grade.parameters),
                f"{grade.score.percent:.2f}" if grade.score else "",
                _shown(grade.claim.accuracy),
                _shown(grade.claim.parameters),
                _shown(grade.claim.epochs),
                f"{grade.perturbed.percent:.2f}" if grade.perturbed else "",
                *_cells_of(grade.used),
                _cell(copies.describe_one(grade.name)),
                *(cell for rule in rules for cell in (states.get(rule, ""), earned.get(rule, ""))),
                _cell(explain_grade(grade)),
                _cell(grade.source),
                _cell((folders or {}).get(grade.name, "")),
                _cell(_name_budget(grade, budget)),
            ]
        )
    if max_points is None and grades:
        max_points = grades[0].max_points
    most = "" if max_points is None else format_points(max_points)
    for name, row in (missing or {}).items():
        given = find_correction(row)
        points = format_points(given.points or 0)
        cells = [_cell(name), _cell(row["student"]), NO_SUBMISSION, points, most]
        empty = [""] * (len(_TITLES) + len(columns) - len(cells))
        reason = _join(["no submission", *([given.comment] if given.comment else [])])
        writer.writerow([*cells, *empty, _cell(reason), *([""] * len(_LAST_TITLES))])
    return text.getvalue()


def _name_budget(grade: Grade, now: GradedBudget | None) -> str:
    """Return the budget that judged a grade, marked if another one judges the class now."""
    if grade.budget is None:
        return ""
    if now is None or now.digest == grade.budget.digest:
        return grade.budget.name
    mark = "earlier version" if now.name == grade.budget.name else "another budget"
    return f"{grade.budget.name} ({mark})"


def _states(grade: Grade) -> dict[str, str]:
    """Return the state of each rule by the title of its column, which no other column has.

    A rule may be called like another column, such as ``parameters``; and a budget may have two
    rules on the same layers, such as ``Conv2d >= 3`` and ``Conv2d <= 5``.
    """
    found: dict[str, str] = {}
    taken = (*_TITLES, _REASON, *_LAST_TITLES)
    for rule in grade.rules:
        title = f"{rule.title} rule" if rule.title in taken else rule.title
        found[title if title not in found else f"{title}, {rule.limit}"] = rule.state
    return found


def _cells_of(used: Used | None) -> tuple[str, str, str]:
    if used is None:
        return "", "", ""
    return _cell(used.weights or ""), f"{used.mean:g}", f"{used.std:g}"


def _cell(text: str) -> str:
    """Return text that a spreadsheet shows and does not compute."""
    text = escape_controls(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def grades_to_dict(
    grades: Sequence[Grade],
    missing: Missing | None = None,
    others: Sequence[Grade] = (),
) -> dict[str, Any]:
    """Return the grades as plain values.

    Args:
        grades: The grades.
        missing: The lines of the students on the roster who have submitted nothing.
        others: Grades that are not among these, with which they are compared.
    """
    copies = find_copies([*grades, *others])
    values: dict[str, Any] = {"grades": [asdict(grade) for grade in grades]}
    values |= {"same_weights": copies.weights, "same_predictions": copies.predictions}
    if missing:
        values["missing"] = [
            {"name": name, "student": row["student"], **_list_decisions(row)}
            for name, row in missing.items()
        ]
    return values


def _list_decisions(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the points and the comment that a teacher gives to a student without submission."""
    return {key: value for key, value in asdict(find_correction(row)).items() if value}


def grades_to_json(
    grades: Sequence[Grade], missing: Missing | None = None, *, table_digest: str = ""
) -> str:
    """Return the file that a later grading reads, so that only what has changed is graded.

    Args:
        grades: The grades.
        missing: The students on the roster who have submitted nothing.
        table_digest: That of ``grades.csv``, by which a later grading sees that a person has
            changed it.
    """
    document = {"schema": SCHEMA, "kind": "grades", "table_digest": table_digest}
    return dump_json(document | grades_to_dict(grades, missing), indent=1) + "\n"


def digest_table(content: bytes) -> str:
    """Return the digest of ``grades.csv``."""
    return hashlib.sha256(content).hexdigest()


def to_gradescope(grade: Grade) -> dict[str, Any]:
    """Return the ``results.json`` of a Gradescope autograder, a test for each rule.

    See https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
    """
    trusted = grade.state != "REVIEW"
    tests = []
    for rule, points in zip(grade.rules, grade.rule_points, strict=True):
        found, advice = f"{rule.state}: {rule.found}", find_advice(rule)
        met = rule.state == "PASS" and (trusted or not is_about_accuracy(rule))
        tests.append(
            {
                "name": escape_controls(f"{rule.title}: {rule.limit}"),
                "score": points.points,
                "max_score": points.max_points,
                "status": "passed" if met else "failed",
                "output": escape_controls(f"{found}; {advice}" if advice else found),
                "output_format": "text",
            }
        )
    lines = [f"{grade.state}: {format_earned(grade, ' of ')} points"]
    lines += filter(None, [grade.describe_correction(), grade.comment, grade.problem])
    lines += [*grade.warnings, *grade.notes]
    return {
        "score": grade.points,
        "execution_time": round(grade.seconds),
        "output": "\n".join(map(escape_controls, lines)),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {
            "submission": grade.name,
            "digest": grade.digest,
            "netlet_schema": SCHEMA,
        },
    }


def name_folders(names: Sequence[str]) -> dict[str, str]:
    """Return a name for the folder of each submission; no two are the same on any system."""
    taken, found = {GRADES_CSV, GRADES_JSON, JOURNAL}, {}
    for name in names:
        folder = safe_name(compose(name))
        if not folder or folder.lower() in taken:
            mark = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
            folder = f"{folder or 'submission'}-{mark}"
        taken.add(folder.lower())
        found[name] = folder
    return found
