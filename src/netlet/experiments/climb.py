"""Climbing a ladder: the study of each step, one after the other, whatever is there already left as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from netlet import budgets, recipes, records
from netlet.errors import LadderError, RecipeError, did_you_mean
from netlet.experiments.catalogue import find_experiment
from netlet.experiments.config import RunConfig
from netlet.experiments.experiment import Experiment
from netlet.experiments.study import Heard, finished, run_study
from netlet.files import write_whole
from netlet.recipes import AUGMENTS, Recipe
from netlet.records.ladder import Climbed, Ladder, Rung

_HERE = Path(__file__).parent / "ladders"
LADDERS: Mapping[str, Path] = {path.stem: path for path in sorted(_HERE.glob("*.toml"))}


def find_ladder(name: str) -> Ladder:
    """One of ours, or that in somebody's TOML file.

    Raises:
        LadderError: There is none of that name, or it cannot be read.
    """
    if name in LADDERS:
        return records.load_ladder(LADDERS[name])
    if name.endswith(".toml"):
        return records.load_ladder(Path(name))
    raise LadderError(
        f"no ladder {name!r}; {did_you_mean(name, LADDERS)}there are: {', '.join(LADDERS)}, or name a .toml file"
    )


def experiment_of(rung: Rung) -> Experiment:
    """What a step trains, with its recipe's changes.

    Raises:
        NetletError: It names something that there is not, or a value out of range.
    """
    found = find_experiment(rung.experiment)
    recipe = recipes.find_recipe(rung.recipe) if rung.recipe else found.recipe
    if rung.changes:
        recipe = _changed(recipe, rung)
    budget = budgets.find_budget(rung.budget) if rung.budget else None
    return dataclasses.replace(found.replace(recipe=recipe, budget=budget), name=rung.name)


def climb(
    ladder: Ladder,
    folder: Path,
    assign: Callable[[Experiment], RunConfig],
    seeds: Sequence[int],
    workers: int,
    begins: Callable[[Rung], None] = lambda _: None,
    heard: Heard = lambda _: None,
) -> Climbed:
    """Run what is missing of a ladder.

    Args:
        ladder: Its steps are all looked up before the first is trained.
        folder: Gets a copy of the ladder and a study's folder for each step.
        assign: Gives what an experiment is to be trained on, and how.
        seeds: Of each step; of a step that asks for fewer, the first ones.
        workers: Processes that train side by side.
        begins: Hears of each step before it is run.
        heard: Hears each word of each worker.

    Raises:
        NetletError: As ``experiment_of`` and ``run_study`` raise it; what is finished stays.
    """
    assignments = [assign(experiment_of(rung)) for rung in ladder.rungs]
    for rung, assignment in zip(ladder.rungs, assignments, strict=True):
        finished(
            assignment, seeds[: rung.seeds], folder / rung.name
        )  # refuses what is there of something else
    write_whole(folder / records.LADDER, ladder.text)
    for rung, assignment in zip(ladder.rungs, assignments, strict=True):
        begins(rung)
        run_study(assignment, seeds[: rung.seeds], folder / rung.name, workers, heard)
    return records.load_climbed(folder)


def _changed(recipe: Recipe, rung: Rung) -> Recipe:
    changes = dict(rung.changes)
    if "augment" in changes:
        if not isinstance(changes["augment"], str) or changes["augment"] not in AUGMENTS:
            raise RecipeError(
                f"step {rung.name}: augment={changes['augment']!r} is not known; choose one of {', '.join(AUGMENTS)}"
            )
        changes["augment"] = AUGMENTS[changes["augment"]]
    return recipe.replace(**changes).replace(name=f"{recipe.name} (changed)")
