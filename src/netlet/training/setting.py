"""What a training that goes on must have in common with the one that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlet.data import Dataset
from netlet.errors import TrainingError
from netlet.records import describe_changed_recipe, to_json_value
from netlet.training.callbacks import Plan


def describe_setting(plan: Plan, data: Dataset) -> dict[str, Any]:
    """Return what a checkpoint says about its training, as plain values."""
    return {
        "name": plan.name,
        "seed": plan.seed,
        "recipe": to_json_value(plan.recipe),
        "data": data.name,
        "data_digest": data.digest,
        "images": {split.name: len(split) for split in (data.train, data.held_out)},
    }


def refuse_other_setting(there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue a training with other images, another recipe or another seed.

    Args:
        there: That of the checkpoint; empty: an earlier version has written it.
        now: That of the training.

    Raises:
        TrainingError: They differ.
    """
    if not there:
        return
    if changed := _describe_change(there, now):
        raise TrainingError(
            f"the interrupted training was another one ({changed}); resume it with the arguments "
            "that it was started with"
        )


def _describe_change(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first difference; empty if there is none."""
    if there["seed"] != now["seed"]:
        return f"seed {there['seed']} there, {now['seed']} now"
    # Another backend goes on with a warning.
    recipes = ({**one["recipe"], "backend": ""} for one in (there, now))
    if changed := describe_changed_recipe(*recipes):
        return changed
    if there["data"] != now["data"]:
        return f"{there['data']} there, {now['data']} now"
    if there["images"] != now["images"]:
        return f"{_count(there['images'])} there, {_count(now['images'])} now"
    return f"other images of {there['data']}" if there["data_digest"] != now["data_digest"] else ""


def _count(images: Mapping[str, int]) -> str:
    return " and ".join(f"{number:,} {name} images" for name, number in images.items())
