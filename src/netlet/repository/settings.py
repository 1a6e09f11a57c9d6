"""``netlet.toml``: what commands in a repository use where no option says otherwise."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.budgets import Budget, budget_from_table
from netlet.errors import BudgetError, RepositoryError, did_you_mean
from netlet.files import read_regular

FILE_NAME = "netlet.toml"
_MAX_BYTES = 1 << 16
_MAX_LETTERS = 300  # of a name
_MAX_RECORDS = 100
_MAX_DOTS = 100  # in a line: tomllib nests as deep as a key has dots
_LIMITS = {"epochs": 100_000, "seeds": 10_000}
_TEXTS = ("net", "budget", "recipe", "dataset")
_KEYS = ("net", "budget", "recipe", "epochs", "settings", "seeds", "dataset", "records")


@dataclass(frozen=True, kw_only=True)
class RepositorySettings:
    """The content of a ``netlet.toml``; None where it says nothing.

    Names of files are relative to the working directory.

    Attributes:
        path: The path of the file.
        net: The net, like ``model.py:Net``.
        budget: The name or file of a budget, or its limits.
        recipe: The name of a recipe.
        epochs: The number of epochs, instead of the recipe's.
        settings: Changes of the recipe, ``key=value`` each.
        seeds: The number of seeds of a study.
        dataset: The name or path of a data set.
        records: Runs, studies and ladders that a report shows.
    """

    path: Path
    net: str | None = None
    budget: str | Budget | None = None
    recipe: str | None = None
    epochs: int | None = None
    settings: tuple[str, ...] = ()
    seeds: int | None = None
    dataset: str | None = None
    records: tuple[str, ...] = field(default=())


def find_settings() -> RepositorySettings | None:
    """Return the settings of the repository that the working directory lies in.

    The file is looked for in the working directory and, within a git repository, in the folders
    above it up to the repository's root.

    Returns:
        The settings of the first file that is found, if any.

    Raises:
        RepositoryError: The file is not valid.
    """
    here = Path.cwd()
    for folder in _folders_of_repository(here):
        if os.path.lexists(folder / FILE_NAME):
            return load_settings(Path(os.path.relpath(folder / FILE_NAME, here)))
    return None


def repository_root(folder: Path) -> Path | None:
    """Return the root of the git repository that a folder lies in, if it lies in one."""
    for parent in (folder, *folder.parents):
        if os.path.lexists(parent / ".git"):
            return parent
    return None


def load_settings(path: Path) -> RepositorySettings:
    """Return the settings in a file.

    Args:
        path: The path of the file.

    Raises:
        RepositoryError: It cannot be read, a key is unknown, or a value has the wrong type.
    """
    values = _read_toml(path)
    for key in values:
        if key not in _KEYS:
            raise RepositoryError(
                f"{path}: there is no key {key!r}; {did_you_mean(key, _KEYS)}"
                f"the keys are: {', '.join(_KEYS)}"
            )
    texts = {key: _read_text(values, key, path) for key in _TEXTS if key != "budget"}
    return RepositorySettings(
        path=path,
        budget=_read_budget(values, path),
        epochs=_read_number(values, "epochs", path),
        seeds=_read_number(values, "seeds", path),
        settings=_read_settings(values, path),
        records=_read_records(values, path),
        net=_place_net(texts["net"], path),
        recipe=texts["recipe"],
        dataset=_place_file(texts["dataset"], path),
    )


def _folders_of_repository(folder: Path) -> list[Path]:
    root = repository_root(folder)
    if root is None:
        return [folder]
    return [one for one in (folder, *folder.parents) if one == root or root in one.parents]


def _read_toml(path: Path) -> dict[str, Any]:
    content = read_regular(path, _MAX_BYTES, RepositoryError)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RepositoryError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > _MAX_DOTS:
            raise RepositoryError(f"{path}: line {number} has too many dots; shorten it")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RepositoryError(f"{path}: is not valid TOML ({error}); repair that place") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        what = "nested too deep" if isinstance(error, RecursionError) else "a number is too long"
        raise RepositoryError(f"{path}: cannot be read ({what}); shorten it") from error


def _read_text(values: Mapping[str, Any], key: str, path: Path) -> str | None:
    if key not in values:
        return None
    value = values[key]
    if not isinstance(value, str) or not value.strip():
        raise RepositoryError(f'{path}: {key} = {_show(value)}; write {key} = "..."')
    if len(value) > _MAX_LETTERS:
        raise RepositoryError(
            f"{path}: {key} has {len(value):,} letters; give at most {_MAX_LETTERS}"
        )
    return value.strip()


def _read_number(values: Mapping[str, Any], key: str, path: Path) -> int | None:
    if key not in values:
        return None
    value, most = values[key], _LIMITS[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RepositoryError(
            f"{path}: {key} = {_show(value)}; give a whole number from 1 to {most:,}"
        )
    return value


def _read_settings(values: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the table ``[settings]`` as the command line's ``--set`` takes it."""
    table = values.get("settings", {})
    if not isinstance(table, dict):
        raise RepositoryError(
            f"{path}: settings = {_show(table)}; write them as a table, like [settings] and "
            "peak_lr = 0.01 below it"
        )
    pairs = []
    for key, value in table.items():
        # A key with a dot, such as augment.rotate_deg, is a table in TOML.
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for name, one in inner:
            if not isinstance(one, bool | int | float | str):
                raise RepositoryError(
                    f"{path}: the setting {key} = {_show(one)}; give a number, a text, or true or "
                    "false"
                )
            text = str(one).lower() if isinstance(one, bool) else str(one)
            pairs.append(f"{key}{'.' if name else ''}{name}={text}")
    return tuple(pairs)


def _read_records(values: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    records = values.get("records", [])
    if (
        not isinstance(records, list)
        or len(records) > _MAX_RECORDS
        or not all(isinstance(one, str) and one.strip() for one in records)
    ):
        raise RepositoryError(
            f"{path}: records = {_show(records)}; write a list of folders, like "
            'records = ["studies/first", "studies/second"]'
        )
    return tuple(_place_file(one, path) or one for one in records)


def _read_budget(values: Mapping[str, Any], path: Path) -> str | Budget | None:
    if not isinstance(values.get("budget"), dict):
        text = _read_text(values, "budget", path)
        return _place_file(text, path) if text and text.endswith(".toml") else text
    try:
        return budget_from_table(values["budget"], FILE_NAME)
    except BudgetError as error:
        message = re.sub(r"^budget .*?: ", "", str(error), count=1)
        raise RepositoryError(f"{path}, [budget]: {message}") from error


def _place_net(net: str | None, path: Path) -> str | None:
    """Return the address of a net whose file is relative to the settings' folder."""
    if net is None:
        return None
    place, colon, name = net.rpartition(":") if ":" in net else (net, "", "")
    is_file = place.endswith((".py", ".ipynb")) or (colon and "/" in place)
    return f"{_beside(place, path)}{colon}{name}" if is_file else net


def _place_file(name: str | None, path: Path) -> str | None:
    """Return a name, or the path of a file or folder of this name in the settings' folder."""
    if name is None:
        return None
    is_path = "/" in name or name.endswith((".toml", ".npz")) or (path.parent / name).exists()
    return _beside(name, path) if is_path else name


def _beside(name: str, path: Path) -> str:
    folder = str(path.parent)
    return name if folder == "." else os.path.join(folder, name)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
