"""What a training that goes on must have in common with the one that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlet.data import Dataset
from netlet.errors import TrainingError
from netlet.recipes import Recipe
from netlet.records import Run, describe_changed_recipe, net_digest, to_json_value


def describe_setting(recipe: Recipe, data: Dataset, *, seed: int) -> dict[str, Any]:
    """Return what two trainings are compared by, as plain values."""
    return {
        "seed": seed,
        "recipe": to_json_value(recipe),
        "data": data.name,
        "data_digest": data.digest,
        "images": {split.name: len(split) for split in (data.train, data.held_out)},
    }


def setting_of_run(run: Run) -> dict[str, Any]:
    """Return the same of a finished run."""
    return {
        "seed": run.seed,
        "recipe": run.recipe,
        "data": run.data["name"],
        "data_digest": run.data["digest"],
        "images": run.data["images"],
        "net_digest": net_digest(run.summary, run.receptive_field),
        "source_digest": run.source_digest,
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
    if changed := describe_change(there, now):
        raise TrainingError(
            f"the interrupted training was another one ({changed}); resume it with the arguments "
            "that it was started with"
        )


def describe_change(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first difference of two settings; empty if there is none."""
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
    if there["data_digest"] != now["data_digest"]:
        return f"other images of {there['data']}"
    # Checkpoints of earlier versions have neither.
    if there.get("source_digest", now["source_digest"]) != now["source_digest"]:
        return "other code of the net" if now["source_digest"] else "net_name there, none now"
    return "another net" if there.get("net_digest", now["net_digest"]) != now["net_digest"] else ""


def _count(images: Mapping[str, int]) -> str:
    return " and ".join(f"{number:,} {name} images" for name, number in images.items())
