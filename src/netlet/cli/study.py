"""``netlet study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet import records
from netlet.cli.datasets import check_outside_dataset, load_training_dataset
from netlet.cli.log_option import Log, check_log
from netlet.cli.option_groups import LOCAL_WORKERS, WorkerOptions
from netlet.cli.options import (
    MAX_SEEDS,
    NET,
    BudgetName,
    Channels,
    DataDir,
    DatasetToTrain,
    Epochs,
    FirstSeed,
    Json,
    Judge,
    RecipeName,
    Settings,
    Val,
    net_names,
)
from netlet.cli.progress import show_workers
from netlet.cli.repository import (
    FIELDS_OF_TRAINING,
    Choice,
    apply_repository,
    default_folder,
    name_in_repository,
    require_net,
    studies_folder,
)
from netlet.cli.results import print_json, print_result
from netlet.outputs import check_output_folder

_SEEDS = 10  # if --seeds is not given


def study(
    net: Annotated[
        str | None, typer.Argument(metavar="NET", help=NET, autocompletion=net_names)
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            min=1,
            max=MAX_SEEDS,
            help="Number of seeds to train; 10 if not given.",
        ),
    ] = None,
    first_seed: FirstSeed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the study; if not given, studies/NET, on other data than mnist "
            "studies/NET-DATASET.",
        ),
    ] = None,
    where: WorkerOptions = LOCAL_WORKERS,
    dataset: DatasetToTrain = None,
    data_dir: DataDir = None,
    channels: Channels = None,
    val: Val = 0,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    budget: BudgetName = None,
    judge: Judge = None,
    set_: Settings = None,
    chosen_by: Annotated[
        Path | None,
        typer.Option(
            "--chosen-by",
            metavar="PATH",
            help="File, or folder of files, with the 'netlet search' trials that led to this net; "
            "seeds that these trials used are refused.",
        ),
    ] = None,
    log: Log = None,
    json: Json = False,
) -> None:
    """Train an experiment with several seeds and summarize the results.

    Exit code 1 if a seed misses the budget or a limit cannot be checked. Seeds that are finished
    in the same folder are not trained again; interrupted ones are resumed. In a folder with
    netlet.toml, missing options are taken from that file, unless NET comes with netlet and the file
    names another net.
    """
    given = Choice(net, budget, recipe, epochs, set_, dataset, seeds)
    choice = apply_repository(given, *FIELDS_OF_TRAINING, "seeds")
    require_net(choice)
    where.prepare()
    experiment, dataset = choice.configure(judge=judge), choice.dataset

    from netlet import stats
    from netlet.cli.training_progress import (
        describe_short_training,
        say_check,
        say_dropout,
        say_own_optimizer,
        say_seeds,
    )
    from netlet.experiments import configure_run, run_study
    from netlet.experiments.study import list_unfinished_seeds
    from netlet.nets import build

    where.check()
    logs = check_log(log)
    check_outside_dataset(out or studies_folder(), dataset)
    check_output_folder(out or studies_folder())
    numbers = range(first_seed, first_seed + (choice.seeds or _SEEDS))
    trials = records.read_trials(chosen_by, numbers) if chosen_by else None
    images = load_training_dataset(dataset, data_dir, channels, judge, val)
    folder = out or default_folder(experiment, images)
    config = configure_run(
        experiment,
        images,
        val=val,
        dataset=dataset,
        data_folder=data_dir,
        threads=where.threads_of_each,
    )
    if out is None:
        config = name_in_repository(config)
    if not (recipe or set_):  # who states the training knows
        say_own_optimizer(experiment)
    if left := list_unfinished_seeds(config, numbers, folder):
        built = build(experiment.net.builder, first_seed, images.shape, images.classes)
        say_check(built, experiment, images)
    say_dropout(experiment, images)
    say_seeds(experiment, images, val, numbers, left)
    with show_workers(folder) as lines:
        lines.begin(config.name, len(numbers), len(left))
        result = run_study(
            config, numbers, folder, where.count, lines, trials, data=images, on=where.on, log=logs
        )
    if json:
        print_json("study", {**stats.study_to_json(result), "folder": str(folder)})
    else:
        print_result(stats.study_text(result), lines=True)
        if text := describe_short_training(experiment, images, val):
            print_result(text)
        print_result(f"recorded in {folder / records.STUDY}")
    raise typer.Exit(1 if any(seed.verdict in ("FAIL", "UNKNOWN") for seed in result.seeds) else 0)
