"""Format an evaluation as text for the terminal and as values for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from netlet.budgets import Score
from netlet.data.disputed_labels import DisputedLabel
from netlet.evaluation.evaluate import Evaluation
from netlet.records import Mistake, frequent_mistakes
from netlet.text import Table, count_noun, format_table, round_percentages

MAX_CONFUSION_CLASSES = 20  # a wider confusion matrix does not fit on a terminal
CONFUSION_TITLE = "confusion matrix: labels in rows, predictions in columns"


def format_evaluation(
    evaluation: Evaluation,
    class_names: Sequence[str],
    worst: int = 10,
    disputed: Mapping[int, DisputedLabel] | None = None,
) -> str:
    """Return the score with its 95% interval, the classes, the confusion matrix and mistakes.

    Args:
        evaluation: The evaluation to format.
        class_names: The names of the classes, in the order of the labels.
        worst: The number of mistakes to list, those with the highest confidence first.
        disputed: The images of the split whose label most annotators reject; their mistakes are
            marked.
    """
    parts = [
        describe_score(evaluation),
        str(class_table(evaluation, class_names)),
    ]
    if len(class_names) <= MAX_CONFUSION_CLASSES:
        parts.append(f"{CONFUSION_TITLE}\n{confusion_table(evaluation, class_names)}")
    mistakes = worst_mistakes(evaluation, worst)
    if mistakes:
        parts.append(
            f"{len(mistakes):,} of {len(evaluation.mistakes):,} mistakes, "
            "highest confidence first\n" + _format_mistakes(mistakes, class_names, disputed or {})
        )
    if text := _count_disputed(evaluation, disputed or {}):
        parts.append(text)
    return "\n\n".join(parts)


def _format_mistakes(
    mistakes: Sequence[Mistake], names: Sequence[str], disputed: Mapping[int, DisputedLabel]
) -> str:
    """Return mistakes as a table; the column of annotators only if it has an entry."""
    marks = [str(disputed.get(m.image, "")) for m in mistakes]
    shown = any(marks)
    rows = [
        [str(m.image), names[m.label], names[m.predicted], f"{m.confidence:.4f}", mark][: 4 + shown]
        for m, mark in zip(mistakes, marks, strict=True)
    ]
    columns = ("image", "label", "prediction", "confidence", "label rejected")[: 4 + shown]
    return format_table(columns, rows, "rllrl"[: 4 + shown])


def _count_disputed(evaluation: Evaluation, disputed: Mapping[int, DisputedLabel]) -> str:
    """Return how many of the mistakes have a label that most annotators reject, if any has."""
    found = sum(mistake.image in disputed for mistake in evaluation.mistakes)
    if not found:
        return ""
    mistakes = count_noun(len(evaluation.mistakes), "mistake")
    have = "has a label" if found == 1 else "have labels"
    return f"{found} of the {mistakes} {have} that most annotators reject (arXiv:2103.14749)"


def describe_score(evaluation: Evaluation) -> str:
    """Return the score with its 95% interval, the loss, and how many outputs are no predictions."""
    score, broken = evaluation.score, describe_not_finite(evaluation)
    text = f"{score}, 95% interval {_format_interval(score)}; loss {evaluation.loss:.4f}"
    return f"{text}; {broken}" if broken else text


def describe_not_finite(evaluation: Evaluation) -> str:
    """Return how many outputs are not finite, and that they count as wrong; empty if none is."""
    number, total = evaluation.not_finite, evaluation.score.total
    if not number:
        return ""
    return f"the outputs for {number:,} of {total:,} images are not finite and count as wrong"


def class_table(evaluation: Evaluation, class_names: Sequence[str]) -> Table:
    """Return a row for each class: its accuracy, and what it is most often mistaken for."""
    return Table(
        ("class", "images", "correct", "%", "95% interval", "most often mistaken for"),
        [_class_row(evaluation, k, class_names) for k in range(len(class_names))],
        "lrrrrl",
    )


def confusion_table(evaluation: Evaluation, class_names: Sequence[str]) -> Table:
    """Return the confusion matrix: labels in rows, predictions in columns."""
    rows = [
        [name, *(f"{n:,}" if n else "." for n in row)]
        for name, row in zip(class_names, evaluation.confusion, strict=True)
    ]
    return Table(("", *class_names), rows, "l" + "r" * len(class_names))


def evaluation_to_dict(
    evaluation: Evaluation,
    class_names: Sequence[str],
    worst: int = 10,
    disputed: Mapping[int, DisputedLabel] | None = None,
) -> dict[str, Any]:
    """Return an evaluation as values for JSON.

    Args:
        evaluation: The evaluation to convert.
        class_names: The names of the classes, in the order of the labels.
        worst: The number of mistakes to include, those with the highest confidence first.
        disputed: The images of the split whose label most annotators reject.

    Returns:
        ``score`` and ``classes`` with percentages and 95% intervals, ``loss`` (None if it is not
        finite), ``confusion`` as ``[label][predicted]``, ``calibration`` and ``mistakes``, each
        with the number of annotators who reject its label (None if most accept it).
    """
    return {
        "score": dataclasses.asdict(evaluation.score) | _percent_fields(evaluation.score),
        "loss": evaluation.loss if math.isfinite(evaluation.loss) else None,
        "classes": [
            {
                "name": name,
                "images": sum(row),
                "correct": row[k],
                **_percent_fields(Score("", row[k], sum(row))),
            }
            for k, (name, row) in enumerate(zip(class_names, evaluation.confusion, strict=True))
        ],
        "confusion": [list(row) for row in evaluation.confusion],
        "calibration": [bin_._asdict() for bin_ in evaluation.calibration],
        "mistakes": [
            mistake._asdict() | {"label_rejected_by": _rejected(disputed, mistake.image)}
            for mistake in worst_mistakes(evaluation, worst)
        ],
    }


def _rejected(disputed: Mapping[int, DisputedLabel] | None, image: int) -> int | None:
    return disputed[image].rejected if disputed and image in disputed else None


def worst_mistakes(evaluation: Evaluation, count: int) -> list[Mistake]:
    """Return the mistakes with the highest confidence, in descending order."""
    return sorted(evaluation.mistakes, key=lambda m: (-m.confidence, m.image))[:count]


def _class_row(evaluation: Evaluation, k: int, names: Sequence[str]) -> list[str]:
    row = evaluation.confusion[k]
    score = Score(evaluation.score.split, row[k], sum(row))
    mistaken_for = ", ".join(f"{names[j]} ({n:,})" for j, n in frequent_mistakes(row, k)) or "-"
    if not score.total:
        return [names[k], "0", "0", "-", "-", mistaken_for]
    return [
        names[k],
        f"{score.total:,}",
        f"{score.correct:,}",
        f"{score.percent:.2f}",
        _format_interval(score),
        mistaken_for,
    ]


def _format_interval(score: Score) -> str:
    low, high = score.interval()
    return f"{low:.2f}% to {high:.2f}%"


def _percent_fields(score: Score) -> dict[str, Any]:
    if not score.total:
        return {"percent": None, "interval_percent": None}
    return round_percentages({"percent": score.percent, "interval_percent": list(score.interval())})
