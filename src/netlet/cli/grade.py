"""``netlet grade``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from netlet import catalog
from netlet.budgets import Budget, is_budget_file
from netlet.budgets.class_file import CLAIMED_RECIPE, ClassFile, read_class_file
from netlet.budgets.dataset_names import DATASETS
from netlet.cli.datasets import check_outside_dataset, load_dataset, say_repeated_images
from netlet.cli.grade_options import (
    Again,
    BudgetName,
    Drop,
    FirstSeed,
    NetPattern,
    Out,
    Points,
    Retrain,
    Roster,
    Seeds,
    Single,
    SkipSlow,
    Submissions,
    TimeLimit,
    Trust,
    WeightsPattern,
    Where,
    Workers,
)
from netlet.cli.interruption import INTERRUPTED, say_interrupted
from netlet.cli.options import DataDir, DatasetOfBudget, Json
from netlet.cli.progress import show_progress
from netlet.cli.results import print_json, say
from netlet.errors import BudgetError, GradingError
from netlet.locks import lock_folder
from netlet.outputs import check_output_folder
from netlet.processor_load import cpu_cores

if TYPE_CHECKING:
    from netlet.classroom import Grade, GradingSettings, Submission
    from netlet.classroom.examine import Examination
    from netlet.cli.grade_writer import GradeWriter
    from netlet.data import Dataset

_WORKERS_ELSEWHERE = 16  # at the same time; each has 25 MB of images


def grade(
    submissions: Submissions,
    budget: BudgetName,
    roster: Roster = None,
    net: NetPattern = None,
    weights: WeightsPattern = None,
    retrain: Retrain = None,
    seeds: Seeds = None,
    first_seed: FirstSeed = None,
    points: Points = None,
    time_limit: TimeLimit = None,
    out: Out = Path("grades"),
    workers: Workers = None,
    on: Where = None,
    dataset: DatasetOfBudget = None,
    data_dir: DataDir = None,
    single: Single = False,
    again: Again = False,
    skip_slow: SkipSlow = False,
    drop: Drop = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Grade the nets of a class against a budget, each in a sandbox.

    Exit code 0 if every verdict is PASS or NOT YET; else 1. Nets are scored with the submitted
    weights, or retrained with --retrain. The test labels never enter the sandbox. A TOML file may
    set net, weights, retrain, seeds, first_seed, points and time_limit in its table [grade], and
    the points of single limits and rules in [grade.points].
    """
    chosen = catalog.find_budget(budget)  # before torch is imported: a typo is answered at once
    options = ClassFile(net, weights, retrain, seeds, first_seed, points, time_limit)
    settings = _make_settings(budget, chosen, options, trust=trust)
    check_output_folder(out)
    check_outside_dataset(out, dataset)
    dataset = dataset or _find_dataset(chosen)

    from netlet import classroom
    from netlet.analysis import refuse_unknown_names
    from netlet.classroom import earlier_grades, grade_files
    from netlet.classroom.submissions import (
        find_missing,
        find_namesakes,
        find_renamed,
        find_unknown,
    )
    from netlet.cli.grade_summary import print_summary
    from netlet.cli.grade_writer import GradeWriter
    from netlet.experiments.execution import check_executor
    from netlet.sandbox import find_program

    check_executor(on)
    refuse_unknown_names(chosen)
    graded = earlier_grades.read_grades(out)
    earlier_grades.drop_grades(graded, drop or [], out)
    sources = {name: grade.source for name, grade in graded.items()}
    found = classroom.list_submissions(submissions, single=single, out=out, graded=sources)
    if roster is None:
        earlier_grades.refuse_missing_roster(graded.values(), out)
    rows = classroom.read_roster(roster) if roster else {}
    for name, student in earlier_grades.find_replaced(found, graded, rows).items():
        say(
            f"{name}: replaces the grade of {student}; to keep the grades of another class, name a "
            "folder for this one with --out"
        )
    for name in {*(drop or ())} & {one.name for one in found}:
        say(f"{name}: is among the submissions, so it is graded again; move it away to drop it")
    if trust:
        say("netlet: warning: --trust runs every submission with your rights and without a sandbox")
    elif not _is_elsewhere(on):
        find_program()
    images = load_dataset(dataset, data_dir)
    say_repeated_images(images, images.held_out)
    with lock_folder(out, "netlet grade"):
        names = [one.name for one in found]
        renamed = find_renamed(found, sources)
        dropped = {*renamed, *(drop or ())}
        writer = GradeWriter(
            out,
            images,
            names,
            single=single,
            title=chosen.title,
            dropped=dropped,
            budget=settings.identify_budget(),
        )
        alone = single and not writer.in_class
        missing = [] if alone else find_missing(rows, found, writer.sources)
        writer.missing = {name: rows[name] for name in missing}
        grades = _grade_class(
            found,
            settings,
            images,
            writer,
            roster=rows,
            before={} if again else writer.known,
            skip_slow=skip_slow,
            on=on,
            workers=workers,
        )
    if json:
        values = grade_files.grades_to_dict(grades, writer.missing, writer.others)
        print_json("grades", {**values, "folder": str(out)})
    else:
        print_summary(
            grades,
            writer,
            out,
            unknown=find_unknown(rows, writer.sources) if rows and not alone else [],
            uncorrected=earlier_grades.find_uncorrected(writer.others, rows),
            namesakes=find_namesakes(found, rows, {} if alone else writer.sources),
            renamed=renamed,
            other_totals=earlier_grades.find_other_totals(grades, graded, writer.missing),
        )
    raise typer.Exit(0 if all(one.state in ("PASS", "NOT YET") for one in grades) else 1)


def _is_elsewhere(on: str | None) -> bool:
    """Return whether submissions run on other machines; on this one no worker is needed."""
    return on not in (None, "local")


def _count_workers(wanted: int | None, submissions: int) -> int:
    from netlet.classroom import limit_workers

    count = limit_workers(wanted or min(cpu_cores(), submissions))
    if wanted and count < wanted:
        say(
            f"netlet: warning: {wanted} submissions at a time need more memory than is free; "
            f"grading {count} at a time"
        )
    return count


def _grade_class(
    found: list[Submission],
    settings: GradingSettings,
    images: Dataset,
    writer: GradeWriter,
    *,
    on: str | None,
    workers: int | None,
    **options: Any,
) -> list[Grade]:
    """Grade all submissions and write the grades; Ctrl-C ends the command."""
    from netlet.classroom import grade_submissions
    from netlet.experiments.execution import open_executor

    with ExitStack() as opened:
        if _is_elsewhere(on):
            workers = workers or min(_WORKERS_ELSEWHERE, len(found))
            options["executor"] = opened.enter_context(open_executor(on, workers, say=say))
        else:
            workers = _count_workers(workers, len(found))
        bar = opened.enter_context(show_progress("grading", unit=" submissions"))

        def on_grade(examination: Examination, kept: bool) -> None:
            writer.take(examination, kept)
            bar(writer.done, len(found))

        try:
            grades = grade_submissions(
                found, settings, images, workers=workers, on_grade=on_grade, **options
            )
        except KeyboardInterrupt as stop:
            writer.pause()
            say_interrupted(
                f"interrupted after {writer.done} of {len(found)} submissions; the same command "
                "grades the others"
            )
            raise typer.Exit(INTERRUPTED) from stop
    writer.finish(grades)
    return grades


def _find_dataset(budget: Budget) -> str:
    """Return the data set that a budget is for.

    Raises:
        BudgetError: It is neither a public data set nor in the working folder.
    """
    name = budget.dataset or "mnist"
    if name not in DATASETS and not os.path.lexists(name):
        raise BudgetError(
            f"{budget.name}: its dataset {name!r} is neither a public data set nor in this folder; "
            "pass the path with --dataset"
        )
    return name


def _make_settings(
    name: str, budget: Budget, options: ClassFile, *, trust: bool
) -> GradingSettings:
    from netlet.classroom import GradingSettings

    named_weights, named_seeds = options.weights, options.seeds
    if is_budget_file(name):
        options = options.fill_from(read_class_file(Path(name)))
    if options.retrain and named_weights:
        raise GradingError(
            "--retrain (or retrain in [grade]) trains new weights; leave out --weights"
        )
    retrain, seeds = options.retrain, options.seeds or 1
    recipe = catalog.find_recipe(retrain) if retrain not in (None, CLAIMED_RECIPE) else None
    if not retrain and seeds > 1:
        if named_seeds is None:
            raise GradingError(
                f"{name}: seeds in [grade] is for retrain; add retrain = 'quick', for example, or "
                "leave seeds out"
            )
        raise GradingError("--seeds is for --retrain; add it, or leave out --seeds")

    first = options.first_seed or 0
    return GradingSettings(
        budget=budget,
        net=options.net,
        weights=options.weights,
        retrain=recipe or (CLAIMED_RECIPE if retrain else None),
        seeds=tuple(range(first, first + seeds)),
        points=options.find_points(budget),
        limit_points=options.limit_points or {},
        time_limit_s=options.time_limit,
        trust=trust,
    )
