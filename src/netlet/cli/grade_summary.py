"""What ``netlet grade`` prints when all submissions are graded."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netlet.cli.results import print_result
from netlet.text import count_noun

if TYPE_CHECKING:
    from netlet.classroom import Grade
    from netlet.cli.grade_writer import GradeWriter


def print_summary(
    grades: Sequence[Grade],
    writer: GradeWriter,
    out: Path,
    *,
    unknown: Collection[str],
    uncorrected: Collection[str],
    namesakes: Mapping[str, Sequence[str]],
    renamed: Collection[str],
    other_totals: Collection[str],
) -> None:
    """Print the table of the grades, and what a teacher has to know of the class.

    Args:
        grades: The grades of this run.
        writer: What has written them.
        out: The folder of the grades.
        unknown: Names of submissions that are not on the roster.
        uncorrected: Names of submissions that are not graded now, and whose points or comment the
            roster has changed.
        namesakes: Students whose name others have, too, and the names of their submissions.
        renamed: Students whose submission has a longer name since a namesake has handed in.
        other_totals: Names of submissions whose points are corrected, and whose earlier grade was
            of another total.
    """
    from netlet.budgets.points import format_points
    from netlet.classroom.copies import find_copies
    from netlet.classroom.earlier_grades import find_other_budgets
    from netlet.classroom.grade_files import GRADES_CSV, format_grades
    from netlet.classroom.roster import find_correction
    from netlet.classroom.similar_names import suggest_names

    print_result(format_grades(grades), lines=True)
    everyone = [*grades, *writer.others]
    for line in find_copies(everyone).describe(everyone):
        print_result(line)
    with_number = {*itertools.chain(*namesakes.values())}
    strangers = set(unknown) - with_number
    absent = writer.missing.keys() - namesakes.keys()
    meant = suggest_names(strangers, absent) | suggest_names(absent, strangers)
    without = []
    for name, row in writer.missing.items():
        given = find_correction(row)
        points = "" if given.points is None else f", {format_points(given.points)} points"
        said = " ".join(filter(None, (meant.get(name), given.comment)))
        if points or said:
            print_result(f"{name}: no submission{points}{said and f'; {said}'}")
        else:
            without.append(name)
    if without:
        print_result(f"{', '.join(without)}: no submission")
    for student, called in sorted(namesakes.items()):
        dropped = "; the earlier grade without a number is dropped, its report stays"
        print_result(
            f"{student}: several students have this name; write {' or '.join(called)} on the "
            f"roster{dropped if student in renamed else ''}"
        )
    for name in uncorrected:
        print_result(
            f"{name}: the roster has new points or a new comment, but this run does not grade it; "
            "name it, or the whole class, to apply them"
        )
    if other_totals:
        total = format_points(grades[0].max_points)
        print_result(
            f"{', '.join(other_totals)}: corrected_points stay as they were, but the earlier grade "
            f"was not of {total} points; check them on the roster"
        )
    named = {*(grade.name for grade in grades), *with_number}
    unlisted = []
    for name in unknown:
        earlier = "" if name in named else f"--drop {shlex.quote(name)} drops its earlier grade"
        if advice := " ".join(filter(None, (meant.get(name), earlier))):
            print_result(f"{name}: is not on the roster; {advice}")
        else:
            unlisted.append(name)
    if unlisted:
        print_result(
            f"{', '.join(unlisted)}: {'is' if len(unlisted) == 1 else 'are'} not on the roster"
        )
    if writer.kept:
        kept = count_noun(writer.kept, "submission")
        print_result(f"{kept} unchanged since the last time; --again grades all")
    slow = sum(grade.exceeded_s is not None for grade in grades) - writer.skipped
    if writer.skipped:
        skipped = count_noun(writer.skipped, "submission")
        print_result(
            f"{skipped} too slow before and not tried again; raise --time-limit, or leave "
            "--skip-slow out"
        )
    if slow:
        print_result(
            f"{count_noun(slow, 'submission')} too slow; the next run tries again, unless you pass "
            "--skip-slow with the same budget and options"
        )
    if writer.others:
        others = count_noun(len(writer.others), "other submission")
        print_result(f"the earlier grades of {others} stay in the tables")
    if other_budgets := find_other_budgets(writer.others, writer.budget):
        earlier = count_noun(len(other_budgets), "earlier grade")
        print_result(
            f"{earlier} in the tables {'is' if len(other_budgets) == 1 else 'are'} by another "
            f"budget (see the column budget of {GRADES_CSV}); grade the whole class again"
        )
    if writer.kept_table:
        print_result(
            f"{GRADES_CSV} was changed after the last grading: what you changed is in "
            f"{writer.kept_table}; to correct points, use the columns corrected_points and comment "
            "of the roster"
        )
    if writer.in_class:
        print_result(f"{out} has the grades of a class: report and results are in its subfolder")
    print_result(f"grades and reports are in {out}")
