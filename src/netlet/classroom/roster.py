"""The roster of a class, and what students claim of their nets."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet import catalog, recipes
from netlet.classroom.similar_names import find_twins
from netlet.classroom.stated_files import find_claim, read_text
from netlet.classroom.submissions import compose
from netlet.display import Displayed
from netlet.errors import GradingError, NetletError, did_you_mean, warn
from netlet.files import read_regular
from netlet.recipes import Recipe
from netlet.recipes.field_checks import NORMALIZATION, ONE_FOR_ALL, has_several_numbers
from netlet.toml_files import parse_toml

_MAX_BYTES = 1 << 20
_MAX_CLAIM_BYTES = 1 << 16
# In a line of claim.toml: the time to parse a key grows with their square.
_MAX_DOTS = 100
_NAME_COLUMNS = ("submission", "file", "id", "login", "username", "github")
_STUDENT_COLUMNS = ("student", "name", "full_name")
_POINTS, _COMMENT = "corrected_points", "comment"
_CLAIMED = ("accuracy", "parameters", "epochs")
_STATED = (*_CLAIMED, _POINTS, _COMMENT)
_MOST_POINTS = 1_000_000


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


@dataclass(frozen=True)
class Correction(Displayed):
    """What a teacher decides of a grade.

    Attributes:
        points: The points that are given in place of those by the rules; None: those by the rules.
        comment: What the student reads; empty for nothing.
    """

    points: float | None = None
    comment: str = ""


def read_roster(path: Path) -> dict[str, dict[str, str]]:
    """Read a CSV file with a line for each student.

    Args:
        path: The first line has the titles. ``submission`` (or ``id``, ``login``, ``github``) is
            the name of the submission; ``student`` (or ``name``) the person's. ``accuracy``,
            ``parameters`` and ``epochs`` are what the student claims; ``corrected_points`` and
            ``comment`` are what the teacher decides.

    Returns:
        The lines by the name of the submission, with ``student`` among the keys.

    Raises:
        GradingError: The file cannot be read, has no such column, a name twice, or points that
            cannot be given.
    """
    text = _decode(path, read_regular(path, _MAX_BYTES, GradingError))
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)  # Excel writes semicolons where the comma is decimal
    rows = csv.DictReader(io.StringIO(text, newline=None), delimiter=separator)
    try:
        titles = {_tidy(title or ""): title for title in rows.fieldnames or ()}
        lines = list(rows)
    except csv.Error as error:
        raise GradingError(f"{path}: is not valid CSV ({error}); save it as CSV") from error
    key = next((titles[name] for name in _NAME_COLUMNS if name in titles), None)
    if key is None:
        raise GradingError(
            f"{path}: has no column {' or '.join(_NAME_COLUMNS)}, which names the submissions; its "
            f"first line has: {', '.join(filter(None, titles.values())) or '-'}"
        )
    for title in titles.keys() - _STATED:
        if hint := did_you_mean(_POINTS if title == "points" else title, _STATED):
            text = f"{path}: the column {titles[title]!r} is not read; {hint.strip()}"
            warn(text)
    student = next((titles[name] for name in _STUDENT_COLUMNS if name in titles), key)
    found: dict[str, dict[str, str]] = {}
    places: dict[str, int] = {}
    for number, row in enumerate(lines, start=2):
        if any(row.pop(None, ())):
            raise GradingError(
                f"{path}: line {number} has more cells than the first line; put a text with "
                f"{separator!r} into quotation marks"
            )
        name = compose((row.get(key) or "").strip())
        if name in found:
            raise GradingError(f"{path}: has {name!r} twice; keep only one of the lines")
        if name:
            places[name] = number
            values = {low: (row.get(title) or "").strip() for low, title in titles.items()}
            found[name] = values | {"student": (row.get(student) or "").strip()}
            try:
                find_correction(found[name])
            except GradingError as error:
                raise GradingError(f"{path}: {name}: {error}") from error
    for twin in find_twins(places):
        warn(f"{path}: {twin}")
    return found


def find_correction(row: Mapping[str, str]) -> Correction:
    """Return what the teacher decides of a grade.

    Args:
        row: The line of the submission in the roster.

    Raises:
        GradingError: The points cannot be given.
    """
    text, comment = row.get(_POINTS, ""), " ".join(row.get(_COMMENT, "").split())
    if not text:
        return Correction(None, comment)
    # The comma is decimal in a file of semicolons; 1,000 could be one or a thousand.
    readable = re.fullmatch(r"[0-9]{1,7}([.,][0-9]{1,2})?", text)
    points = float(text.replace(",", ".")) if readable else -1
    if not 0 <= points <= _MOST_POINTS:
        raise GradingError(
            f"{_POINTS} is {text[:60]!r}; give a number from 0 to {_MOST_POINTS:,} with at most "
            "two decimals and no exponent, like 14.5, or nothing"
        )
    return Correction(points, comment)


def _tidy(title: str) -> str:
    """Return the title of a column as it is compared."""
    return re.sub(r"[\s_-]+", "_", title.strip().lower())


def find_row(roster: Mapping[str, Mapping[str, str]], *names: str) -> Mapping[str, str]:
    """Return the line of a submission in the roster; empty if it has none.

    Args:
        roster: The lines, as :func:`read_roster` returns them.
        names: The names that a submission may have there.
    """
    return next((roster[name] for name in map(compose, names) if name in roster), {})


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise GradingError(
            f"{path}: line {line} is not UTF-8; save it as 'CSV UTF-8', as Excel calls it"
        ) from error


@dataclass(frozen=True)
class ClaimProblems(Displayed):
    """What is wrong with a claim, which is left out of it.

    Attributes:
        found: All of it, a sentence each.
        of_weights: Why the claim cannot say which weights to score, and how; empty if it can.
        of_recipe: Why the claimed recipe cannot be used; empty if nothing is wrong with it.
    """

    found: tuple[str, ...] = ()
    of_weights: str = ""
    of_recipe: str = ""


NO_PROBLEMS = ClaimProblems()


def read_claim(folder: Path, row: Mapping[str, str]) -> tuple[Claim, ClaimProblems]:
    """Return what a submission claims in ``claim.toml`` or ``claim.json``, else in the roster.

    Args:
        folder: The folder of the submission.
        row: Its line in the roster.

    Returns:
        The claim without what cannot be used, and what that is.
    """
    values: dict[str, Any] = {key: row[key] for key in _CLAIMED if row.get(key)}
    file, problem = find_claim(folder)
    several = (problem,) if problem else ()
    try:
        if file is not None:
            values |= _parse(file, folder)
    except GradingError as error:
        whole = str(error)
        return Claim(**_keep_valid(values, {})), ClaimProblems((*several, whole), whole, whole)
    problems: dict[str, str] = {}
    name = file.relative_to(folder).as_posix() if file else ""  # the roster has no other keys
    for key in [key for key in values if key not in Claim.__dataclass_fields__]:
        known = ", ".join(Claim.__dataclass_fields__)
        problems[key] = f"{name}: {key[:60]!r} is not a key of a claim; the keys are: {known}"
        del values[key]
    kept = _keep_valid(values, problems)
    of_weights = [problems[key] for key in ("weights", "mean", "std") if key in problems]
    return Claim(**kept), ClaimProblems(
        (*several, *problems.values()), "; ".join(of_weights), problems.get("recipe", "")
    )


def _keep_valid(values: Mapping[str, Any], problems: dict[str, str]) -> dict[str, Any]:
    """Return the values that a claim may have.

    Args:
        values: The values by their keys.
        problems: Gets what is wrong with each of the others, by its key.
    """
    kept = {}
    for key, value in values.items():
        try:
            kept[key] = _find_recipe(value) if key == "recipe" else _check(key, value)
        except GradingError as error:
            problems[key] = str(error)
    return kept


def _parse(file: Path, folder: Path) -> dict[str, Any]:
    text, name = read_text(file, _MAX_CLAIM_BYTES, folder), file.relative_to(folder).as_posix()
    if file.suffix == ".toml":
        return parse_toml(text, name, GradingError, "repair it", max_dots=_MAX_DOTS)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GradingError(f"{name}: is not valid JSON ({error}); repair it") from error
    if not isinstance(values, dict):
        raise GradingError(f"{name}: has no keys; write accuracy = 99.4, for example")
    return values


def _find_recipe(value: Any) -> Recipe:
    """Return the recipe of a claim: a name, or a table of settings with a ``base``."""
    try:
        if isinstance(value, str):
            return catalog.find_recipe(value)
        if isinstance(value, dict):
            settings = dict(value)
            base = catalog.find_recipe(settings.pop("base", "steady"))
            changed = recipes.change_settings(base, recipes.upgrade_recipe(settings))
            return changed.replace(name=f"{base.name}, as claimed")
    except (NetletError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise GradingError(f"the claimed recipe is invalid: {error}") from error
    raise GradingError(f"recipe={_show(value)} is not a recipe; give a name or a table of settings")


def _check(key: str, value: Any) -> Any:
    """Return a value if its key may have it.

    Raises:
        GradingError: It may not.
    """
    given = value
    if _KINDS[key] is not str and isinstance(value, str):
        value = _number(value, key)
    if _KINDS[key] is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # 2.0 epochs are 2
    if key in NORMALIZATION and isinstance(value, list) and value == value[:1] * len(value) != []:
        value = value[0]  # as torchvision's Normalize takes it, a number for each channel
    valid = isinstance(value, _KINDS[key]) and not isinstance(value, bool)
    if valid and not isinstance(value, str):
        low, high = _RANGES.get(key, (0, 1e12 - 1))
        valid = low <= value <= high  # neither for NaN nor for an infinite number
    if key in NORMALIZATION and has_several_numbers(value):
        raise GradingError(
            f"the claim {key}={_show(value)} {ONE_FOR_ALL}, and give mean = 0 and std = 1"
        )
    if not valid or (key == "std" and value == 0):
        raise GradingError(
            f"the claim {key}={_show(given)} is not valid; give one like {_LIKE[key]}"
        )
    return value


_KINDS: dict[str, Any] = {
    "accuracy": (int, float),
    "parameters": int,
    "epochs": int,
    "mean": (int, float),
    "std": (int, float),
    "net": str,
    "weights": str,
}
_RANGES: dict[str, tuple[float, float]] = {
    "accuracy": (0, 100),
    "epochs": (1, 1e12 - 1),
    "mean": (0, 1_000),  # as in a recipe
    "std": (0, 1_000),
}
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


def _number(text: str, key: str) -> Any:
    # 99,41 in a file of semicolons is a decimal number, and 7,850 parameters are thousands.
    text = text.replace(",", "" if _KINDS[key] is int else ".")
    text = text.removesuffix("%").strip() if key == "accuracy" else text
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text
