"""Convert records that older versions of netlet wrote; the only place that knows their spelling.

Version 0.1 wrote runs with schema 1, studies with schema 2, checkpoints with format 2, and trials
without a schema. Runs with schema 2 and checkpoints with format 3 do not know which backend and
environment trained which epochs; runs and studies with schema 3 do not know the source of the net,
and runs with schema 4 not the cell of a notebook.
Every function accepts a record that is up to date already and returns it unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netlet.budgets import OLD_BUDGET_NAMES
from netlet.errors import DamagedRecordError
from netlet.recipes import complete_recipe, drop_defaults, upgrade_recipe

RUN_SCHEMA = 5
STUDY_SCHEMA = 4
CHECKPOINT_FORMAT = 4
TRIAL_SCHEMA = 2  # of a line of a file of trials; earlier lines have none

_CONFIG_KEYS = {
    "step": "backend",
    "facts": "cost",
    "began_with": "initial_weights_digest",
}
_RUN_KEYS = _CONFIG_KEYS | {"train_clean": "train_score", "started": "started_at"}
_STUDY_KEYS = _CONFIG_KEYS | {"lr": "lr_by_epoch"}
_SEED_KEYS = {
    "by_epoch": "correct_by_epoch",
    "train_clean": "train_correct",
    "train_by_epoch": "train_correct_by_epoch",
    "train_loss": "train_losses",
    "held_out_loss": "held_out_losses",
}
_VERDICT_KEYS = {"rulings": "results", "rule_results": "results"}
_RESULT_KEYS = {"spenders": "largest_layers"}
_CHECKPOINT_KEYS = _CONFIG_KEYS | {"net_from": "net_source", "folder": "data_folder"}
_TRIAL_KEYS = {"step": "backend", "train_clean": "train_correct", "of": "total"}

# Layers of our own nets in version 0.1; their digests of weights cover these names.
OLD_LAYER_NAMES: Mapping[str, Mapping[str, str]] = {
    "swift": {
        "edges": "conv1",
        "halve": "pool1",
        "strokes": "conv2",
        "parts": "conv3",
        "quarter": "pool2",
        "shapes": "conv4",
        "digits": "conv5",
    },
    "sprint": {
        "edges": "conv1",
        "strokes": "conv2",
        "bends": "conv3",
        "parts": "conv4",
        "halve": "pool1",
        "digits": "conv5",
    },
    "dash": {
        "edges": "conv1",
        "strokes": "conv2",
        "parts": "conv3",
        "digits": "conv4",
    },
    "sprint8k": {
        "edges": "conv1",
        "strokes": "conv2",
        "bends": "conv3",
        "parts": "conv4",
        "digits": "conv5",
    },
    "summit": {
        "edges": "conv1",
        "strokes": "conv2",
        "halve": "pool1",
        "bends": "conv3",
        "parts": "conv4",
        "shapes": "conv5",
        "digits": "conv6",
    },
}


@contextmanager
def explain_upgrade_errors(path: Path | str) -> Iterator[None]:
    """Raise DamagedRecordError for what the functions of this module raise on damaged records.

    Args:
        path: The path of the record, for the error message.
    """
    try:
        yield
    except DamagedRecordError as error:
        raise DamagedRecordError(f"{path}: contradicts itself: {error}") from error
    except KeyError as error:
        raise DamagedRecordError(
            f"{path}: expected a value for {error}, found nothing; the file was edited or cut"
            " short, restore it from a copy or run the command again"
        ) from error
    except (TypeError, AttributeError, ValueError, IndexError) as error:
        raise DamagedRecordError(
            f"{path}: a field has another form than any version of netlet writes; the file was"
            " edited or cut short, restore it from a copy or run the command again"
        ) from error


def upgrade_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a run with today's schema.

    Raises:
        KeyError, TypeError, AttributeError: The record is damaged.
    """
    if record["schema"] == RUN_SCHEMA:
        return dict(record)
    _refuse_newer_keys(record, ("source_cell",))
    if record["schema"] == 4:
        return {"source_cell": 0, **record, "schema": RUN_SCHEMA}
    _refuse_newer_keys(record, ("source_path", "source_digest"))
    unknown = {"source_digest": "", "source_path": "", "source_cell": 0}
    if record["schema"] == 3:
        return _name_split({**unknown, **record, "schema": RUN_SCHEMA})
    _refuse_newer_keys(record, ("stretches", *(("cost",) if record["schema"] == 1 else ())))
    upgraded = _upgrade_config(_rename(record, _RUN_KEYS))
    if upgraded["verdict"]:
        verdict = _rename(upgraded["verdict"], _VERDICT_KEYS)
        verdict["budget"] = OLD_BUDGET_NAMES.get(verdict["budget"], verdict["budget"])
        verdict["results"] = [_rename(result, _RESULT_KEYS) for result in verdict["results"]]
        upgraded["verdict"] = verdict
    upgraded["mistakes"] = [
        [mistake[key] for key in ("index", "label", "predicted", "confidence")]
        if isinstance(mistake, Mapping)
        else mistake
        for mistake in upgraded["mistakes"]
    ]
    upgraded["calibration"] = [
        [one[key] for key in ("low", "high", "count", "correct", "confidence")]
        if isinstance(one, Mapping)
        else one
        for one in upgraded["calibration"]
    ]
    upgraded["stretches"] = split_into_stretches(
        len(upgraded["epochs"]),
        upgraded.get("resumed_after", ()),
        {"backend": upgraded.get("backend", "eager"), "environment": upgraded["environment"]},
    )
    upgraded = {"backend": "eager", "resumed_after": [], **unknown, **upgraded}
    return _rename_layers(upgraded) | {"schema": RUN_SCHEMA}


def split_into_stretches(
    epochs: int, resumed_after: Sequence[int], last: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the stretches of a run that recorded only where it was resumed.

    Args:
        epochs: How many were trained.
        resumed_after: The epochs after which the run was resumed.
        last: The ``backend`` and ``environment`` of the last stretch; those of others are unknown.
    """
    ends = sorted({end for end in resumed_after if 0 < end < epochs} | {epochs} - {0})
    starts = [1, *(end + 1 for end in ends)]
    unknown = {"backend": "unknown", "environment": {}}
    return [
        {"first_epoch": start, "last_epoch": end, **(last if end == epochs else unknown)}
        for start, end in zip(starts, ends, strict=False)
    ]


def upgrade_study(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a study with today's schema.

    Raises:
        KeyError, TypeError, AttributeError: The record is damaged.
    """
    if record["schema"] == STUDY_SCHEMA:
        return dict(record)
    _refuse_newer_keys(record, ("source_digest",))
    if record["schema"] == STUDY_SCHEMA - 1:
        return _name_split({"source_digest": "", **record, "schema": STUDY_SCHEMA})
    _refuse_newer_keys(record, ("cost", "lr_by_epoch"))
    upgraded = _upgrade_config(_rename(record, _STUDY_KEYS))
    upgraded["seeds"] = [
        seed | {"calibration": _add_bounds(seed["calibration"])}
        for seed in (_rename(seed, _SEED_KEYS) for seed in upgraded["seeds"])
    ]
    upgraded = {"backend": "eager", "chosen_by": None, **upgraded}
    return _rename_layers(upgraded) | {"schema": STUDY_SCHEMA}


def upgrade_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run configuration that a checkpoint holds, in today's form.

    Version 0.1 stored only the digest, the channels and the validation images of the data set,
    which is what resuming a run compares.

    Raises:
        KeyError, TypeError, AttributeError: The configuration is damaged.
    """
    upgraded = _upgrade_config(_rename(values, _CHECKPOINT_KEYS))
    if "data" not in upgraded:
        val = upgraded.pop("val_images", 0)
        upgraded["data"] = {
            "name": upgraded["dataset"],
            "digest": upgraded.pop("digest"),
            "shape": [upgraded.pop("channels")],
            "images": {"val": val} if val else {},
        }
    return upgraded


def upgrade_checkpoint(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint file in today's format.

    Raises:
        KeyError, TypeError, AttributeError: The file is not a checkpoint.
    """
    if content["format"] == 2:
        content = _upgrade_first_checkpoint(content)
    if content["format"] == 3:
        state = content["checkpoint"]
        last = {"backend": "unknown", "environment": {}}
        stretches = split_into_stretches(len(state["epochs"]), state.get("resumed_after", ()), last)
        content = {**content, "format": 4, "checkpoint": {**state, "stretches": stretches}}
    return dict(content)


def _upgrade_first_checkpoint(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint with format 2 in format 3."""
    config = content["assignment"]
    state = _rename(content["checkpoint"], {"optimiser": "optimizer"})
    state["optimizer"] = _rename(state["optimizer"], {"taken": "steps"})
    layers = OLD_LAYER_NAMES.get(config["net"], {})
    for tensors in ("net", "average"):
        state[tensors] = {
            _rename_tensor(name, layers): value for name, value in state[tensors].items()
        }
    return {"format": 3, "config": config, "checkpoint": state}


def upgrade_trial(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of a trials file in today's form.

    Version 0.1 recorded finished trials only, so its lines do not say how a trial ended.
    """
    if "schema" in line:
        return dict(line)
    upgraded = {"state": "finished", **upgrade_recipe(_rename(line, _TRIAL_KEYS))}
    if isinstance(upgraded.get("changes"), Mapping):
        upgraded["changes"] = upgrade_recipe(upgraded["changes"])
    if isinstance(upgraded.get("params"), Mapping):
        upgraded["params"] = upgrade_recipe(upgraded["params"])
    return upgraded


def _refuse_newer_keys(record: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuse a record with keys that its schema number does not have yet."""
    for key in keys:
        if key in record:
            raise DamagedRecordError(
                f"schema is {record['schema']}, but {key} came with a later one; restore the file"
                " from a copy, or run the command again"
            )


def _upgrade_config(record: dict[str, Any]) -> dict[str, Any]:
    """Upgrade what runs, studies and checkpoints share."""
    record = {"initial_weights_digest": "", "source_digest": "", **record}
    record["recipe"] = drop_defaults(complete_recipe(record["recipe"]))
    if record["budget"]:
        name = record["budget"]["name"]
        record["budget"] = {**record["budget"], "name": OLD_BUDGET_NAMES.get(name, name)}
    return _name_split(record)


def _name_split(record: dict[str, Any]) -> dict[str, Any]:
    """Add the split that the budget judges; before schema 4, it was always ``test``."""
    if record["budget"]:
        record["budget"] = {"judged_on": "test", **record["budget"]}
    return record


def _rename_layers(record: dict[str, Any]) -> dict[str, Any]:
    """Give the layers in the tables of a run or study today's names."""
    names = OLD_LAYER_NAMES.get(record["net"], {})

    def rename(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: rename(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [rename(inner) for inner in value]
        if isinstance(value, str):
            return re.sub(r"^\w+(?=[. ]|$)", lambda found: names.get(found[0], found[0]), value)
        return value

    tables = ("cost", "summary", "receptive_field", "verdict")
    return record | {key: rename(record[key]) for key in tables if names and key in record}


def _rename_tensor(name: str, layers: Mapping[str, str]) -> str:
    """Give a parameter or buffer, also of an averaged net, its layer's name of today."""
    wrapper = "module." if name.startswith("module.") else ""
    layer, dot, rest = name.removeprefix(wrapper).partition(".")
    return wrapper + layers.get(layer, layer) + dot + rest


def _add_bounds(bins: list[list[float]]) -> list[list[float]]:
    """Give the bins of a study the bounds of their equal parts of 0..1."""
    parts = len(bins)
    return [
        [k / parts, (k + 1) / parts, *values] if len(values) == 3 else values
        for k, values in enumerate(bins)
    ]


def _rename(values: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    return {keys.get(name, name): value for name, value in values.items()}
