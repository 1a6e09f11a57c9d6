"""``netlet climb``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet import records
from netlet.cli.images import Channels, DataFolder, DatasetName, images_to_train_on
from netlet.cli.options import FirstSeed, Val, Workers, WorkerThreads
from netlet.cli.results import result, say
from netlet.cli.study import cores, telling
from netlet.files import write_whole

if TYPE_CHECKING:
    from netlet.experiments import Experiment, RunConfig


def climb(
    ladder: Annotated[str, typer.Argument(metavar="LADDER", help="One of ours, or a .toml file.")],
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="How many for each step.")
    ] = 3,
    first_seed: FirstSeed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The ladder's folder; ladders/LADDER if not given."
        ),
    ] = None,
    workers: Workers = None,
    threads: WorkerThreads = 1,
    dataset: DatasetName = None,
    data: DataFolder = None,
    channels: Channels = None,
    val: Val = 0,
) -> None:
    """Run what is missing of a ladder, and write its page: of each step target, results and analysis.

    A person's own words on a step, in STEP/remarks.md of the ladder's folder, go into the page.
    """
    from netlet import experiments
    from netlet.experiments import RunConfig
    from netlet.report.ladder_page import ladder_page, step_rows
    from netlet.text import table

    chosen = experiments.find_ladder(ladder)
    for rung in chosen.rungs:
        experiments.experiment_of(rung)  # what cannot be run is said before anything is
    images = images_to_train_on(dataset, data, channels)
    folder = out or Path("ladders") / Path(ladder).stem

    def assign(experiment: Experiment) -> RunConfig:
        return RunConfig.of(experiment, 0, val, images, dataset, data, threads)

    numbers = range(first_seed, first_seed + seeds)
    with telling(folder) as lines:
        found = experiments.climb(
            chosen,
            folder,
            assign,
            numbers,
            workers or cores(),
            lambda rung: say(f"{rung.name}: {rung.title}"),
            lines,
        )
    page = folder / records.PAGE
    write_whole(page, ladder_page(found, pictures=False).markdown)
    head, rows, align = step_rows(found)
    result(table(head, [[cell.strip("`") for cell in row] for row in rows], align))
    result(f"its page: {page}; with pictures: netlet report {folder} -o ladder.html")
