"""Draws the settings of recipes for docs/api/recipes.md, from the docstring of ``Recipe``."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable

from netlet.recipes import Recipe
from netlet.report.markdown import inline_code, markdown_table

_ENTRY = re.compile(r"^(\w+): (.+(?:\n    .+)*)", re.MULTILINE)
_ROLE = re.compile(r":\w+:`~?(?:\w+\.)*(\w+)`")


def draw_settings() -> str:
    """Return a table of all fields of a recipe that change a training: default and meaning."""
    _, _, attributes = inspect.getdoc(Recipe).partition("Attributes:\n")  # type: ignore[union-attr]
    meanings = dict(_ENTRY.findall(inspect.cleandoc(attributes)))
    rows = []
    for field in dataclasses.fields(Recipe):
        if field.name in ("name", "about"):
            continue
        meaning = " ".join(meanings[field.name].split()).replace("``", "`")
        default = "none" if field.default in ((), None, "") else str(field.default)
        rows.append([inline_code(field.name), default, _ROLE.sub(r"`\1`", meaning)])
    return markdown_table(("setting", "default", "meaning"), rows, "lll")


TABLES: dict[str, Callable[[], str]] = {"recipe_settings": draw_settings}
