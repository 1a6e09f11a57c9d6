"""The command that trains a recorded trial's net with its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from netlet.recipes import AUGMENTS, Warp
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
    for name, value in line["changes"].items():
        settings = _augmentation(value) if name == "augment" else [(name, value)]
        if settings is None:
            return None
        for key, setting in settings:
            words += ["--set", f"{key}={_show(setting)}"]
    return quote_shell(*words)


def _augmentation(warps: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]] | None:
    """Return the settings that make an augmentation; None if there are none."""
    for name, known in AUGMENTS.items():
        if [to_json_value(warp) for warp in known] == list(warps):
            return [("augment", name)]
    if len(warps) != 1:
        return None
    fields = [field.name for field in dataclasses.fields(Warp)]
    return [("augment", "light"), *((f"augment.{name}", warps[0][name]) for name in fields)]


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
