"""Grade a class: every submission on its own, whatever the others do."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from netlet import __version__
from netlet.analysis import refuse_unknown_names
from netlet.classroom.case import Case, shorten_problem
from netlet.classroom.examine import Examination, Examiner
from netlet.classroom.failed_tasks import (
    count_tries,
    explain_error,
    explain_failure,
    was_too_slow,
)
from netlet.classroom.grades import Grade, GradingSettings
from netlet.classroom.roster import find_correction, find_row, read_claim
from netlet.classroom.submissions import Submission, list_names
from netlet.classroom.submitted_files import copy_submission, digest_files, remove_copy
from netlet.data import Dataset
from netlet.errors import GradingError, SandboxError, warn
from netlet.sandbox import Limits, SandboxAnswer, SandboxTask, count_fitting, find_program, run_task
from netlet.scratch import scratch_folder
from netlet.text import dump_json

OnGrade = Callable[[Examination, bool], None]
Submit = Callable[[SandboxTask], Future[SandboxAnswer]]
_MOST_LETTERS = 2_000  # of the reason for an ERROR
_AHEAD = 2  # submissions that are prepared while others run
# Reasons of a sandbox without an answer that are due to the machine: graded again the next time.
_NOT_ITS_FAULT = ("machine", "stopped")


def limit_workers(workers: int) -> int:
    """Return how many of so many submissions can be graded at once on this machine.

    Each may fill the memory limit of a sandbox without taking memory from the others.
    """
    fitting = count_fitting(Limits())
    return workers if fitting is None else min(workers, fitting)


def grade_submissions(
    submissions: Sequence[Submission],
    settings: GradingSettings,
    data: Dataset,
    *,
    roster: Mapping[str, Mapping[str, str]] | None = None,
    before: Mapping[str, Grade] | None = None,
    skip_slow: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    on_grade: OnGrade | None = None,
) -> list[Grade]:
    """Grade submissions, each in a sandbox of its own.

    A submission that is broken, hangs or attacks gets an ERROR that says so, and the others are
    graded as if it were not there.

    Args:
        submissions: What the students have handed in.
        settings: The budget and how it is applied.
        data: The data set; its held-out split gives the scores, and its labels never enter a
            sandbox.
        roster: The lines of the roster by the name of the submission.
        before: Earlier grades by the same name. One is kept if neither the submission nor the
            settings have changed since, unless the submission was too slow.
        skip_slow: Whether to keep also the grade of a submission that was too slow, if the time
            limit has not been raised since.
        workers: Number of submissions to grade at the same time; fewer if their memory limits do
            not fit into the memory of this machine.
        executor: What runs the sandboxes, ``workers`` at the same time: any executor of
            ``concurrent.futures``, also of other machines, which need a sandbox program but no
            files; None: this process, whose threads wait for the sandboxes.
        on_grade: A function that is called in this thread with each examination, and whether the
            grade is the earlier one.

    Returns:
        The grades, in the order of the submissions.

    Raises:
        BudgetError: The budget names a kind of layer that does not exist.
        SandboxError: There is no sandbox program, and ``settings.trust`` is not set.
    """
    refuse_unknown_names(settings.budget)
    if executor is None and not settings.trust:
        find_program()
    grades: dict[str, Grade] = {}
    workers = limit_workers(workers) if executor is None else workers
    with scratch_folder() as folder, _open_workers(executor, workers) as submit:
        (folder / "images").mkdir()
        examiner = Examiner(settings, data, folder / "images")
        key = _digest_settings(settings, data)
        valid = _choose_valid(before or {}, settings, skip_slow=skip_slow)
        grader = _Grader(examiner, settings, key, roster or {}, valid, folder)
        with closing(_grade_all(grader, submissions, submit, workers + _AHEAD)) as examinations:
            for examination, kept in examinations:
                grades[examination.grade.name] = examination.grade
                if on_grade:
                    on_grade(examination, kept)
    return [grades[one.name] for one in submissions]


def _choose_valid(
    before: Mapping[str, Grade], settings: GradingSettings, *, skip_slow: bool
) -> dict[str, Grade]:
    """Return the earlier grades that count if nothing has changed; a slow machine may be faster."""
    return {
        name: grade
        for name, grade in before.items()
        if grade.exceeded_s is None or (skip_slow and settings.seconds_per_seed <= grade.exceeded_s)
    }


@contextmanager
def _open_workers(executor: Executor | None, workers: int) -> Iterator[Submit]:
    """Yield a function that submits tasks; if the block fails, those of this process are stopped.

    Sandboxes are processes already, so threads are enough to wait for those of this machine.
    """
    if executor is not None:
        yield partial(_submit_packed, executor)
        return
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield lambda task: pool.submit(run_task, task, stop=stop)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _submit_packed(executor: Executor, task: SandboxTask) -> Future[SandboxAnswer]:
    try:
        return executor.submit(run_task, task.pack())
    except Exception as error:  # an executor may be broken by an earlier task
        failed: Future[SandboxAnswer] = Future()
        failed.set_exception(error)
        return failed


def _grade_all(
    grader: _Grader, submissions: Sequence[Submission], submit: Submit, most: int
) -> Generator[tuple[Examination, bool]]:
    """Yield the examination of each submission, and whether its grade is an earlier one.

    Args:
        grader: What prepares and judges them.
        submissions: The submissions.
        submit: Runs a task.
        most: The largest number of tasks at once: each holds images in memory.
    """
    waiting = deque(enumerate(submissions))
    alone: deque[_Job] = deque()  # to be repeated when no other runs
    running: dict[Future[SandboxAnswer], _Job] = {}
    try:
        while waiting or running or alone:
            while waiting and len(running) < most:
                started = grader.start(*waiting.popleft())
                if isinstance(started, _Job):
                    running[submit(started.task)] = started
                else:
                    yield started
            if not running and alone:
                job = alone.popleft()
                running[submit(job.task)] = job
            done = wait(running, return_when=FIRST_COMPLETED).done
            for future in done:
                job = running.pop(future)
                if (examination := grader.finish(job, future)) is None:
                    alone.append(job)
                    why = (
                        "took too long" if was_too_slow(future.exception()) else "its worker failed"
                    )
                    text = f"{job.name}: {why}; will be retried alone"
                    warn(text)
                else:
                    yield examination, False
    finally:
        for future in running:
            future.cancel()


@dataclass
class _Job:
    """A submission that is being graded."""

    name: str
    case: Case | None  # None: it could not be prepared
    source: str  # the name of its file or folder
    row: Mapping[str, str]
    digest: str
    seconds: float  # that it took so far
    of_claim: tuple[str, ...] = ()  # what is wrong with its claim
    tries: int = 0

    @property
    def task(self) -> SandboxTask:
        """What the sandbox does."""
        assert self.case is not None
        return self.case.task


class _Grader:
    """Prepares and judges one submission after the other."""

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
        self._budget = settings.identify_budget()

    def start(self, number: int, submission: Submission) -> _Job | tuple[Examination, bool]:
        """Return a job with the task to run, or the examination and whether it is an earlier one.

        Args:
            number: The number of the submission, which names its copy.
            submission: The submission.
        """
        start, name, digest = time.perf_counter(), submission.name, ""
        row = find_row(self._roster, *list_names(name, submission.path.name))
        target = self._folder / f"submission-{number}"
        target.mkdir()
        try:
            left_out = copy_submission(submission, target)
            said = [*filter(None, [left_out.archive]), *left_out.twins]
            if left_out.weights and not self._settings.retrain:
                said.append(left_out.weights)
            digest = self._digest(digest_files(target), row, said)
            if earlier := self._find_earlier(name, digest):
                remove_copy(target)
                return earlier, True
            claim, problems = read_claim(target, row)
            problems = dataclasses.replace(problems, found=(*problems.found, *said))
            case = self._examiner.prepare(name, target, claim, problems)
        except Exception as error:  # whatever a file makes netlet do, the others are graded
            remove_copy(target)
            problem = explain_error(error, target)
            if isinstance(error, OSError):
                digest = ""  # the same submission is graded again: the next time it may be gone
            elif not digest:  # nothing was copied, and the problem is all that there is
                digest = self._digest(problem, row)
                if earlier := self._find_earlier(name, digest):
                    return earlier, True
            job = _Job(name, None, submission.path.name, row, digest, time.perf_counter() - start)
            return self._complete(job, self._fail(name, problem)), False
        spent = time.perf_counter() - start
        return _Job(name, case, submission.path.name, row, digest, spent, problems.found)

    def finish(self, job: _Job, future: Future[SandboxAnswer]) -> Examination | None:
        """Return the examination of a job whose task has ended; None: it has to be repeated.

        Args:
            job: The job.
            future: That of its task.

        Raises:
            SandboxError: Its worker has no sandbox program.
        """
        assert job.case is not None
        job.tries += 1
        start, error = time.perf_counter(), future.exception()
        if error is None:
            answer = future.result()
            job.seconds += answer.seconds
            try:
                examination = self._examiner.judge(job.case, answer)
            except GradingError as reason:
                examination = self._fail(job.name, "; ".join([*job.of_claim, str(reason)]))
        elif isinstance(error, SandboxError) and error.reason == "missing":
            raise error  # the others would end the same way
        elif job.tries < count_tries(error):
            return None
        else:
            if not isinstance(error, SandboxError) or error.reason in _NOT_ITS_FAULT:
                job.digest = ""
            problem = explain_failure(error, job.task.limits)
            problem = "; ".join(
                [*job.of_claim, shorten_problem(problem, job.case.folder, job.task.limits)]
            )
            examination = self._fail(job.name, problem)
            if was_too_slow(error):
                slow = examination.grade.replace(exceeded_s=float(self._settings.seconds_per_seed))
                examination = Examination(slow)
        remove_copy(job.case.folder)
        job.seconds += time.perf_counter() - start
        return self._complete(job, examination)

    def _complete(self, job: _Job, examination: Examination) -> Examination:
        grade = examination.grade.replace(
            student=job.row.get("student", ""),
            source=job.source,
            budget=self._budget,
            digest=job.digest,
            graded_on=date.today().isoformat(),  # where the teacher is
            seconds=round(job.seconds, 1),
        )
        return Examination(grade.correct(find_correction(job.row)), examination.evaluation)

    def _fail(self, name: str, problem: str) -> Examination:
        """Return the examination of a submission that cannot be judged."""
        return Examination(
            Grade(
                name=name,
                state="ERROR",
                points=0.0,
                max_points=float(self._settings.points),
                problem=problem[:_MOST_LETTERS],
            )
        )

    def _find_earlier(self, name: str, digest: str) -> Examination | None:
        """Return the earlier examination of a submission, if it is the same."""
        if (earlier := self._before.get(name)) and digest and earlier.digest == digest:
            return Examination(earlier.replace(budget=self._budget))
        return None

    def _digest(self, content: str, row: Mapping[str, str], said: Sequence[str] = ()) -> str:
        filled = {key: value for key, value in row.items() if value}
        text = f"{self._key} {content} {dump_json(filled)}{''.join(said)}"
        return hashlib.sha256(text.encode()).hexdigest()


def _digest_settings(settings: GradingSettings, data: Dataset) -> str:
    values = dump_json(settings.to_dict())
    text = f"{__version__} {values} {data.held_out.sha256()}"
    if settings.retrain:
        text += data.train.sha256()
    return hashlib.sha256(text.encode()).hexdigest()
