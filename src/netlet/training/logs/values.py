"""What is logged of a run: its recipe once, and the numbers of each epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.records import Epoch

Setting = str | int | float | bool
_NOT_LOGGED = ("name", "about")  # fields of a recipe


@dataclass(frozen=True)
class LoggedRun:
    """A run that is logged.

    Attributes:
        name: The name of the run, such as ``swift-seed0``.
        group: The name of its experiment, which other seeds share.
        folder: The folder of the run; files of the log lie in it.
        settings: Its net, data, seed and recipe.
    """

    name: str
    group: str
    folder: Path
    settings: Mapping[str, Setting] = field(default_factory=dict)


def describe_recipe(recipe: Mapping[str, Any], **others: Setting) -> dict[str, Setting]:
    """Return the settings of a run as single values.

    Args:
        recipe: The fields of a recipe as JSON stores them.
        others: What else is a setting of the run, such as its seed.
    """
    named: dict[str, Setting] = {"recipe": str(recipe.get("name", ""))}
    fields = {key: _to_setting(value) for key, value in recipe.items() if key not in _NOT_LOGGED}
    return {**others, **named, **fields}


def epoch_values(epoch: Epoch) -> dict[str, float]:
    """Return the numbers of an epoch by their tags.

    Accuracies are in percent, as recorded; ``train`` is scored while the net still changes, with
    augmentation and dropout.
    """
    split = epoch.held_out.split
    return {
        "loss/train": epoch.train_loss,
        f"loss/{split}": epoch.held_out_loss,
        "accuracy/train": epoch.train.percent,
        f"accuracy/{split}": epoch.held_out.percent,
        "learning_rate": epoch.lr,
        "images_per_second": epoch.train.total / max(epoch.train_s, 1e-9),
    }


def _to_setting(value: Any) -> Setting:
    if value is None:
        return "none"
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)
