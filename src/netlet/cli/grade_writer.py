"""What ``netlet grade`` writes: a report for each student at once, tables of all at the end."""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from netlet.cli.results import say
from netlet.errors import install_hint
from netlet.outputs import write_outputs
from netlet.text import dump_json

if TYPE_CHECKING:
    from netlet.classroom import Grade
    from netlet.classroom.examine import Examination
    from netlet.classroom.grades import GradedBudget
    from netlet.data import Dataset


def _has_results_of(path: Path, grade: Grade) -> bool:
    """Return whether a file has the results of a grade, and not those of another submission."""
    try:
        found = json.loads(path.read_bytes())["extra_data"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    same = found.get("submission", grade.name) == grade.name
    return bool(same and found.get("digest") == grade.digest)


class GradeWriter:
    """Writes each grade when it is known, so that an interrupted grading goes on where it was.

    Grades in the folder of submissions that are not among these stay.

    Args:
        out: The folder for grades and reports.
        data: The data set; its held-out split gave the scores.
        names: The names of the submissions.
        single: Whether there is only one, whose files are in the folder itself.
        title: The title of the assignment, for the reports.
        dropped: The names of earlier grades that no longer count.
        budget: What judges the class, by which the table marks grades by another one.

    Attributes:
        done: Number of submissions that are graded.
        kept: Number of those whose grade and files are those of an earlier grading.
        skipped: Number of those that were too slow before and not tried again.
        missing: The lines of the students without a submission, by its name; the tables list them.
        kept_table: Where the table of an earlier grading is that a person has changed, None if
            there is none.
        budget: What judges the class; None if nothing is compared with it.
        in_class: Whether the only submission is one of a class whose grades are in the folder.

    Raises:
        GradingError: Grades in the folder are not netlet's.
        OutputError: The folder cannot be written to.
    """

    def __init__(
        self,
        out: Path,
        data: Dataset,
        names: list[str],
        *,
        single: bool,
        title: str = "",
        dropped: Collection[str] = (),
        budget: GradedBudget | None = None,
    ) -> None:
        from netlet.classroom.earlier_grades import read_grades, read_table_digest
        from netlet.classroom.grade_files import REPORT, name_folders
        from netlet.data.disputed_labels import disputed_labels

        self._out, self._split, self._total = out, data.held_out, len(names)
        self._title, self.budget = title, budget
        self._disputed = disputed_labels(data.checksums, data.held_out.name)
        self._grades = {
            name: grade for name, grade in read_grades(out).items() if name not in dropped
        }
        self._others = self._grades.keys() - set(names)
        everyone = [*self._grades, *(name for name in names if name not in self._grades)]
        self._folders = name_folders(everyone)
        # A class that has been graded into this folder has the student's report in a subfolder.
        self.in_class = single and bool(
            self._others or (out / self._folders[names[0]] / REPORT).exists()
        )
        if single and not self.in_class:
            self._folders = {names[0]: "."}
        else:
            self._move_single()
        self._table_digest = read_table_digest(out)
        self.kept_table: Path | None = None
        self._figures = importlib.util.find_spec("matplotlib") is not None
        self.done = self.kept = self.skipped = 0
        self.missing: dict[str, dict[str, str]] = {}
        if not self._figures:
            say(f"netlet: warning: reports have no pictures; {install_hint('report')}")
        if self._grades:
            self.pause()  # what a killed grading has left

    def _move_single(self) -> None:
        """Move what a single submission has in the folder itself, before it gets those of others.

        Raises:
            OutputError: It cannot be moved.
        """
        from netlet.classroom.grade_files import REPORT, RESULTS
        from netlet.outputs.place import explain

        for name, grade in self._grades.items():
            folder = self._out / self._folders[name]
            if folder.exists() or not _has_results_of(self._out / RESULTS, grade):
                continue
            with explain(folder, "--out", "folder"):
                folder.mkdir()
                for file in (REPORT, Path(REPORT).stem, RESULTS):  # its pictures, too
                    if (self._out / file).exists():
                        (self._out / file).rename(folder / file)

    @property
    def known(self) -> dict[str, Grade]:
        """The grades so far by the name of the submission, earlier ones included."""
        return dict(self._grades)

    @property
    def sources(self) -> dict[str, str]:
        """For the name of each submission that has a grade, that of its file or folder."""
        return {name: grade.source for name, grade in self._grades.items()}

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

        grade = examination.grade
        folder = self._out / self._folders[grade.name]
        slow = kept and grade.exceeded_s is not None
        self.skipped += slow
        if kept and (folder / REPORT).exists() and _has_results_of(folder / RESULTS, grade):
            self.kept += not slow
            self.done += 1
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
        self.done += 1  # only now: an interruption before this loses the grade
        say(f"{self.done}/{self._total} {grade.name}: {grade.state}")

    def pause(self) -> None:
        """Write all grades that are known into ``grades.json``, which the next grading reads."""
        from netlet.classroom.file_kinds import GRADES_JSON
        from netlet.classroom.grade_files import grades_to_json
        from netlet.classroom.journal import remove_journal

        content = grades_to_json(list(self._grades.values()), table_digest=self._table_digest)
        write_outputs({self._out / GRADES_JSON: content}, what="folder")
        remove_journal(self._out)

    def finish(self, grades: list[Grade]) -> None:
        """Write the tables of the whole class, with the earlier grades of others.

        Args:
            grades: The grades of all submissions of this grading.
        """
        from netlet.classroom.file_kinds import GRADES_JSON
        from netlet.classroom.grade_files import (
            GRADES_CSV,
            digest_table,
            grades_to_csv,
            grades_to_json,
        )
        from netlet.classroom.journal import remove_journal

        everyone = [*grades, *self.others]
        if self._others:
            everyone.sort(key=lambda grade: grade.name)
        self._out.mkdir(parents=True, exist_ok=True)
        # Without the mark at its start, Excel takes the umlauts of UTF-8 for other letters.
        cells = grades_to_csv(
            everyone,
            self.missing,
            folders=self._folders,
            budget=self.budget,
            max_points=grades[0].max_points if grades else None,
        )
        table = f"\ufeff{cells}"
        digest = digest_table(table.encode())
        self._keep_changed_table(digest)
        document = grades_to_json(everyone, self.missing, table_digest=digest)
        write_outputs(
            {self._out / GRADES_CSV: table, self._out / GRADES_JSON: document}, what="folder"
        )
        remove_journal(self._out)

    def _keep_changed_table(self, new_digest: str) -> None:
        """Rename the table of an earlier grading if a person has changed it.

        Args:
            new_digest: The digest of the table that takes its place.
        """
        from netlet.classroom.grade_files import CHANGED_CSV, GRADES_CSV, digest_table

        path = self._out / GRADES_CSV
        if not self._table_digest or not path.is_file():
            return
        if digest_table(path.read_bytes()) in (self._table_digest, new_digest):
            return
        numbers = itertools.count(2)
        target = self._out / CHANGED_CSV.format("")
        while target.exists():
            target = self._out / CHANGED_CSV.format(f"-{next(numbers)}")
        path.rename(target)
        self.kept_table = target
