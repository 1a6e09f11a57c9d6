"""``netlet budget``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from netlet import catalog
from netlet.budgets import TEMPLATE, Budget, is_budget_file, to_toml
from netlet.budgets.class_file import CLAIMED_RECIPE, ClassFile, read_class_file
from netlet.budgets.points import divide_points, format_points
from netlet.budgets.sentences import describe_limits, describe_rules, write_notes, write_page
from netlet.cli.listing import budget_row
from netlet.cli.options import Json, budget_names
from netlet.cli.results import print_json, print_result
from netlet.errors import BudgetError, RecipeError
from netlet.text import format_table


def budget(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="BUDGET",
            help="Name of a budget ('netlet list --budgets'), or a TOML file.",
            autocompletion=budget_names,
        ),
    ] = None,
    toml: Annotated[
        bool, typer.Option("--toml", help="Print the budget as TOML, to start a file of your own.")
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Print an example TOML file with every limit.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a budget: its limits, rules (with what counts) and messages.

    BUDGET may be a TOML file, which is checked. Pass the file as --budget FILE to check, train,
    study, grade or init.
    """
    if template + toml + json > 1:
        raise BudgetError("--template, --toml and --json cannot be combined; pass only one")
    if template and name is not None:
        raise BudgetError("--template takes no name; leave out the name or --template")
    if template:
        print_result(TEMPLATE.rstrip("\n"), lines=True)
    elif name is None:
        raise BudgetError(
            "no BUDGET; name one of 'netlet list --budgets' or a TOML file, or pass --template to "
            "start a file of your own"
        )
    else:
        found = catalog.find_budget(name)
        options = read_class_file(Path(name)) if is_budget_file(name) else ClassFile()
        total = options.find_points(found)
        if options.retrain is not None and options.retrain != CLAIMED_RECIPE:
            _check_recipe(name, options.retrain)
        if json:
            print_json("budget", _to_json(found, options))
        elif toml:
            print_result((to_toml(found) + options.to_toml()).rstrip("\n"), lines=True)
        else:
            given = options.limit_points
            page = write_page(found, {} if given is None else divide_points(given, total, found))
            print_result(page + _describe_grading(options, total), lines=True)


def _check_recipe(file: str, recipe: str) -> None:
    try:
        catalog.find_recipe(recipe)
    except RecipeError as error:
        raise RecipeError(f"{file}: retrain in [grade]: {error}") from error


def _to_json(found: Budget, options: ClassFile) -> dict[str, Any]:
    rules = [
        {
            "rule": rule.words,
            "required": rule.required,
            "counts": dict(rule.counts),
            "message": dict(found.messages).get(rule.words, ""),
        }
        for rule in describe_rules(found)
    ]
    return {
        **budget_row(found),
        "title": found.title,
        "messages": dict(found.messages),
        "judge": found.judged_on,
        "grade": options.given(),
        "sentences": describe_limits(found),
        "rules": rules,
        "notes": write_notes(found),
    }


def _describe_grading(options: ClassFile, total: float) -> str:
    """Return the options of ``netlet grade`` as a table of their own; empty if none is set.

    Args:
        options: The options.
        total: The points for meeting every limit.
    """
    given = options.given()
    if options.limit_points is not None:  # which the table of limits has
        given["points"] = format_points(total)
    rows = [_name_limit(key, value) for key, value in given.items()]
    return f"\n\n{format_table(('[grade]', 'value'), rows)}" if rows else ""


def _name_limit(key: str, value: object) -> tuple[str, str]:
    return key, f"{value:,}" if isinstance(value, int | float) else str(value)
