"""``netlet frontier``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet import records
from netlet.cli.locate import Problems, input_files
from netlet.cli.options import FORMATS, Json, study_names
from netlet.cli.progress import show_phases
from netlet.cli.repository import find_studies_folders
from netlet.cli.results import print_json, print_result, say
from netlet.errors import RecordError
from netlet.outputs import check_output
from netlet.text import round_percentages

if TYPE_CHECKING:
    from netlet.stats import FrontierPoint, LocatedStudy


def frontier(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DIR|STUDY",
            help="Folders with studies, or names of studies that come with netlet; if none is "
            "given, all that come with netlet and those in the folder studies.",
            autocompletion=study_names,
        ),
    ] = None,
    params_below: Annotated[
        int | None,
        typer.Option(
            "--params-below",
            metavar="N",
            min=1,
            help="Show only nets with fewer than N parameters.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=f"File to write as well, {FORMATS}.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show accuracy on MNIST against parameters, with published nets.

    Studies that were scored on other images, and those of ladders, are left out. Exit code 1 if a
    record is damaged; the others are shown.
    """
    from netlet import stats
    from netlet.report.page import check_suffix

    if out:
        check_suffix(out)
        check_output(out, inputs=input_files(*(places or [])))
    problems = Problems()
    studies, folders = stats.split_places(_collect(_folders(places or []), problems))
    points = [*stats.measured_points(studies, folders), *stats.PUBLISHED_POINTS]
    points = [point for point in points if params_below is None or point.parameters < params_below]
    if not points:
        raise RecordError(
            f"no recorded or published net has fewer than {params_below:,} parameters; "
            "raise --params-below"
        )
    files: list[Path] = []
    if out:
        from netlet.report import frontier_page, write

        with show_phases() as on_progress:
            on_progress("drawing the frontier")
            files = write(frontier_page(points), out)
    _print(points, files, json=json)
    if not studies:
        say("no studies found; record one with 'netlet study NET', or name a folder that has some")
    reasons = [(study.name, stats.explain_left_out(study)) for study in studies]
    if left_out := Counter(f"{name} ({reason})" for name, reason in reasons if reason):
        names = (f"{name} {n} times" if n > 1 else name for name, n in left_out.items())
        say(
            f"left out: {', '.join(names)}; the frontier has nets without a teacher, scored on "
            "the test images of mnist"
        )
    raise typer.Exit(problems.exit_code)


def _folders(places: Sequence[str]) -> list[Path]:
    """Return the folders that the arguments mean; without arguments, where studies usually are."""
    shipped, known = records.shipped_studies_folder(), records.list_studies()
    if not places:
        return [shipped, *find_studies_folders()]
    return [
        shipped / place if place in known and not Path(place).exists() else Path(place)
        for place in places
    ]


def _collect(folders: Sequence[Path], problems: Problems) -> list[LocatedStudy]:
    """Load the studies below some folders; what cannot be read is reported on stderr."""
    from netlet import stats

    collected = [stats.collect_seed_records(folder) for folder in folders]
    studies, others = stats.group_into_studies(seed for seeds, _ in collected for seed in seeds)
    for problem in [*(problem for _, some in collected for problem in some), *others]:
        problems(problem)
    return studies


def _print(points: Sequence[FrontierPoint], files: Sequence[Path], *, json: bool) -> None:
    from netlet import stats

    if json:
        front = stats.pareto_front(points)
        rows = [
            round_percentages(_point_to_dict(point))
            | {"leads": point in front, "fronts": stats.name_fronts(point, points)}
            for point in points
        ]
        print_json("frontier", {"points": rows, "files": [str(file) for file in files]})
        return
    print_result(stats.frontier_text(points), lines=True)
    if files:
        print_result("")
        print_result(f"written to {files[0]}")


def _point_to_dict(point: FrontierPoint) -> dict[str, Any]:
    """Return a point as plain values, its epochs as a number where they are one."""
    epochs = int(point.epochs) if point.epochs.isdigit() else None
    return dataclasses.asdict(point) | {"epochs": epochs, "epochs_text": point.epochs}
