"""The YAML head of a model card or Space, as the Hugging Face Hub reads it.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md lists the keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from netlet import stats
from netlet.records import Study
from netlet.text import escape_controls

# Names of data sets on the Hub. What is not listed is named in ``model-index`` only.
HUB_DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
}
_TASK = "image-classification"
_DIGITS = 5  # of an accuracy from 0 to 1


def model_head(study: Study, license_id: str | None) -> dict[str, Any]:
    """Return the head of a model's card.

    Args:
        study: The study that trained the weights: its mean is stated, never a best run.
        license_id: The license of the weights as the Hub writes it; None: it is not stated.
    """
    data = study.data["name"]
    return {
        **({"license": license_id} if license_id else {}),
        "library_name": "netlet",
        "pipeline_tag": _TASK,
        **({"datasets": [HUB_DATASETS[data]]} if data in HUB_DATASETS else {}),
        "metrics": ["accuracy"],
        "tags": ["netlet", "pytorch", "tiny", "embedded", *_unlisted(data)],
        "model-index": [{"name": study.name, "results": [_result(study)]}],
    }


def space_head(study: Study, license_id: str | None) -> dict[str, Any]:
    """Return the head of a Space with the page of a net.

    Args:
        study: The study that trained the weights.
        license_id: The license as the Hub writes it; None: it is not stated.
    """
    are_digits = list(study.data["class_names"]) == list("0123456789")
    return {
        "title": f"{study.name}: draw a digit" if are_digits else f"{study.name}: draw",
        "emoji": "🔢" if are_digits else "✏️",
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        **({"license": license_id} if license_id else {}),
    }


def write_head(head: Mapping[str, Any]) -> str:
    """Return a head as YAML between two lines of dashes.

    Every text is written as JSON writes it, which is YAML as well.
    """
    return "\n".join(["---", *_lines(head, 0), "---"]) + "\n"


def _unlisted(data: str) -> list[str]:
    return [] if data in HUB_DATASETS else ["custom-data"]


def _result(study: Study) -> dict[str, Any]:
    """Return the mean accuracy of a study's seeds as an entry of ``model-index``."""
    name, count = study.data["name"], len(study.seeds)
    interval = stats.interval_over_seeds(study)
    over = "of 1 seed" if count == 1 else f"mean of {count} seeds"
    within = ""
    shifts = f", {stats.SHIFTS}" if stats.averages_shifts(study) else ""
    arguments: dict[str, Any] = {"seeds": count, "epoch": "last", "images": study.total}
    if interval:
        within = f", 95% interval {interval[0]:.3f}% to {interval[1]:.3f}%"
        arguments["interval_95"] = [round(bound / 100, _DIGITS) for bound in interval]
    return {
        "task": {"type": _TASK, "name": "Image Classification"},
        "dataset": {"type": HUB_DATASETS.get(name, name), "name": name, "split": study.split},
        "metrics": [
            {
                "type": "accuracy",
                "value": round(stats.mean_percent(study) / 100, _DIGITS),
                "name": f"{study.split} accuracy, {over}{within}{shifts}",
                "args": arguments,
            }
        ],
    }


def _lines(value: Any, depth: int) -> list[str]:
    """Return a mapping or a list as lines of block-style YAML."""
    indent = "  " * depth
    if isinstance(value, Mapping):
        found = []
        for key, part in value.items():
            if _is_nested(part):
                found += [f"{indent}{key}:", *_lines(part, depth + 1)]
            else:
                found.append(f"{indent}{key}: {_scalar(part)}")
        return found
    found = []
    for part in value:
        if _is_nested(part):
            first, *rest = _lines(part, depth + 1)
            found += [f"{indent}- {first.lstrip()}", *rest]
        else:
            found.append(f"{indent}- {_scalar(part)}")
    return found


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, Sequence) and not isinstance(value, str)
    )


def _scalar(value: Any) -> str:
    """Return a text, number or truth value; control characters of a text are escaped."""
    text = escape_controls(value) if isinstance(value, str) else value
    return json.dumps(text, ensure_ascii=False)
