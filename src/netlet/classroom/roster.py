"""The roster of a class, and what students claim of their nets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet import catalog, recipes
from netlet.classroom.submissions import CLAIMS
from netlet.display import Displayed
from netlet.errors import GradingError, NetletError
from netlet.files import read_regular
from netlet.recipes import AUGMENTS, Recipe
from netlet.toml_files import parse_toml

_MAX_BYTES = 1 << 20
_MAX_CLAIM_BYTES = 1 << 16
# In a line of claim.toml: the time to parse a key grows with their square.
_MAX_DOTS = 100
_NAME_COLUMNS = ("submission", "file", "id", "login", "username", "github")
_STUDENT_COLUMNS = ("student", "name", "full name", "full_name")


@dataclass(frozen=True)
class Claim(Displayed):
    """What a student says of the net.

    Attributes:
        accuracy: Test accuracy in percent.
        parameters: Number of parameters.
        epochs: Number of epochs that it was trained for.
        mean: The mean of the gray levels, 0..1, which is subtracted from the images.
        std: The standard deviation, by which the images are divided.
        net: Address of the net in the submission, ``model.py:Net``.
        weights: Path of the weights in the submission.
        recipe: How it was trained.
    """

    accuracy: float | None = None
    parameters: int | None = None
    epochs: int | None = None
    mean: float | None = None
    std: float | None = None
    net: str | None = None
    weights: str | None = None
    recipe: Recipe | None = field(default=None, repr=False)


def read_roster(path: Path) -> dict[str, dict[str, str]]:
    """Read a CSV file with a line for each student.

    Args:
        path: The first line has the titles. ``submission`` (or ``id``, ``login``, ``github``) is
            the name of the submission; ``student`` (or ``name``) the person's. ``accuracy``,
            ``parameters`` and ``epochs`` are what the student claims.

    Returns:
        The lines by the name of the submission, with ``student`` among the keys.

    Raises:
        GradingError: The file cannot be read, or has no such column.
    """
    text = read_regular(path, _MAX_BYTES, GradingError).decode("utf-8-sig", "replace")
    rows = csv.DictReader(io.StringIO(text, newline=None))
    try:
        titles = {(title or "").strip().lower(): title for title in rows.fieldnames or ()}
        lines = list(rows)
    except csv.Error as error:
        raise GradingError(f"{path}: is not valid CSV ({error}); save it as CSV") from error
    key = next((titles[name] for name in _NAME_COLUMNS if name in titles), None)
    if key is None:
        raise GradingError(
            f"{path}: has no column 'submission'; its first line has: {', '.join(titles) or '-'}"
        )
    student = next((titles[name] for name in _STUDENT_COLUMNS if name in titles), key)
    found = {}
    for row in lines:
        name = (row.get(key) or "").strip()
        if name:
            values = {low: (row.get(title) or "").strip() for low, title in titles.items()}
            found[name] = values | {"student": (row.get(student) or "").strip()}
    return found


def read_claim(folder: Path, row: Mapping[str, str]) -> Claim:
    """Return what a submission claims in ``claim.toml`` or ``claim.json``, else in the roster.

    Raises:
        GradingError: The file is not TOML or JSON, or a value is out of range.
    """
    values: dict[str, Any] = {
        key: _number(row[key]) for key in ("accuracy", "parameters", "epochs") if row.get(key)
    }
    files = [f for name in CLAIMS for f in sorted(folder.rglob(name), key=lambda f: len(f.parts))]
    if files:
        values |= _parse(files[0])
    for key in values:
        if key not in Claim.__dataclass_fields__:
            known = ", ".join(Claim.__dataclass_fields__)
            raise GradingError(f"{files[0].name}: has no key {key[:60]!r}; the keys are: {known}")
    recipe = _find_recipe(values.pop("recipe")) if "recipe" in values else None
    for key, kinds in (("accuracy", (int, float)), ("parameters", int), ("epochs", int)):
        _check(key, values.get(key), kinds)
    for key in ("mean", "std"):
        _check(key, values.get(key), (int, float))
    for key in ("net", "weights"):
        _check(key, values.get(key), str)
    return Claim(recipe=recipe, **values)


def _parse(file: Path) -> dict[str, Any]:
    text = read_regular(file, _MAX_CLAIM_BYTES, GradingError).decode("utf-8", "replace")
    if file.suffix == ".toml":
        return parse_toml(text, file.name, GradingError, "repair it", max_dots=_MAX_DOTS)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GradingError(f"{file.name}: is not valid JSON ({error}); repair it") from error
    if not isinstance(values, dict):
        raise GradingError(f"{file.name}: has no keys; write accuracy = 99.4, for example")
    return values


def _find_recipe(value: Any) -> Recipe:
    """Return the recipe of a claim: a name, or a table of settings with a ``base``."""
    try:
        if isinstance(value, str):
            return catalog.find_recipe(value)
        if isinstance(value, dict):
            settings = dict(value)
            base = catalog.find_recipe(settings.pop("base", "steady"))
            if isinstance(settings.get("augment"), str):
                settings["augment"] = AUGMENTS[settings["augment"]]
            changed = base.replace(**recipes.upgrade_recipe(settings))
            return changed.replace(name=f"{base.name}, as claimed")
    except (NetletError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise GradingError(f"the claimed recipe is invalid: {error}") from error
    raise GradingError(f"recipe={_show(value)} is not a recipe; give a name or a table of settings")


def _check(key: str, value: Any, kinds: Any) -> None:
    if value is None:
        return
    valid = isinstance(value, kinds) and not isinstance(value, bool)
    if valid and not isinstance(value, str):
        valid = 0 <= value < 1e12  # neither for NaN nor for a number too large for a float
    if not valid:
        raise GradingError(
            f"the claim {key}={_show(value)} is not valid; give one like {_LIKE[key]}"
        )


_LIKE = {
    "accuracy": "99.4",
    "parameters": "7416",
    "epochs": "15",
    "mean": "0.1307",
    "std": "0.3081",
    "net": "'model.py:Net'",
    "weights": "'model.pt'",
}


def _show(value: Any) -> str:
    return repr(value)[:60]


def _number(text: str) -> Any:
    text = text.replace(",", "").removesuffix("%").strip()
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text
