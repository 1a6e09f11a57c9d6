"""``netlet budget``."""

from __future__ import annotations

from typing import Annotated

import typer

from netlet import catalog
from netlet.budgets import TEMPLATE, Budget, to_toml
from netlet.cli.listing import budget_row, budget_table
from netlet.cli.options import budget_names
from netlet.cli.results import print_result
from netlet.errors import BudgetError
from netlet.text import escape_controls, format_table


def budget(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="BUDGET",
            help="Name of a budget, or a TOML file; without it, all budgets are listed.",
            autocompletion=budget_names,
        ),
    ] = None,
    toml: Annotated[
        bool, typer.Option("--toml", help="Print the budget as TOML, to be changed in a file.")
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Print a TOML file with every key, to be changed.")
    ] = False,
) -> None:
    """Show a budget: its limits, its rules, and what it tells students.

    BUDGET may be a TOML file, which is checked. --budget FILE uses it in the other commands.
    """
    if template:
        if name is not None or toml:
            raise BudgetError("--template prints a file of its own; pass it alone")
        print_result(TEMPLATE.rstrip("\n"), lines=True)
        return
    if name is None:
        if toml:
            raise BudgetError("--toml prints one budget; name it, as in 'netlet budget eight_k'")
        rows = [budget_row(one) for one in catalog.BUDGETS.values()]
        print_result(budget_table(rows), lines=True)
        return
    found = catalog.find_budget(name)
    print_result(to_toml(found).rstrip("\n") if toml else _describe(found), lines=True)


def _describe(found: Budget) -> str:
    """Return a budget as its title and a table of limits, rules and messages."""
    title = found.title or found.about
    head = f"{found.name}: {title}" if title else found.name
    messages = dict(found.messages)
    rows = [
        (*_name_limit(key, value), messages.get(key, ""))
        for key, value in budget_row(found)["limits"].items()
        if key not in ("requires", "forbids")
    ]
    rows += [("forbidden", kind, messages.get(kind, "")) for kind in found.forbids]
    rows += [("required", rule, messages.get(rule, "")) for rule in found.requires]
    table = format_table(("limit", "value", "message"), rows)
    return f"{escape_controls(head)}\n{table}"


def _name_limit(key: str, value: object) -> tuple[str, str]:
    return key, f"{value:,}" if isinstance(value, int | float) else str(value)
