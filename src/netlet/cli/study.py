"""``netlet study``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from netlet import budgets, recipes, records
from netlet.cli.images import Channels, DataFolder, DatasetName, images_to_train_on
from netlet.cli.options import (
    BudgetName,
    FirstSeed,
    Json,
    RecipeName,
    Settings,
    Val,
    Workers,
    WorkerThreads,
    overridden,
)
from netlet.cli.results import result, result_json, say
from netlet.cli.train import folder_name

if TYPE_CHECKING:
    from netlet.experiments import WorkerEvent


def study(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An experiment or net, as for train.")
    ],
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="How many.")] = 10,
    first_seed: FirstSeed = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The study's folder; studies/NAME if not given."),
    ] = None,
    workers: Workers = None,
    threads: WorkerThreads = 1,
    dataset: DatasetName = None,
    data: DataFolder = None,
    channels: Channels = None,
    val: Val = 0,
    recipe: RecipeName = None,
    budget: BudgetName = None,
    set_: Settings = None,
    chosen_by: Annotated[
        Path | None,
        typer.Option(
            "--chosen-by",
            metavar="FILE",
            help="Trials that led to net and recipe, a line of JSON each: recorded, and their seeds are refused.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Train an experiment from several seeds, side by side, and sum up; exit code 1 if a seed misses the budget.

    What was finished before, in the same folder, is not trained again; what was interrupted goes
    on.
    """
    chosen_recipe = recipes.find_recipe(recipe) if recipe else None
    chosen_budget = budgets.find_budget(budget) if budget else None

    from netlet.experiments import RunConfig, find_experiment, run_study
    from netlet.stats import study_dict, study_text

    experiment = find_experiment(name).replace(recipe=chosen_recipe, budget=chosen_budget)
    experiment = experiment.replace(recipe=overridden(experiment.recipe, set_ or []))
    images = images_to_train_on(dataset, data, channels)
    label = "" if images.name == "mnist" else f"-{images.name}"
    folder = out or Path("studies") / folder_name(Path("studies"), f"{experiment.name}{label}")
    numbers = range(first_seed, first_seed + seeds)
    chosen = records.read_trials(chosen_by, numbers) if chosen_by else None
    assignment = RunConfig.of(experiment, 0, val, images, dataset, data, threads)
    with telling(folder) as lines:
        found = run_study(assignment, numbers, folder, workers or cores(), lines, chosen)
    if json:
        result_json(study_dict(found))
    else:
        result(f"{study_text(found)}\nrecorded in {folder / 'study.json'}")
    raise typer.Exit(1 if any(seed.verdict in ("FAIL", "UNKNOWN") for seed in found.seeds) else 0)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def telling(folder: Path) -> Iterator[Lines]:
    """Show what workers say; whoever interrupts them is told what is kept."""
    lines = Lines()
    try:
        yield lines
    except KeyboardInterrupt:
        lines.close()
        say(f"interrupted; what is finished stays in {folder}, and the same command does the rest")
        raise
    finally:
        lines.close()


class Lines:
    """Hears of a study: a line for each worker on a terminal, one for each finished seed elsewhere."""

    def __init__(self) -> None:
        self._bars: dict[int, tqdm[Any]] = {}

    def __call__(self, word: WorkerEvent) -> None:
        """Show what a worker says."""
        at = f"worker {word.worker + 1}: seed {word.seed}"
        if not sys.stderr.isatty():
            if word.finished or word.trouble:
                say(f"{at}: {word.trouble or word.score}")
            return
        if word.worker not in self._bars:
            self._bars[word.worker] = tqdm(
                position=word.worker, bar_format="{desc}", leave=False, file=sys.stderr
            )
        state = word.trouble or f"epoch {word.epochs}/{word.of} {word.score}"
        self._bars[word.worker].set_description_str(f"{at}: {state}")

    def close(self) -> None:
        """Take the lines away."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()
