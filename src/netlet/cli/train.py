"""``netlet train``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.datasets import check_outside_dataset, load_training_dataset
from netlet.cli.log_option import Log, check_log, log_callbacks, say_logs
from netlet.cli.options import (
    NET,
    BudgetName,
    Channels,
    DataDir,
    DatasetToTrain,
    Epochs,
    Json,
    Judge,
    RecipeName,
    Seed,
    Settings,
    Trust,
    Val,
    net_names,
)
from netlet.cli.repository import (
    FIELDS_OF_TRAINING,
    Choice,
    apply_repository,
    default_folder,
    name_in_repository,
    runs_folder,
)
from netlet.cli.results import print_json, print_result, say
from netlet.cli.resume import resume_run
from netlet.cli.run_rows import find_resume_command
from netlet.cli.run_summary import summarize_run
from netlet.errors import NetletError, TrainingError
from netlet.outputs import check_output_folder
from netlet.processor_load import ProcessorLoad
from netlet.records import RECORD
from netlet.records.config import MAX_THREADS

if TYPE_CHECKING:
    from torch import nn

    from netlet.data import Dataset
    from netlet.experiments import Experiment
    from netlet.records import Run

_BUSY_PROCESSORS = 0.5  # by other programs; with fewer the number of threads stays as it is
_BESIDE_RESUME = ("resume", "threads", "log", "trust", "json")  # all other options are the run's


def train(
    ctx: typer.Context,
    net: Annotated[
        str | None, typer.Argument(metavar="NET", help=NET, autocompletion=net_names)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder to create for the run; if not given, runs/NET-seedN, on other data than "
            "mnist runs/NET-DATASET-seedN, or the next free name (-2, -3).",
        ),
    ] = None,
    seed: Seed = 0,
    dataset: DatasetToTrain = None,
    data_dir: DataDir = None,
    channels: Channels = None,
    val: Val = 0,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    budget: BudgetName = None,
    judge: Judge = None,
    accuracy_at_least: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="Require this accuracy in percent, like 99.4, on whatever data set is trained on.",
        ),
    ] = None,
    set_: Settings = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Start from these weights: a safetensors file, or a .pt file with a state_dict.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            max=MAX_THREADS,
            help="CPU threads; if not given, PyTorch's default, or 1 where that is faster because "
            "other programs use the CPU.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR",
            help="Resume the interrupted run in this folder bit-for-bit, with the options it was "
            "started with; only --threads, --log, --trust and --json may be added.",
        ),
    ] = None,
    log: Log = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Train a net, judge it by its budget and record the run.

    file.py:Name runs that file's code with your rights. In a folder with netlet.toml, missing
    options are taken from that file, unless NET comes with netlet and the file names another net.
    If no net is named, it is swift. Exit code 1 if a limit is missed or cannot be checked.
    """
    if resume:
        _refuse_beside_resume(ctx, net)
        folder, run = resume, resume_run(resume, threads, net, check_log(log), trust=trust)
    else:
        load = None if threads else ProcessorLoad()
        choice = apply_repository(
            Choice(net, budget, recipe, epochs, set_, dataset), *FIELDS_OF_TRAINING
        )
        experiment, dataset = choice.configure(accuracy_at_least, judge), choice.dataset
        _set_threads(threads)
        logs = check_log(log)
        check_outside_dataset(out or runs_folder(), dataset)
        _check_folder(out or runs_folder(), numbered=out is None)
        images = load_training_dataset(dataset, data_dir, channels, judge, val)
        place = out or default_folder(experiment, images, seed)
        if not (recipe or set_):  # who states the training knows
            from netlet.cli.training_progress import say_own_optimizer

            say_own_optimizer(experiment)
        options = {"seed": seed, "val": val, "dataset": dataset, "data_folder": data_dir}
        folder, run = _begin(
            experiment, images, weights, place, options, load, logs, numbered=out is None
        )
    if json:
        print_json("run", {**run.to_dict(), "folder": str(folder)})
    else:
        print_result(summarize_run(run, folder), lines=True)
    raise typer.Exit(1 if run.verdict and run.verdict.failed else 0)


def _refuse_beside_resume(ctx: typer.Context, net: str | None) -> None:
    """Refuse options that a resumed run takes from its checkpoint.

    Code that the run was started from may be named again: it runs only if the user names it.

    Raises:
        TrainingError: One of them was given.
    """
    from netlet.nets import is_user_code

    given = [
        str(param.metavar) if param.param_type_name == "argument" else param.opts[0]
        for param in ctx.command.params
        if param.name not in _BESIDE_RESUME
        and getattr(ctx.get_parameter_source(str(param.name)), "name", "") == "COMMANDLINE"
        and not (param.name == "net" and is_user_code(str(net)))
    ]
    if given:
        raise TrainingError(
            f"--resume uses the options that the run was started with; remove {', '.join(given)}"
        )


def _set_threads(threads: int | None) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


def _begin(
    experiment: Experiment,
    images: Dataset,
    weights: Path | None,
    folder: Path,
    options: Mapping[str, Any],
    load: ProcessorLoad | None,
    log: Sequence[str] = (),
    *,
    numbered: bool,
) -> tuple[Path, Run]:
    """Build, check and train a net.

    Args:
        experiment: The experiment with all changes.
        images: The data set to train and score on.
        weights: The weights to start from.
        folder: The folder of the run.
        options: ``seed``, ``val``, ``dataset`` and ``data_folder`` of ``configure_run``.
        load: The load of the processors so far, if the number of threads may depend on it.
        log: Names of logs.
        numbered: Whether to number the folder if its name is taken.

    Returns:
        The folder in which the run is recorded, and the run.
    """
    import torch

    from netlet.cli.training_progress import TrainingProgress, say_check
    from netlet.experiments import configure_run
    from netlet.experiments.same_start import warn_of_same_start
    from netlet.nets import build, load_weights, weights_digest
    from netlet.training import Recorder

    _check_folder(folder, numbered=numbered)
    net = build(experiment.net.builder, options["seed"], images.shape, images.classes)
    if weights:
        load_weights(net, weights)
    digest = weights_digest(net) if weights else ""
    if load and load.of_others() >= _BUSY_PROCESSORS:
        _adapt_threads(net, images, experiment)
    config = configure_run(
        experiment,
        images,
        threads=torch.get_num_threads(),
        initial_weights_digest=digest,
        **options,
    )
    if numbered:  # --out names no folder, so it is one of the repository
        config = name_in_repository(config)
    named = dataclasses.replace(experiment.net, name=config.net)
    experiment = dataclasses.replace(experiment, name=config.name, net=named)
    say_check(net, experiment, images)
    if config.seed and not weights:
        warn_of_same_start(config, (0, config.seed))
    recorder = Recorder(folder, config.to_dict(), next_free_name=numbered)
    progress, logs = TrainingProgress(), log_callbacks(log, recorder)
    with progress.hint_at_resume(recorder):
        run = experiment.run(
            images,
            options["seed"],
            val=options["val"],
            callbacks=[progress, recorder, *logs],
            start=net,
            initial_weights_digest=digest,
            progress=False,
        )
    say_logs(logs)
    return recorder.folder, run


def _adapt_threads(net: nn.Module, images: Dataset, experiment: Experiment) -> None:
    """Use one thread if that is faster beside other programs, and say so."""
    import torch

    from netlet.backends import choose_threads, find_device
    from netlet.training import resolve_precision

    device = find_device()
    if device.type != "cpu":
        return
    usual, recipe = torch.get_num_threads(), experiment.recipe
    threads = choose_threads(net, images, recipe, resolve_precision(recipe, device))
    if threads != usual:
        torch.set_num_threads(threads)
        say(
            f"other programs use the CPU, so training uses {threads} thread instead of {usual} "
            f"(pass --threads {usual} to use {usual})"
        )


def _check_folder(folder: Path, *, numbered: bool) -> None:
    """Refuse a folder that a run cannot be recorded in.

    Raises:
        OutputError: It, or a folder above it, is a file.
        TrainingError: It holds something, such as a run, and may not be numbered.
    """
    check_output_folder(folder)
    if numbered or not folder.is_dir() or not any(folder.iterdir()):
        return
    if (folder / RECORD).is_file():
        raise TrainingError(f"{folder}: holds a finished run; name another folder with --out")
    command = ""
    with suppress(NetletError):  # there is none, or it is damaged
        command = find_resume_command(folder)
    if command:
        raise TrainingError(
            f"{folder}: holds an unfinished run; resume it with '{command}', or name another "
            "folder with --out"
        )
    raise TrainingError(
        f"{folder}: is not empty; --out is the run's own folder, name a new one, like "
        f"{folder / 'seed-0'}"
    )
