"""``netlet climb``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from netlet import records
from netlet.cli.datasets import check_outside_dataset, load_training_dataset
from netlet.cli.locate import Problems, input_files
from netlet.cli.log_option import Log, check_log
from netlet.cli.option_groups import LOCAL_WORKERS, WorkerOptions
from netlet.cli.options import (
    FORMATS,
    MAX_SEEDS,
    Channels,
    DataDir,
    DatasetToTrain,
    FirstSeed,
    Json,
    Trust,
    Val,
)
from netlet.cli.progress import show_workers
from netlet.cli.results import print_json, print_result, say
from netlet.errors import DamagedRecordError
from netlet.outputs import TEXT_MARK, check_output, check_output_folder, write_output
from netlet.text import format_table, quote_shell

if TYPE_CHECKING:
    from netlet.experiments import Experiment
    from netlet.records import Ladder, LadderResult, RunConfig, Rung


def ladder_names() -> list[str]:
    """Return what shell completion offers for a ladder."""
    from netlet.experiments import LADDERS

    return list(LADDERS)


def climb(
    ladder: Annotated[
        str,
        typer.Argument(
            metavar="LADDER",
            help="A ladder, experiments that are each compared with the one before: own or "
            "document_004, which come with netlet, or a .toml file.",
            autocompletion=ladder_names,
        ),
    ],
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", metavar="N", min=1, max=MAX_SEEDS, help="Number of seeds of each rung."
        ),
    ] = 3,
    first_seed: FirstSeed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Folder of the ladder; ladders/LADDER if not given."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="FILE",
            help=f"File to write the comparison to as well, {FORMATS}.",
        ),
    ] = None,
    where: WorkerOptions = LOCAL_WORKERS,
    dataset: DatasetToTrain = None,
    data_dir: DataDir = None,
    channels: Channels = None,
    val: Val = 0,
    log: Log = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Train a ladder of experiments and compare its rungs.

    Rungs that are finished are not trained again. Your own remarks on a rung, in RUNG/remarks.md of
    the ladder's folder, are put on the page, ladder.md. Exit code 1 if a rung has a damaged record;
    the other rungs are trained and compared.
    """
    where.prepare()

    from netlet import experiments
    from netlet.cli.training_progress import say_dropout, say_seeds, say_verdict
    from netlet.report.page import check_suffix

    where.check()
    logs = check_log(log)
    folder = out or Path("ladders") / Path(ladder).stem
    if page:
        check_suffix(page, "--page")
        check_output(page, "--page", input_files(ladder, folder))
    check_outside_dataset(folder, dataset)
    check_output_folder(folder)
    check_output(folder / records.PAGE, "--out", [Path(ladder)], "folder", TEXT_MARK)
    chosen = experiments.find_ladder(ladder)
    for rung in chosen.rungs:
        # An error in a later rung must not cost the earlier ones.
        experiments.build_experiment(rung, trust=trust)
        check_output_folder(folder / rung.name)
    images = load_training_dataset(dataset, data_dir, channels)

    def configure(experiment: Experiment) -> RunConfig:
        return experiments.configure_run(
            experiment,
            images,
            val=val,
            dataset=dataset,
            data_folder=data_dir,
            threads=where.threads_of_each,
        )

    numbers = range(first_seed, first_seed + seeds)
    planned = _plan_rungs(chosen, folder, configure, numbers, trust=trust)
    for experiment, _, left in planned.values():
        if left:  # a rung that cannot pass is known before the first one is trained
            say_verdict(experiment, images)

    def announce(rung: Rung) -> None:
        experiment, trained, left = planned[rung.name]
        say(f"{rung.name}: {rung.title}")
        say_dropout(experiment, images)
        say_seeds(experiment, images, val, trained, left)
        lines.begin(rung.name, len(trained), len(left))

    problems = Problems()
    with show_workers(folder) as lines:
        climbed = experiments.climb(
            chosen,
            folder,
            configure,
            numbers,
            where.count,
            announce,
            lines,
            trust=trust,
            on_problem=problems,
            data=images,
            on=where.on,
            log=logs,
        )
    _print(climbed, folder, page, json=json)
    raise typer.Exit(problems.exit_code)


class _PlannedRung(NamedTuple):
    """A rung that is to be climbed, and its seeds."""

    experiment: Experiment
    seeds: Sequence[int]
    left: Sequence[int]  # those that are not finished yet


def _plan_rungs(
    ladder: Ladder,
    folder: Path,
    configure: Callable[[Experiment], RunConfig],
    seeds: range,
    *,
    trust: bool,
) -> dict[str, _PlannedRung]:
    """Return what is to be trained for each rung, by its name; not of rungs with damaged records.

    Raises:
        RecordError: A rung's folder holds runs of another experiment.
    """
    from netlet.experiments import build_experiment
    from netlet.experiments.study import list_unfinished_seeds

    planned = {}
    for rung in ladder.rungs:
        experiment, numbers = build_experiment(rung, trust=trust), seeds[: rung.max_seeds]
        with contextlib.suppress(DamagedRecordError):  # reported when the ladder is climbed
            left = list_unfinished_seeds(configure(experiment), numbers, folder / rung.name)
            planned[rung.name] = _PlannedRung(experiment, numbers, left)
    return planned


def _print(climbed: LadderResult, folder: Path, extra: Path | None, *, json: bool) -> None:
    """Write the ladder's page and print its table."""
    from netlet import stats
    from netlet.report import ladder_page, write
    from netlet.report.ladder_page import rung_table

    page = folder / records.PAGE
    text = ladder_page(climbed, pictures=False).markdown
    write_output(page, f"<!-- {TEXT_MARK.decode()} -->\n{text}", what="folder")
    files = [page, *(write(ladder_page(climbed), extra) if extra else ())]
    if json:
        rungs = [
            {
                "rung": rung.name,
                "title": rung.title,
                "target": rung.target,
                "folder": str(folder / rung.name),
                **_without_images(stats.study_to_json(study)["result"]),
            }
            for rung, study in zip(climbed.ladder.rungs, climbed.studies, strict=True)
        ]
        names = [str(file) for file in files]
        print_json("climb", {"title": climbed.ladder.title, "files": names, "rungs": rungs})
        return
    head, rows, align = rung_table(climbed)
    print_result(format_table(head, rows, align), lines=True)
    more = "" if extra else f"; with figures: netlet report {quote_shell(folder)} -o ladder.html"
    print_result(f"written to {', '.join(str(file) for file in files)}{more}")


def _without_images(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's result without the list of its wrong images, which its record holds."""
    return {name: value for name, value in result.items() if name != "seeds_wrong_by_image"}
