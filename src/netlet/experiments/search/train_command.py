"""The command that trains a recorded trial's net with its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from netlet.recipes import AUGMENTS
from netlet.records import to_json_value
from netlet.text import quote_shell


def train_command(line: Mapping[str, Any]) -> str | None:
    """Return the command that trains what a line records, with a seed of its own.

    Args:
        line: A line of a file of trials.

    Returns:
        The command; None if its augmentation cannot be written in one.
    """
    words = ["netlet", "train", line["net"], "--recipe", line["recipe"]]
    if line.get("dataset", "mnist") != "mnist":
        words += ["--dataset", line["dataset"]]
    settings = list_settings(line["changes"])
    if settings is None:
        return None
    for setting in settings:
        words += ["--set", setting]
    return quote_shell(*words)


def list_settings(changes: Mapping[str, Any]) -> list[str] | None:
    """Return the changes of a trial's recipe as values of ``--set``.

    Args:
        changes: The changes as a line of a file of trials records them.

    Returns:
        One for each, and several for an augmentation that has no name; None if one cannot be
        written in this way.
    """
    found: list[str] = []
    for name, value in changes.items():
        pairs = _augmentation(value) if name == "augment" else [(name, value)]
        if pairs is None:
            return None
        found += [f"{key}={_show(setting)}" for key, setting in pairs]
    return found


def _augmentation(warps: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]] | None:
    """Return the settings that make an augmentation; None if there are none."""
    for name, known in AUGMENTS.items():
        if [to_json_value(warp) for warp in known] == list(warps):
            return [("augment", name)]
    if len(warps) != 1:
        return None
    light = dataclasses.asdict(AUGMENTS["light"][0])
    other = [name for name, value in light.items() if warps[0][name] != value]
    return [("augment", "light"), *((f"augment.{name}", warps[0][name]) for name in other)]


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
