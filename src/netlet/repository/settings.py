"""``netlet.toml``: what commands in a repository use where no option says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.budgets import Budget, read_budget_table
from netlet.errors import RepositoryError
from netlet.text import CODE_FILES, join_address, split_address
from netlet.toml_files import WrongValueError, check_keys, fail, read_toml, show_value

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

    Returns:
        The settings in the file of :func:`find_settings_file`, if there is one.

    Raises:
        RepositoryError: The file is not valid.
    """
    path = find_settings_file()
    return None if path is None else load_settings(path)


def find_settings_file() -> Path | None:
    """Return the ``netlet.toml`` of the repository that the working directory lies in.

    It is looked for in the working directory and, within a git repository, in the folders above it
    up to the repository's root.

    Returns:
        The relative path of the first file that is found, if any; it is not read.
    """
    here = Path.cwd()
    for folder in _folders_of_repository(here):
        if os.path.lexists(folder / FILE_NAME):
            return Path(os.path.relpath(folder / FILE_NAME, here))
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
    file = read_toml(path, _MAX_BYTES, RepositoryError, "repair that place", max_dots=_MAX_DOTS)
    values = file.values
    with file.naming_lines():
        check_keys(values, _KEYS, FILE_NAME)
        texts = {key: _read_text(values, key) for key in _TEXTS if key != "budget"}
        return RepositorySettings(
            path=path,
            budget=_read_budget(values, path),
            epochs=_read_number(values, "epochs"),
            seeds=_read_number(values, "seeds"),
            settings=_read_settings(values),
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


def _read_text(values: Mapping[str, Any], key: str) -> str | None:
    if key not in values:
        return None
    value = values[key]
    if not isinstance(value, str) or not value.strip():
        fail(f'{key} = {show_value(value)}; write {key} = "..."', key)
    if len(value) > _MAX_LETTERS:
        fail(f"{key} has {len(value):,} characters; give at most {_MAX_LETTERS}", key)
    return value.strip()


def _read_number(values: Mapping[str, Any], key: str) -> int | None:
    if key not in values:
        return None
    value, most = values[key], _LIMITS[key]
    if type(value) is not int or not 1 <= value <= most:
        fail(f"{key} = {show_value(value)}; give a whole number from 1 to {most:,}", key)
    return value


def _read_settings(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the table ``[settings]`` as the command line's ``--set`` takes it."""
    table = values.get("settings", {})
    if not isinstance(table, dict):
        fail(
            f"settings = {show_value(table)}; write them as a table, like [settings] and peak_lr = "
            "0.01 below it",
            "settings",
        )
    pairs = []
    for key, value in table.items():
        # A key with a dot, such as augment.rotate_deg, is a table in TOML.
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for name, one in inner:
            if not isinstance(one, bool | int | float | str):
                fail(
                    f"the setting {key} = {show_value(one)}; give a number, a text, or true or "
                    "false",
                    "settings",
                    key,
                    name,
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
        fail(
            f"records = {show_value(records)}; write a list of folders, like "
            'records = ["studies/first", "studies/second"]',
            "records",
        )
    return tuple(_place_file(one, path) or one for one in records)


def _read_budget(values: Mapping[str, Any], path: Path) -> str | Budget | None:
    if not isinstance(values.get("budget"), dict):
        text = _read_text(values, "budget")
        return _place_file(text, path) if text and text.endswith(".toml") else text
    try:
        return read_budget_table(values["budget"], FILE_NAME)
    except WrongValueError as error:
        fail(f"[budget]: {error}", "budget", *error.keys, quoted=error.quoted)


def _place_net(net: str | None, path: Path) -> str | None:
    """Return the address of a net whose file is relative to the settings' folder."""
    if net is None:
        return None
    place, name = split_address(net)
    is_file = place.endswith(CODE_FILES) or (name and "/" in place)
    return join_address(_beside(place, path), name) if is_file else net


def _place_file(name: str | None, path: Path) -> str | None:
    """Return a name, or the path of a file or folder of this name in the settings' folder."""
    if name is None:
        return None
    is_path = "/" in name or name.endswith((".toml", ".npz")) or (path.parent / name).exists()
    return _beside(name, path) if is_path else name


def _beside(name: str, path: Path) -> str:
    folder = str(path.parent)
    return name if folder == "." else os.path.join(folder, name)
