"""``netlet budget``."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from netlet import catalog
from netlet.budgets import TEMPLATE, Budget, is_budget_file, to_toml
from netlet.budgets.class_file import ClassFile, read_class_file
from netlet.budgets.points import share_points
from netlet.cli.listing import budget_row
from netlet.cli.options import Json, budget_names
from netlet.cli.results import print_json, print_result
from netlet.errors import BudgetError
from netlet.text import escape_controls, format_table


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
    """Show a budget: its limits, its rules, and what it tells students.

    BUDGET may be a TOML file, which is checked. --budget FILE uses it in the other commands.
    """
    if template + toml + json > 1:
        raise BudgetError("--template, --toml and --json are three forms; pass one of them")
    if template and name is not None:
        raise BudgetError("--template takes no name; leave the name or --template out")
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
        if json:
            texts = {"title": found.title, "messages": dict(found.messages)}
            more = {"judge": found.judged_on, "grade": options.given()}
            print_json("budget", budget_row(found) | texts | more)
        elif toml:
            print_result((to_toml(found) + options.to_toml()).rstrip("\n"), lines=True)
        else:
            points = share_points(options.limit_points or {}, total, found)
            shown = points if options.limit_points is not None else {}
            print_result(_describe(found, shown) + _describe_grading(options, total), lines=True)


def _describe(found: Budget, points: Mapping[str, Fraction]) -> str:
    """Return a budget as its title and a table of limits, rules and messages, by their keys.

    Args:
        found: The budget.
        points: The points of each limit and rule; empty if each is worth the same.
    """
    title = found.title or found.about
    head = f"{found.name}: {title}" if title else found.name
    messages = dict(found.messages)
    named = [
        (key, *_name_limit(key, value))
        for key, value in budget_row(found)["limits"].items()
        if key not in ("requires", "forbids", "judged_on")
    ]
    named += [(kind, "forbidden", kind) for kind in found.forbids]
    named += [(rule, "required", rule) for rule in found.requires]
    rows: list[tuple[str, str, str, str]] = [("judge", found.judged_on, "", "")]
    rows += [
        (name, value, f"{float(points[key]):g}" if key in points else "", messages.get(key, ""))
        for key, name, value in named
    ]
    columns = (0, 1, 2, 3) if points else (0, 1, 3)
    table = [("limit", "value", "points", "message"), *rows]
    titles, *cells = (tuple(row[column] for column in columns) for row in table)
    return f"{escape_controls(head)}\n{format_table(titles, cells)}"


def _describe_grading(options: ClassFile, total: float) -> str:
    """Return the options of ``netlet grade`` as a table of their own; empty if none is set.

    Args:
        options: The options.
        total: The points for meeting every limit.
    """
    given = options.given()
    if options.limit_points is not None:  # which the table of limits has
        given["points"] = f"{total:g}"
    rows = [_name_limit(key, value) for key, value in given.items()]
    return f"\n\n{format_table(('[grade]', 'value'), rows)}" if rows else ""


def _name_limit(key: str, value: object) -> tuple[str, str]:
    return key, f"{value:,}" if isinstance(value, int | float) else str(value)
