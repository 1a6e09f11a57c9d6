"""The command that makes a study again, from what its record holds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from netlet import budgets, recipes
from netlet.data import DATASET_NAMES
from netlet.experiments import EXPERIMENTS
from netlet.records import to_json_value
from netlet.records.study import Study


def command_for(study: Study) -> str | None:
    """What to type; on the same processor and versions it gives the same weights.

    A name that the catalogue does not know (a ladder's step) is given as its net, recipe and
    budget.

    Returns:
        The command, a line for each run of consecutive seeds; None of what no options of it can
        say: a recipe or budget made in Python, or weights that somebody gave to begin with.
    """
    if study.initial_weights_digest:
        return None
    known = EXPERIMENTS.get(study.name)
    if known is not None and known.net.name != study.net:
        known = None
    words = ["netlet", "study", study.name if known else study.net]
    if known is None or study.recipe != to_json_value(known.recipe):
        options = _recipe(study.recipe)
        if options is None:
            return None
        words += options
    if study.budget is not None and (known is None or study.budget != to_json_value(known.budget)):
        named = budgets.BUDGETS.get(study.budget["name"])
        if named is None or to_json_value(named) != study.budget:
            return None
        words += ["--budget", named.name]
    if study.environment["threads"] != 1:
        words += ["--workers", "1", "--threads", str(study.environment["threads"])]
    if study.split == "val":
        words += ["--val", str(study.total)]
    if study.data["name"] != "mnist":
        own = study.data["name"] not in DATASET_NAMES
        words += ["--dataset", "PATH" if own else study.data["name"]]
    if study.data["shape"][0] != 1:
        words += ["--channels", str(study.data["shape"][0])]
    return "\n".join(
        shlex.join([*words, "--first-seed", str(first), "--seeds", str(many)])
        for first, many in _runs_of_seeds(study)
    )


def _runs_of_seeds(study: Study) -> list[tuple[int, int]]:
    """The seeds as runs of consecutive numbers: the first and how many."""
    runs: list[tuple[int, int]] = []
    for seed in study.seeds:
        if runs and seed.seed == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((seed.seed, 1))
    return runs


def _recipe(values: Mapping[str, Any]) -> list[str] | None:
    """A recipe as options: the nearest of ours by name, and what differs from it; None where options cannot say it."""
    base = to_json_value(
        recipes.RECIPES.get(values["name"].removesuffix(" (changed)"), recipes.STEADY)
    )
    words = ["--recipe", base["name"]]
    for field, value in values.items():
        if field in ("name", "augment") or value == base.get(field):
            continue
        text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
        words += ["--set", f"{field}={text}"]
    augmentation = _augmentation(values["augment"], base["augment"])
    return None if augmentation is None else words + augmentation


def _augmentation(wanted: list[dict[str, Any]], base: list[dict[str, Any]]) -> list[str] | None:
    if wanted == base:
        return []
    starts = {"": base} | {
        name: [to_json_value(op) for op in ops] for name, ops in recipes.AUGMENTS.items()
    }
    for name, start in starts.items():
        chosen = ["--set", f"augment={name}"] if name else []
        if start == wanted:
            return chosen
        fields = (
            [field for field in wanted[0] if wanted[0][field] != start[0][field]]
            if wanted and start
            else []
        )
        # A field is set for all movements of an augmentation at once.
        if (
            fields
            and [old | {field: wanted[0][field] for field in fields} for old in start] == wanted
        ):
            return chosen + [
                word
                for field in fields
                for word in ("--set", f"augment.{field}={wanted[0][field]}")
            ]
    return None
