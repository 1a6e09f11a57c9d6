"""``netlet list``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from netlet import catalog
from netlet.budgets import Budget
from netlet.budgets.sentences import describe_limit
from netlet.cli.options import Json
from netlet.cli.results import print_json, print_result
from netlet.recipes import Recipe
from netlet.text import format_count, format_sizes, format_table

_DOCUMENTED = "NAME.documented is the net NAME with the recipe of its write-up.\n"
_WRITE_UPS = (
    "Write-ups 000 to 004 are five course write-ups: Documentation (000), Simple Neural Network "
    "for MNIST (001), S6 - Assignment (002), Week4 of TSAI-EVA5 (003), an untitled one (004)."
)

_ONE_BUDGET = (
    "'netlet budget NAME' shows one with its rules, and 'netlet budget --template' starts a file "
    "of your own."
)


def list_(
    show_recipes: Annotated[
        bool, typer.Option("--recipes", help="List the recipes instead of the experiments.")
    ] = False,
    show_budgets: Annotated[
        bool, typer.Option("--budgets", help="List the budgets instead of the experiments.")
    ] = False,
    json: Json = False,
) -> None:
    """List experiments and their cost, recipes, or budgets.

    An experiment is a net with its recipe and its budget. NAME.documented is the net NAME with the
    recipe of the course write-up that it comes from.
    """
    lists: dict[str, list[dict[str, Any]]] = {}
    if show_recipes:
        lists["recipes"] = [_recipe_row(recipe) for recipe in catalog.RECIPES.values()]
    if show_budgets:
        lists["budgets"] = [budget_row(budget) for budget in catalog.BUDGETS.values()]
    if not lists:
        lists["experiments"] = _experiment_rows()
    if json:
        print_json("list", lists)
    else:
        parts = [_TABLES[name](rows) for name, rows in lists.items()]
        parts.append(_DOCUMENTED + _WRITE_UPS if "experiments" in lists else _WRITE_UPS)
        print_result("\n\n".join(parts), lines=True)


def _experiment_rows() -> list[dict[str, Any]]:
    from netlet.analysis import cost_from_trace, receptive_field_from_trace, trace
    from netlet.experiments import EXPERIMENTS
    from netlet.nets import NETS

    traced = {name: trace(entry.builder()) for name, entry in NETS.items()}
    rows = []
    for name, experiment in EXPERIMENTS.items():
        net, recipe = traced[experiment.net.name], experiment.recipe
        cost = cost_from_trace(net, epochs=recipe.total_epochs)
        rows.append(
            {
                "name": name,
                "net": experiment.net.name,
                "parameters": cost.parameters,
                "macs": cost.macs,
                "receptive_field": receptive_field_from_trace(net).size,
                "recipe": recipe.name,
                "epochs": recipe.total_epochs,
                "budget": experiment.budget.name,
                "standing": experiment.budget.judge(cost, batch_size=recipe.batch_size).state,
                "source": experiment.net.source,
                "about": experiment.net.about,
            }
        )
    return rows


def _recipe_row(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "about": recipe.about,
        "epochs": recipe.total_epochs,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
        "peak_lr": recipe.peak_lr,
        "schedule": recipe.schedule,
    }


def budget_row(budget: Budget) -> dict[str, Any]:
    """Return a budget as plain values: its name, what it is for, and its limits."""
    limits = {
        name: value
        for name, value in dataclasses.asdict(budget).items()
        if name not in ("name", "about", "title", "messages") and value not in (None, (), "test")
    }
    return {"name": budget.name, "about": budget.about, "limits": limits}


def _experiment_table(rows: list[dict[str, Any]]) -> str:
    head = (
        "name",
        "parameters",
        "MACs",
        "receptive field",
        "recipe",
        "epochs",
        "budget",
        "verdict before training",
        "source",
    )
    cells = [
        [
            row["name"],
            format_count(row["parameters"]),
            format_count(row["macs"]),
            format_sizes(row["receptive_field"]),
            row["recipe"],
            str(row["epochs"]),
            row["budget"],
            row["standing"],
            row["source"],
        ]
        for row in rows
    ]
    return format_table(head, cells, "lrrrlrlll")


def _recipe_table(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            row["name"],
            str(row["epochs"]),
            str(row["batch_size"]),
            row["optimizer"],
            f"{row['peak_lr']:g}",
            row["about"],
        ]
        for row in rows
    ]
    head = ("recipe", "epochs", "batch size", "optimizer", "peak lr", "what it is for")
    return format_table(head, cells, "lrrlrl")


def _budget_table(rows: list[dict[str, Any]]) -> str:
    cells = [[row["name"], limits_text(row["limits"]), row["about"]] for row in rows]
    table = format_table(("budget", "limits", "what it is for"), cells)
    return f"{table}\n{_ONE_BUDGET}"


def limits_text(limits: Mapping[str, Any]) -> str:
    """Return limits in words: ``fewer than 8,000 parameters, more than 99.4% accuracy``."""
    parts = []
    for name, value in limits.items():
        if name in _KINDS:
            parts.append(_KINDS[name].format(", ".join(value)))
        elif name != "dataset":
            parts.append(describe_limit(name, value))
    return ", ".join(parts)


_KINDS = {"forbids": "no {} layer", "requires": "with a {} layer"}


_TABLES = {
    "experiments": _experiment_table,
    "recipes": _recipe_table,
    "budgets": _budget_table,
}
