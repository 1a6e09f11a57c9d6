"""Grade a class: every submission on its own, whatever the others do."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from netlet import __version__
from netlet.classroom.examine import Examination, Examiner
from netlet.classroom.grades import Grade, GradingSettings
from netlet.classroom.roster import read_claim
from netlet.classroom.submissions import (
    Submission,
    copy_submission,
    digest_files,
    remove_copy,
)
from netlet.data import Dataset
from netlet.errors import NetletError, SandboxError
from netlet.sandbox import find_program, run_without_sandbox
from netlet.scratch import scratch_folder
from netlet.text import dump_json

OnGrade = Callable[[Examination, bool], None]
_MOST_LETTERS = 2_000  # of the reason for an ERROR


def grade_submissions(
    submissions: Sequence[Submission],
    settings: GradingSettings,
    data: Dataset,
    *,
    roster: Mapping[str, Mapping[str, str]] | None = None,
    before: Mapping[str, Grade] | None = None,
    workers: int = 1,
    on_grade: OnGrade | None = None,
) -> list[Grade]:
    """Grade submissions, each in a sandbox of its own.

    A submission that is broken, hangs or attacks gets an ERROR that says so, and the others are
    graded as if it were not there. If the budget names a layer that does not exist, all get one.

    Args:
        submissions: What the students have handed in.
        settings: The budget and how it is applied.
        data: The data set; its held-out split gives the scores, and its labels never enter a
            sandbox.
        roster: The lines of the roster by the name of the submission.
        before: Earlier grades by the same name. One is kept if neither the submission nor the
            settings have changed since.
        workers: Number of submissions to grade at the same time.
        on_grade: A function that is called in this thread with each examination, and whether the
            grade is the earlier one.

    Returns:
        The grades, in the order of the submissions.

    Raises:
        SandboxError: There is no sandbox program, and ``settings.trust`` is not set.
    """
    program = run_without_sandbox() if settings.trust else find_program()
    grades: dict[str, Grade] = {}
    with scratch_folder() as folder, _stopping_pool(workers) as (pool, stop):
        (folder / "images").mkdir()
        examiner = Examiner(settings, data, folder / "images", program, stop)
        key = _digest_settings(settings, data)
        grader = _Grader(examiner, settings, key, roster or {}, before or {}, folder)
        waiting: set[Future[tuple[Examination, bool]]] = {
            pool.submit(grader.grade, number, one) for number, one in enumerate(submissions)
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                examination, kept = future.result()
                grades[examination.grade.name] = examination.grade
                if on_grade:
                    on_grade(examination, kept)
    return [grades[one.name] for one in submissions]


class _Grader:
    """Grades one submission after the other; used by several threads."""

    def __init__(
        self,
        examiner: Examiner,
        settings: GradingSettings,
        key: str,
        roster: Mapping[str, Mapping[str, str]],
        before: Mapping[str, Grade],
        folder: Path,
    ) -> None:
        self._examiner, self._settings, self._key = examiner, settings, key
        self._roster, self._before, self._folder = roster, before, folder

    def grade(self, number: int, submission: Submission) -> tuple[Examination, bool]:
        """Return the examination of a submission, and whether its grade is an earlier one."""
        start, name = time.perf_counter(), submission.name
        row = self._roster.get(name) or self._roster.get(submission.path.name, {})
        target, digest = self._folder / f"submission-{number}", ""
        target.mkdir()
        try:
            copy_submission(submission, target)
            digest = self._digest(target, row)
            earlier = self._before.get(name)
            if earlier is not None and digest and earlier.digest == digest:
                return Examination(earlier), True
            claim = read_claim(target, row)
            examination = self._examiner.examine(name, target, claim)
        except (NetletError, OSError) as error:
            if _is_of_the_machine(error):
                digest = ""  # the same submission is graded again
            examination = self._fail(name, str(error))
        except Exception as error:  # whatever a file makes netlet do, the others are graded
            problem = f"netlet failed on it ({type(error).__name__}: {error}); report this"
            examination = self._fail(name, problem)
        finally:
            remove_copy(target)
        grade = examination.grade.replace(
            student=row.get("student", ""),
            digest=digest,
            seconds=round(time.perf_counter() - start, 1),
        )
        return Examination(grade, examination.evaluation), False

    def _fail(self, name: str, problem: str) -> Examination:
        """Return the examination of a submission that cannot be judged."""
        return Examination(
            Grade(
                name=name,
                state="ERROR",
                points=0,
                max_points=self._settings.points,
                problem=problem[:_MOST_LETTERS],
            )
        )

    def _digest(self, folder: Path, row: Mapping[str, str]) -> str:
        text = f"{self._key} {digest_files(folder)} {dump_json(dict(row))}"
        return hashlib.sha256(text.encode()).hexdigest()


def _is_of_the_machine(error: Exception) -> bool:
    """Return whether an error says nothing about the submission: the next time it may be gone."""
    cause = error.__cause__
    return isinstance(error, OSError) or (
        isinstance(cause, SandboxError) and cause.reason in ("machine", "missing", "stopped")
    )


def _digest_settings(settings: GradingSettings, data: Dataset) -> str:
    values = dump_json(settings.to_dict())
    text = f"{__version__} {values} {data.held_out.sha256()}"
    if settings.retrain:
        text += data.train.sha256()
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _stopping_pool(workers: int) -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """Yield threads and an event that stops what they run; it is set if the block fails."""
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool, stop
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
