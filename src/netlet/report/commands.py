"""The command that reproduces a study, from its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from netlet import catalog, recipes
from netlet.budgets import budget_from_json, to_toml
from netlet.data import DATASET_NAMES
from netlet.experiments import EXPERIMENTS
from netlet.files import safe_name
from netlet.nets import is_user_code
from netlet.records import Study, to_json_value
from netlet.records.data_contradictions import find_held_out
from netlet.text import quote_shell


def command_for(study: Study, budget_file: str = "") -> str | None:
    """Return the command that reproduces a study.

    On the same processor and with the same versions it gives the same weights. A study whose name
    is not an experiment of netlet's, such as a ladder's rung, is reproduced by its net, recipe and
    budget.

    Args:
        study: The study.
        budget_file: The name of the file with a budget that does not come with netlet, of
            :func:`budget_file_for`; empty if no such file is shown with the command.

    Returns:
        The command, one line for each range of consecutive seeds; None if no options express the
        study: a recipe made in Python, a budget without a file, or training that started from
        given weights, or on images held out by another draw or fold.
    """
    if study.initial_weights or find_held_out(study.data):
        return None
    known = EXPERIMENTS.get(study.name)
    if known is not None and known.net.name != study.net:
        known = None
    words = ["netlet", "study", study.name if known else study.net]
    if known is None or study.recipe != to_json_value(known.recipe):
        options = _list_recipe_options(study.recipe, in_catalog=not is_user_code(study.net))
        if options is None:
            return None
        words += options
    if study.budget is not None and (known is None or study.budget != to_json_value(known.budget)):
        options = _list_budget_options(study.budget)
        if options is None and not budget_file:
            return None
        words += options or ["--budget", budget_file]
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
        quote_shell(*words, "--first-seed", first, "--seeds", many)
        for first, many in _find_seed_ranges(study)
    )


def budget_file_for(study: Study) -> tuple[str, str] | None:
    """Return a TOML file with the budget of a study: its name and its content.

    Returns:
        The file; None if the budget comes with netlet, or if there is none.
    """
    known = EXPERIMENTS.get(study.name)
    if study.budget is None or _list_budget_options(study.budget) is not None:
        return None
    if known is not None and study.budget == to_json_value(known.budget):
        return None
    budget = budget_from_json(study.budget)
    return f"{safe_name(budget.name) or 'budget'}.toml", to_toml(budget)


def _find_seed_ranges(study: Study) -> list[tuple[int, int]]:
    """Return the ranges of consecutive seeds, each as its first seed and its length."""
    ranges: list[tuple[int, int]] = []
    for seed in study.seeds:
        if ranges and seed.seed == sum(ranges[-1]):
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
        else:
            ranges.append((seed.seed, 1))
    return ranges


def _list_budget_options(values: Mapping[str, Any]) -> list[str] | None:
    """Return options for a named budget, perhaps judged on another split; None if it is neither."""
    split = values["judged_on"]
    named = catalog.BUDGETS.get(values["name"].removesuffix(f" on {split}"))
    if named is None:
        return None
    if to_json_value(named) == values:
        return ["--budget", named.name]
    judged = named.replace(name=f"{named.name} on {split}", judged_on=split)
    return ["--budget", named.name, "--judge", split] if to_json_value(judged) == values else None


def _list_recipe_options(values: Mapping[str, Any], *, in_catalog: bool) -> list[str] | None:
    """Return options for a recipe: a named one and what differs from it; None if not possible.

    Args:
        values: The recipe.
        in_catalog: Whether it trains a net that comes with netlet.
    """
    # "steady with epochs=1"; ladders and older versions wrote "steady (changed)".
    name = values["name"].removesuffix(" (changed)").partition(" with ")[0]
    named = catalog.RECIPES.get(name, recipes.STEADY)
    base = recipes.complete_recipe(to_json_value(named.for_net(in_catalog=in_catalog)))
    values = recipes.complete_recipe(values)
    words = ["--recipe", base["name"]]
    for field, value in values.items():
        if field in ("name", "augment") or value == base.get(field):
            continue
        text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
        words += ["--set", f"{field}={text}"]
    augmentation = _list_augmentation_options(values["augment"], base["augment"])
    return None if augmentation is None else words + augmentation


def _list_augmentation_options(
    wanted: list[dict[str, Any]], base: list[dict[str, Any]]
) -> list[str] | None:
    if wanted == base:
        return []
    starts = {"": base} | {
        name: [to_json_value(op) for op in ops] for name, ops in recipes.AUGMENTS.items()
    }
    for name, start in starts.items():
        if start == wanted:
            return ["--set", f"augment={name}"]
    for name, start in starts.items():
        chosen = ["--set", f"augment={name}"] if name else []
        fields = (
            [field for field in wanted[0] if wanted[0][field] != start[0][field]]
            if wanted and start
            else []
        )
        # --set changes a field in all warps of an augmentation.
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
