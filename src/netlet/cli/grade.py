"""``netlet grade``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet import catalog
from netlet.budgets import Budget, is_budget_file
from netlet.budgets.class_file import CLAIMED_RECIPE, ClassFile, read_class_file
from netlet.cli.datasets import check_outside_dataset, load_dataset
from netlet.cli.options import (
    MAX_SEED,
    MAX_SEEDS,
    DataDir,
    DatasetOfBudget,
    Json,
    budget_names,
    recipe_names,
    workers_option,
)
from netlet.cli.progress import show_progress
from netlet.cli.results import print_json, say
from netlet.errors import GradingError
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
    submissions: Annotated[
        list[Path],
        typer.Argument(
            metavar="SUBMISSIONS",
            help="Folder with a .py file, notebook, folder or .zip per student; or name these.",
        ),
    ],
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            metavar="NAME",
            help="Budget that judges every submission: a name ('netlet list --budgets') or a TOML "
            "file.",
            autocompletion=budget_names,
        ),
    ],
    roster: Annotated[
        Path | None,
        typer.Option(
            "--roster",
            metavar="FILE",
            help="CSV file with the columns submission and student, and optionally the claims "
            "accuracy, parameters and epochs.",
        ),
    ] = None,
    net: Annotated[
        str | None,
        typer.Option(
            "--net",
            metavar="PATTERN",
            help="Where the net is, like model.py:Net; searched for if not given.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="PATTERN",
            help="Which file holds the weights, like *.pt; the only such file if not given.",
        ),
    ] = None,
    retrain: Annotated[
        str | None,
        typer.Option(
            "--retrain",
            metavar="RECIPE",
            help="Retrain every net with this recipe ('netlet list --recipes') instead of scoring "
            "the submitted weights; 'claim' takes the recipe from the submission's claim.toml, "
            "run.json or netlet.toml.",
            autocompletion=lambda: [CLAIMED_RECIPE, *recipe_names()],
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            min=1,
            max=MAX_SEEDS,
            help="Number of seeds to retrain with; 1 if not given.",
        ),
    ] = None,
    first_seed: Annotated[
        int | None,
        typer.Option(
            "--first-seed",
            metavar="S",
            min=0,
            max=MAX_SEED - MAX_SEEDS,
            help="Retrain with seeds S, S+1, S+2, ...; S is 0 if not given. The run of median "
            "accuracy counts.",
        ),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            metavar="N",
            min=1,
            max=1_000_000,
            help="Points for meeting all limits and rules; 100 if not given. Each is worth the "
            "same, unless [grade.points] of the budget's file says otherwise.",
        ),
    ] = None,
    time_limit: Annotated[
        int | None,
        typer.Option(
            "--time-limit",
            metavar="SECONDS",
            min=5,
            max=86_400,
            help="Time for each submission and seed; 120 if not given, 1800 to retrain.",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the grades and the reports."),
    ] = Path("grades"),
    workers: Annotated[
        int | None,
        workers_option(
            "Number of submissions to grade at the same time, each with 4.25 GiB of free memory; "
            "if not given, one per CPU core as far as memory allows, or with --on ray up to 16."
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="WHERE",
            help="Where to run the submissions: local (this machine; the default), or ray or "
            "ray://HOST:PORT for a Ray cluster whose nodes also have a sandbox (docs/grading.md).",
        ),
    ] = None,
    dataset: DatasetOfBudget = None,
    data_dir: DataDir = None,
    single: Annotated[
        bool,
        typer.Option(
            "--single",
            help="SUBMISSIONS is one submission; DIR/results.json is what Gradescope reads. If DIR "
            "has the grades of a class, the submission is graded as one of that class.",
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also regrade unchanged submissions.")
    ] = False,
    skip_slow: Annotated[
        bool,
        typer.Option(
            "--skip-slow",
            help="Skip unchanged submissions that already exceeded this --time-limit or a longer "
            "one.",
        ),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Run the submissions without a sandbox; their code can then read and delete your "
            "files.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Grade the nets of a class against a budget, each in a sandbox.

    Exit code 0 if every submission passes, or is NOT YET because its weights or its claim are
    missing; else 1. Nets are scored with the submitted weights, or retrained with --retrain. The
    test labels never enter the sandbox. A TOML file may set net, weights, retrain, seeds,
    first_seed, points and time_limit in its table [grade], and the points of single limits and
    rules in [grade.points].
    """
    chosen = catalog.find_budget(budget)  # before torch is imported: a typo is answered at once
    options = ClassFile(net, weights, retrain, seeds, first_seed, points, time_limit)
    settings = _make_settings(budget, chosen, options, trust=trust)
    check_output_folder(out)
    check_outside_dataset(out, dataset)
    dataset = dataset or chosen.dataset or "mnist"

    from netlet import classroom
    from netlet.analysis import refuse_unknown_names
    from netlet.classroom import earlier_grades, grade_files
    from netlet.classroom.submissions import find_missing, find_renamed, find_unknown
    from netlet.cli.grade_summary import print_summary
    from netlet.cli.grade_writer import GradeWriter
    from netlet.experiments.execution import check_executor
    from netlet.sandbox import find_program

    check_executor(on)
    refuse_unknown_names(chosen)
    graded = earlier_grades.read_grades(out)
    found = classroom.list_submissions(submissions, single=single, out=out, graded=graded)
    if roster is None:
        earlier_grades.refuse_missing_roster(graded.values(), out)
    rows = classroom.read_roster(roster) if roster else {}
    if trust:
        say("netlet: warning: --trust runs every submission with your rights and without a sandbox")
    elif not _is_elsewhere(on):
        find_program()
    images = load_dataset(dataset, data_dir)
    with lock_folder(out, "netlet grade"):
        names = [one.name for one in found]
        renamed = find_renamed(found, graded)
        writer = GradeWriter(out, images, names, single=single, title=chosen.title, renamed=renamed)
        alone = single and not writer.in_class
        missing = [] if alone else find_missing(rows, found, writer.known)
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
        unknown = find_unknown(rows, writer.known) if rows and not single else []
        uncorrected = earlier_grades.find_uncorrected(writer.others, rows)
        print_summary(grades, writer, out, unknown=unknown, uncorrected=uncorrected)
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
            say(
                f"interrupted after {writer.done} of {len(found)} submissions; the same command "
                "grades the others"
            )
            raise typer.Exit(130) from stop
    writer.finish(grades)
    return grades


def _make_settings(
    name: str, budget: Budget, options: ClassFile, *, trust: bool
) -> GradingSettings:
    from netlet.classroom import GradingSettings

    named_weights, named_seeds = options.weights, options.seeds
    if is_budget_file(name):
        options = options.fill_from(read_class_file(Path(name)))
    if options.retrain and named_weights:
        raise GradingError("--retrain trains new weights; leave --weights out")
    retrain, seeds = options.retrain, options.seeds or 1
    recipe = catalog.find_recipe(retrain) if retrain not in (None, CLAIMED_RECIPE) else None
    if not retrain and seeds > 1:
        if named_seeds is None:
            raise GradingError(
                f"{name}: seeds in [grade] is for retrain; add retrain = 'quick', for example, or "
                "leave seeds out"
            )
        raise GradingError("--seeds is for --retrain; add it, or leave --seeds out")

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
