"""The command that makes a study again, from what its record holds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from netlet import budgets, recipes
from netlet.data import NAMES
from netlet.experiments import EXPERIMENTS
from netlet.records import plain
from netlet.studies import Study


def command_for(study: Study) -> str | None:
    """What to type; on the same processor and versions it gives the same weights.

    A name that the catalogue does not know (a ladder's step) is given as its net, recipe and budget.

    Returns:
        The command; None of a recipe or budget that was made in Python and that no options can say.
    """
    known = EXPERIMENTS.get(study.name)
    words = ["netlet", "study", study.name if known else study.net]
    if known is None or study.recipe != plain(known.recipe):
        options = _recipe(study.recipe)
        if options is None:
            return None
        words += options
    if study.budget is not None and (known is None or study.budget != plain(known.budget)):
        named = budgets.BUDGETS.get(study.budget["name"])
        if named is None or plain(named) != study.budget:
            return None
        words += ["--budget", named.name]
    words += ["--first-seed", str(study.seeds[0].seed), "--seeds", str(len(study.seeds))]
    if study.environment["threads"] != 1:
        words += ["--workers", "1", "--threads", str(study.environment["threads"])]
    if study.split == "val":
        words += ["--val", str(study.total)]
    if study.data["name"] != "mnist":
        own = study.data["name"] not in NAMES
        words += ["--dataset", "PATH" if own else study.data["name"]]
    return shlex.join(words)


def _recipe(values: Mapping[str, Any]) -> list[str] | None:
    """A recipe as options: the nearest of ours by name, and what differs from it; None where options cannot say it."""
    base = plain(recipes.RECIPES.get(values["name"].removesuffix(" (changed)"), recipes.STEADY))
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
    starts = {"": base} | {name: [plain(op) for op in ops] for name, ops in recipes.AUGMENTS.items()}
    for name, start in starts.items():
        chosen = ["--set", f"augment={name}"] if name else []
        if start == wanted:
            return chosen
        fields = [field for field in wanted[0] if wanted[0][field] != start[0][field]] if wanted and start else []
        # A field is set for all movements of an augmentation at once.
        if fields and [old | {field: wanted[0][field] for field in fields} for old in start] == wanted:
            return chosen + [word for field in fields for word in ("--set", f"augment.{field}={wanted[0][field]}")]
    return None
