"""``netlet train``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from netlet import budgets, recipes
from netlet.cli.options import Json, overridden
from netlet.errors import NetError, TrainingError


def train(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="An experiment or net of ours, file.py:Name or package.module:Name."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the run's folder is made.")] = Path("runs"),
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0)] = 0,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Where the data set lies.")] = None,
    val: Annotated[
        int, typer.Option("--val", metavar="N", min=0, help="Score N images held out of train instead of test.")
    ] = 0,
    recipe: Annotated[str | None, typer.Option("--recipe", metavar="NAME", help="Another recipe of ours.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", metavar="NAME", help="Another budget of ours.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, like epochs=5.")
    ] = None,
    weights: Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="Begin with these weights.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads.")] = None,
    json: Json = False,
) -> None:
    """Train a net, judge it by its budget and record the run; exit code 1 if it misses the budget."""
    chosen_recipe = recipes.named(recipe) if recipe else None
    chosen_budget = budgets.named(budget) if budget else None

    import torch

    from netlet import data as data_sets
    from netlet.anatomy import check
    from netlet.cli.progress import Narrator
    from netlet.experiments import DEFAULT, find_experiment
    from netlet.nets import build, load_weights
    from netlet.training import Recorder

    experiment = find_experiment(name or DEFAULT).but(recipe=chosen_recipe, budget=chosen_budget)
    experiment = experiment.but(recipe=overridden(experiment.recipe, set_ or []))
    if threads:
        torch.set_num_threads(threads)
    digits = data_sets.load(folder=data)
    net = build(experiment.net.builder, seed, digits.shape)
    if weights:
        load_weights(net, weights)
    narrator = Narrator()
    narrator.say(str(check(net, experiment.budget, digits.shape, experiment.recipe.epochs)))
    folder = _free_folder(out, f"{experiment.name}-seed{seed}")
    try:
        run = experiment.run(digits, seed, val=val, listeners=[narrator, Recorder(folder)], start=net)
    except KeyboardInterrupt:
        narrator.close()
        narrator.say(f"interrupted; what was finished is in {folder}")
        raise
    finally:
        narrator.close()
    if json:
        typer.echo(run.to_json(), nl=False)
    else:
        typer.echo(str(run.verdict))
        typer.echo(f"best epoch {run.best_epoch.epoch}: {run.best_epoch.score} (shown, not judged)")
        typer.echo(
            f"{run.times['total_s']:.1f} s, of which {run.times['train_s']:.1f} s training; recorded in {folder}"
        )
    raise typer.Exit(1 if run.verdict and run.verdict.failed else 0)


def _free_folder(out: Path, name: str) -> Path:
    """A folder that is not there yet: no run writes over another's."""
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out}: is a file; name a folder with --out")
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name).strip("._")
    if not safe:
        raise NetError(f"{name!r} makes no folder name")
    names = itertools.chain([safe], (f"{safe}-{k}" for k in itertools.count(2)))
    return next(out / name for name in names if not (out / name).exists())
