"""An evaluation as a person reads it, and as JSON has it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from netlet.budgets import Score
from netlet.evaluation.evaluate import Evaluation
from netlet.records import Mistake
from netlet.text import table

_MAX_CONFUSION_CLASSES = 20  # classes; a wider confusion table fits no terminal


def format_evaluation(found: Evaluation, class_names: Sequence[str], worst: int = 10) -> str:
    """Score with its 95 % interval, a table of the classes, the confusion and the worst mistakes.

    Args:
        found: What to tell.
        class_names: In the order of the labels.
        worst: How many mistakes to list.
    """
    parts = [
        f"{found.score}, 95 % interval {_format_interval(found.score)}; loss {found.loss:.4f}",
        table(
            ("class", "images", "correct", "%", "95 % interval", "most often taken for"),
            [_class_row(found, k, class_names) for k in range(len(class_names))],
            "lrrrrl",
        ),
    ]
    if len(class_names) <= _MAX_CONFUSION_CLASSES:
        rows = [
            [name, *(str(n) if n else "." for n in row)]
            for name, row in zip(class_names, found.confusion, strict=True)
        ]
        parts.append(
            "label by row, prediction by column\n"
            + table(("", *class_names), rows, "l" + "r" * len(class_names))
        )
    mistakes = worst_mistakes(found, worst)
    if mistakes:
        rows = [
            [str(m.image), class_names[m.label], class_names[m.predicted], f"{m.confidence:.4f}"]
            for m in mistakes
        ]
        parts.append(
            f"worst {len(mistakes)} of {len(found.mistakes)} mistakes: wrong, and surest of it\n"
            + table(("image", "label", "prediction", "confidence"), rows, "rllr")
        )
    return "\n\n".join(parts)


def evaluation_to_dict(
    found: Evaluation, class_names: Sequence[str], worst: int = 10
) -> dict[str, Any]:
    """The same as plain values; ``mistakes`` are those that the text lists, ``confusion`` is ``[label][predicted]``."""
    return {
        "score": dataclasses.asdict(found.score) | _percent_fields(found.score),
        "loss": found.loss if math.isfinite(found.loss) else None,
        "classes": [
            {
                "name": name,
                "images": sum(row),
                "correct": row[k],
                **_percent_fields(Score("", row[k], sum(row))),
            }
            for k, (name, row) in enumerate(zip(class_names, found.confusion, strict=True))
        ],
        "confusion": [list(row) for row in found.confusion],
        "calibration": [bin_._asdict() for bin_ in found.calibration],
        "mistakes": [mistake._asdict() for mistake in worst_mistakes(found, worst)],
    }


def worst_mistakes(found: Evaluation, most: int) -> list[Mistake]:
    """The mistakes that the net was surest of, worst first."""
    return sorted(found.mistakes, key=lambda mistake: (-mistake.confidence, mistake.image))[:most]


def _class_row(found: Evaluation, k: int, names: Sequence[str]) -> list[str]:
    row = found.confusion[k]
    score = Score(found.score.split, row[k], sum(row))
    wrong = sorted(
        ((n, names[j]) for j, n in enumerate(row) if j != k and n), key=lambda item: -item[0]
    )[:3]
    taken = ", ".join(f"{name} ({n})" for n, name in wrong) or "-"
    if not score.total:
        return [names[k], "0", "0", "-", "-", taken]
    return [
        names[k],
        f"{score.total:,}",
        f"{score.correct:,}",
        f"{score.percent:.2f}",
        _format_interval(score),
        taken,
    ]


def _format_interval(score: Score) -> str:
    low, high = score.interval()
    return f"{low:.2f} to {high:.2f} %"


def _percent_fields(score: Score) -> dict[str, Any]:
    if not score.total:
        return {"percent": None, "interval_percent": None}
    return {"percent": score.percent, "interval_percent": list(score.interval())}
