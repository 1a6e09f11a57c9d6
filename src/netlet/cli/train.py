"""``netlet train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet import budgets, recipes
from netlet.budgets import Budget
from netlet.cli.images import Channels, DataFolder, DatasetName, images_to_train_on
from netlet.cli.options import BudgetName, Json, RecipeName, Settings, Val, limited, overridden
from netlet.cli.results import result, say
from netlet.errors import NetError, TrainingError

if TYPE_CHECKING:
    from netlet.cli.progress import Narrator
    from netlet.records import Run

_OUT = Path("runs")


def train(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="An experiment or net of ours, file.py:Name or package.module:Name.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the run's folder is made.")
    ] = _OUT,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0)] = 0,
    dataset: DatasetName = None,
    data: DataFolder = None,
    channels: Channels = None,
    val: Val = 0,
    recipe: RecipeName = None,
    budget: BudgetName = None,
    accuracy_at_least: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="The budget's, of whichever data is trained on."),
    ] = None,
    set_: Settings = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Begin with these weights.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="RUN", help="Go on with the interrupted run in this folder."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Train a net, judge it by its budget and record the run; exit code 1 if it misses the budget."""
    chosen_recipe = recipes.find_recipe(recipe) if recipe else None
    chosen_budget = budgets.find_budget(budget) if budget else None

    from netlet.cli.progress import Narrator

    narrator = Narrator()
    if resume:
        told = (
            name,
            dataset,
            data,
            channels,
            recipe,
            budget,
            accuracy_at_least,
            set_ or None,
            weights,
        )
        if any(given is not None for given in told) or seed or val or out != _OUT:
            raise TrainingError(
                f"--resume takes everything from {resume}; leave away what else you gave"
            )
        folder, run = resume, _go_on(resume, threads, narrator)
    else:
        import torch

        from netlet.analysis import check
        from netlet.experiments import DEFAULT, RunConfig, find_experiment
        from netlet.nets import build, load_weights, weights_digest
        from netlet.training import Recorder

        experiment = find_experiment(name or DEFAULT).replace(
            recipe=chosen_recipe, budget=chosen_budget
        )
        experiment = experiment.replace(
            recipe=overridden(experiment.recipe, set_ or []),
            budget=_with_bar(experiment.budget, accuracy_at_least),
        )
        if threads:
            torch.set_num_threads(threads)
        images = images_to_train_on(dataset, data, channels)
        net = build(experiment.net.builder, seed, images.shape, images.classes)
        if weights:
            load_weights(net, weights)
        say(str(check(net, experiment.budget, images.shape, experiment.recipe.epochs)))
        label = "" if images.name == "mnist" else f"-{images.name}"
        folder = out / folder_name(out, f"{experiment.name}{label}-seed{seed}")
        began_with = weights_digest(net) if weights else ""
        threads = torch.get_num_threads()
        assignment = RunConfig.of(experiment, seed, val, images, dataset, data, threads, began_with)
        recorder = Recorder(folder, assignment.to_dict(), or_next=True)
        with narrator.telling_how_to_resume(recorder):
            run = experiment.run(
                images,
                seed,
                val=val,
                listeners=[narrator, recorder],
                start=net,
                began_with=began_with,
            )
        folder = recorder.folder
    if json:
        result(run.to_json())
    else:
        result(str(run.verdict))
        result(f"best epoch {run.best_epoch.epoch}: {run.best_epoch.score} (shown, not judged)")
        total_s, train_s = (run.times[clock] for clock in ("total_s", "train_s"))
        data, step = run.data["name"], run.backend
        result(
            f"{total_s:.1f} s, of which {train_s:.1f} s training on {data} ({step} step); recorded in {folder}"
        )
    raise typer.Exit(1 if run.verdict and run.verdict.failed else 0)


def _go_on(folder: Path, threads: int | None, narrator: Narrator) -> Run:
    """Finish an interrupted run; of a finished one, give the record."""
    import torch

    from netlet import records
    from netlet.experiments import RunConfig
    from netlet.training import Recorder, load_checkpoint

    if (folder / records.RECORD).is_file():
        say(f"{folder}: the run is finished")
        return records.load_run(folder)
    checkpoint, plain = load_checkpoint(folder)
    assignment = RunConfig.from_dict(plain, folder)
    threads = threads or assignment.threads
    torch.set_num_threads(threads)
    if threads != assignment.threads:
        say(
            f"netlet: warning: {threads} threads instead of {assignment.threads}: the last bits may differ"
        )
    experiment, images = assignment.experiment(), assignment.images()
    say(
        f"going on with {folder} after {len(checkpoint.epochs)} of {experiment.recipe.epochs} epochs"
    )
    recorder = Recorder(folder, plain, resumed=True)
    with narrator.telling_how_to_resume(recorder):
        return experiment.run(
            images,
            assignment.seed,
            val=assignment.val,
            began_with=assignment.began_with,
            resume=checkpoint,
            listeners=[narrator, recorder],
        )


def _with_bar(budget: Budget, accuracy_at_least: float | None) -> Budget:
    """A bar that a person gives is meant for the data at hand, whichever it is."""
    if accuracy_at_least is None:
        return budget
    return limited(
        budget.replace(name=f"{budget.name} (changed)", dataset=None),
        {"accuracy_at_least": accuracy_at_least},
    )


def folder_name(out: Path, name: str) -> str:
    """A run's name as that of a folder."""
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out}: is a file; name a folder with --out")
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name).strip(
        "._"
    )
    if not safe:
        raise NetError(f"{name!r} makes no folder name")
    return safe
