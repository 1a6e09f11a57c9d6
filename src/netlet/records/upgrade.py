"""Read records that older versions wrote: the one place that knows their spelling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RECIPE_KEYS = {"optimiser": "optimizer", "batch": "batch_size", "step": "backend"}
_RECORD_KEYS = {"step": "backend", "facts": "cost"}
_VERDICT_KEYS = {"rulings": "rule_results"}


def upgrade(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run, study or trial in today's spelling; one that has it already is as it was."""
    upgraded = _renamed(record, _RECORD_KEYS)
    for name in ("recipe", "changes"):
        if upgraded.get(name) and isinstance(upgraded[name], Mapping):
            upgraded[name] = _renamed(upgraded[name], _RECIPE_KEYS)
    if isinstance(upgraded.get("verdict"), Mapping):
        upgraded["verdict"] = _renamed(upgraded["verdict"], _VERDICT_KEYS)
    return upgraded


def _renamed(values: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    return {keys.get(name, name): value for name, value in values.items()}
