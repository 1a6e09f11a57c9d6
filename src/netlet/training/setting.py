"""What a training that goes on must have in common with the one that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlet.budgets import Budget, budget_from_json
from netlet.data import Dataset
from netlet.errors import TrainingError
from netlet.recipes import Recipe
from netlet.records import Run, describe_changed_recipe, net_digest, to_json_value

OTHER_CODE = "other code of the net"


def describe_setting(
    recipe: Recipe, data: Dataset, *, seed: int, budget: Budget | None
) -> dict[str, Any]:
    """Return what two trainings are compared by, as plain values."""
    return {
        "seed": seed,
        "recipe": to_json_value(recipe),
        "budget": to_json_value(budget) if budget else None,
        "data": data.name,
        "data_digest": data.digest,
        "images": {split.name: len(split) for split in (data.train, data.held_out)},
        "class_names": list(data.class_names),
    }


def setting_of_run(run: Run) -> dict[str, Any]:
    """Return the same of a finished run."""
    return {
        "seed": run.seed,
        "recipe": run.recipe,
        "budget": run.budget,
        "data": run.data["name"],
        "data_digest": run.data["digest"],
        "images": run.data["images"],
        "class_names": list(run.data["class_names"]),
        "net_digest": net_digest(run.summary, run.receptive_field),
        "source_digest": run.source_digest,
        "initial_weights_digest": run.initial_weights_digest,
    }


def refuse_other_setting(
    there: Mapping[str, Any], now: Mapping[str, Any], folder: Path | None
) -> None:
    """Refuse to continue a training with other images, another recipe or another seed.

    Args:
        there: That of the checkpoint; empty: an earlier version has written it.
        now: That of the training.
        folder: The folder of the checkpoint, if it is from one.

    Raises:
        TrainingError: They differ.
    """
    if not there:
        return
    if changed := describe_change(there, now):
        where = f"{folder}: " if folder else ""
        others = "name another folder, or remove this one" if folder else "or leave resume out"
        raise TrainingError(
            f"{where}the interrupted training was another one ({changed}); resume it with the "
            f"arguments that it was started with, {others}"
        )


def describe_change(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first difference of two settings; empty if there is none.

    What checkpoints of earlier versions lack is not compared.
    """
    if there["seed"] != now["seed"]:
        return f"seed {there['seed']} there, {now['seed']} now"
    # Another backend goes on with a warning, and recipes that train alike are one.
    recipes = ({**one["recipe"], "backend": "", "name": ""} for one in (there, now))
    if changed := describe_changed_recipe(*recipes):
        return changed
    if there["data"] != now["data"]:
        return f"{there['data']} there, {now['data']} now"
    if there["images"] != now["images"]:
        return f"{_count(there['images'])} there, {_count(now['images'])} now"
    if there["data_digest"] != now["data_digest"]:
        return f"other images of {there['data']}, or others held out"
    there = {**now, **there}
    if there["class_names"] != now["class_names"]:
        return "other classes, or in another order"
    if there["source_digest"] != now["source_digest"]:
        return _describe_changed_code(there["source_digest"], now["source_digest"])
    if there["net_digest"] != now["net_digest"]:
        return "another net"
    if changed := _describe_changed_budget(there["budget"], now["budget"]):
        return changed
    same = there["initial_weights_digest"] == now["initial_weights_digest"]
    return "" if same else "other initial weights"


def _describe_changed_code(there: str, now: str) -> str:
    if there and now:
        return OTHER_CODE
    return "net_name there, none now" if there else "no net_name there, one now"


def _describe_changed_budget(there: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    one, other = (budget_from_json(values) if values else None for values in (there, now))
    if one == other:
        return ""
    names = [(one.name or "unnamed") if one else "none" for one in (one, other)]
    if names[0] == names[1]:
        return "another budget"
    return f"another budget: {names[0]} there, {names[1]} now"


def _count(images: Mapping[str, int]) -> str:
    return " and ".join(f"{number:,} {name} images" for name, number in images.items())
