"""What ``netlet grade`` writes: a report for each student at once, tables of all at the end."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from netlet.cli.results import say
from netlet.errors import install_hint
from netlet.outputs import write_outputs
from netlet.text import dump_json

if TYPE_CHECKING:
    from netlet.classroom import Grade
    from netlet.classroom.examine import Examination
    from netlet.data import Dataset


class GradeWriter:
    """Writes each grade when it is known, so that an interrupted grading goes on where it was.

    Grades in the folder of submissions that are not among these stay.

    Args:
        out: The folder for grades and reports.
        data: The data set; its held-out split gave the scores.
        names: The names of the submissions.
        single: Whether there is only one, whose files are in the folder itself.
        title: The title of the assignment, for the reports.

    Attributes:
        done: Number of submissions that are graded.
        kept: Number of those whose grade and files are those of an earlier grading.
        skipped: Number of those that were too slow before and not tried again.
        missing: The students without a submission, by its name; the tables list them.

    Raises:
        GradingError: Grades in the folder are not netlet's.
        OutputError: The folder cannot be written to.
    """

    def __init__(
        self, out: Path, data: Dataset, names: list[str], *, single: bool, title: str = ""
    ) -> None:
        from netlet.classroom.grade_files import name_folders, read_grades
        from netlet.data.disputed_labels import disputed_labels

        self._out, self._split, self._total = out, data.held_out, len(names)
        self._title = title
        self._disputed = disputed_labels(data.checksums, data.held_out.name)
        self._grades = read_grades(out)
        self._others = self._grades.keys() - set(names)
        everyone = [*self._grades, *(name for name in names if name not in self._grades)]
        self._folders = {names[0]: "."} if single else name_folders(everyone)
        self._figures = importlib.util.find_spec("matplotlib") is not None
        self.done = self.kept = self.skipped = 0
        self.missing: dict[str, str] = {}
        if not self._figures:
            say(f"netlet: warning: reports have no pictures; {install_hint('report')}")
        if self._grades:
            self.pause()  # what a killed grading has left

    @property
    def known(self) -> dict[str, Grade]:
        """The grades so far by the name of the submission, earlier ones included."""
        return dict(self._grades)

    @property
    def others(self) -> list[Grade]:
        """The earlier grades of submissions that are not among these."""
        return [grade for name, grade in self._grades.items() if name in self._others]

    def take(self, examination: Examination, kept: bool) -> None:
        """Write what one student gets, unless it is there already.

        Args:
            examination: The examination of a submission.
            kept: Whether its grade is an earlier one.
        """
        from netlet.classroom.grade_files import REPORT, RESULTS, to_gradescope
        from netlet.classroom.journal import append_grade
        from netlet.classroom.student_page import student_page
        from netlet.report import write

        self.done += 1
        grade = examination.grade
        folder = self._out / self._folders[grade.name]
        slow = kept and grade.exceeded_s is not None
        self.skipped += slow
        if kept and (folder / REPORT).exists() and (folder / RESULTS).exists():
            self.kept += not slow
            return
        folder.mkdir(parents=True, exist_ok=True)
        page = student_page(
            examination, self._split, self._disputed, title=self._title, figures=self._figures
        )
        write(page, folder / REPORT)
        results = dump_json(to_gradescope(grade), indent=1)
        write_outputs({folder / RESULTS: f"{results}\n"}, what="folder")
        append_grade(self._out, grade)
        self._grades[grade.name] = grade
        say(f"{self.done}/{self._total} {grade.name}: {grade.state}")

    def pause(self) -> None:
        """Write all grades that are known into ``grades.json``, which the next grading reads."""
        from netlet.classroom.grade_files import GRADES_JSON, grades_to_json
        from netlet.classroom.journal import remove_journal

        content = grades_to_json(list(self._grades.values()))
        write_outputs({self._out / GRADES_JSON: content}, what="folder")
        remove_journal(self._out)

    def finish(self, grades: list[Grade]) -> None:
        """Write the tables of the whole class, with the earlier grades of others.

        Args:
            grades: The grades of all submissions of this grading.
        """
        from netlet.classroom.grade_files import (
            GRADES_CSV,
            GRADES_JSON,
            grades_to_csv,
            grades_to_json,
        )
        from netlet.classroom.journal import remove_journal

        everyone = [*grades, *self.others]
        if self._others:
            everyone.sort(key=lambda grade: grade.name)
        self._out.mkdir(parents=True, exist_ok=True)
        write_outputs(
            {
                # Without the mark at its start, Excel takes the umlauts of UTF-8 for other letters.
                self._out / GRADES_CSV: f"\ufeff{grades_to_csv(everyone, self.missing)}",
                self._out / GRADES_JSON: grades_to_json(everyone, self.missing),
            },
            what="folder",
        )
        remove_journal(self._out)
