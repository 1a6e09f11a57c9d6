"""The tables of a study's report, as titles, rows and alignment."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netlet import stats
from netlet.budgets import wilson
from netlet.records.study import Study
from netlet.report.markdown import escape_markdown, inline_code
from netlet.text import count, per_axis

Rows = tuple[Sequence[str], Sequence[Sequence[str]], str]


@dataclass(frozen=True)
class Worst:
    """An image that some seeds get wrong."""

    image: int
    label: int
    predicted: int  # most often, of the wrong predictions
    confidence: float  # mean over the seeds that are wrong
    seeds: int  # that are wrong


def worst_mistakes(study: Study) -> list[Worst]:
    """Every image that is wrong for some seed; those wrong for most seeds first, of these the surest."""
    by_image: dict[int, list[Any]] = {}
    for mistake in study.mistakes():
        by_image.setdefault(mistake.image, []).append(mistake)
    found = [
        Worst(
            image,
            wrong[0].label,
            Counter(m.predicted for m in wrong).most_common(1)[0][0],
            statistics.mean(m.confidence for m in wrong),
            len(wrong),
        )
        for image, wrong in by_image.items()
    ]
    return sorted(found, key=lambda one: (-one.seeds, -one.confidence, one.image))


def verdict_table(study: Study) -> Rows | None:
    """The budget's rules held against the mean of the seeds; None without a budget."""
    verdict = stats.study_verdict(study)
    if verdict is None:
        return None
    rows = [(r.rule, r.limit, r.found, r.margin, f"**{r.state}**") for r in verdict.results]
    return ("rule", "limit", "found", "margin", ""), rows, "lllll"


def seed_rows(study: Study) -> Rows:
    """What each seed came to."""
    rows = [
        [
            str(seed.seed),
            f"{seed.correct:,}",
            f"{100 * seed.correct / study.total:.2f}",
            f"{max(seed.correct_by_epoch):,}",
            f"{100 * seed.train_correct_by_epoch[-1] / study.train_total:.2f}",
            f"{100 * seed.train_correct / study.train_total:.2f}",
            f"{seed.train_s:.1f}",
            seed.verdict or "-",
        ]
        for seed in study.seeds
    ]
    head = (
        "seed",
        f"right of {study.total:,}",
        "%",
        "best epoch",
        "% while training",
        "% of train as it is",
        "training, s",
        "verdict",
    )
    return head, rows, "rrrrrrrl"


def layer_table(study: Study) -> Rows:
    """The net's layers."""
    rows = [
        [
            inline_code(row["name"]),
            escape_markdown(row["kind"]),
            *(per_axis(row[size]) if row[size] else "" for size in ("kernel", "stride", "padding")),
            "x".join(map(str, row["output"])),
            f"{row['parameters']:,}",
            count(row["macs"]),
            per_axis(row["field"]),
        ]
        for row in study.summary["rows"]
    ]
    return (
        ("layer", "kind", "k", "s", "p", "output", "parameters", "MACs", "field"),
        rows,
        "llrrrrrrr",
    )


def receptive_field_table(study: Study) -> Rows:
    """The receptive field, layer by layer, by the names of document 001."""
    names = ("n_in", "k", "s", "p", "n_out", "r_in", "j_in", "r_out", "j_out")
    rows = [
        [inline_code(row["name"]), escape_markdown(row["kind"]), *(per_axis(row[name]) for name in names)]
        for row in study.receptive_field["rows"]
    ]
    return ("layer", "kind", *names), rows, "ll" + "r" * len(names)


def class_table(study: Study) -> Rows:
    """Each class: how many of its images are right, all seeds together, and what it is taken for."""
    names, n = _class_names(study), len(study.seeds)
    rows = []
    for k, row in enumerate(study.confusion()):
        taken = sorted(
            ((count, names[j]) for j, count in enumerate(row) if j != k and count), reverse=True
        )[:3]
        if not study.class_sizes[k]:
            rows.append([names[k], "0", "-", "-", "-"])
            continue
        share = row[k] / sum(row)
        low, high = wilson(share, study.class_sizes[k])
        mistaken = ", ".join(f"{name} ({count / n:.1f})" for count, name in taken) or "-"
        rows.append(
            [
                names[k],
                f"{study.class_sizes[k]:,}",
                f"{100 * share:.2f}",
                f"{low:.2f} to {high:.2f}",
                mistaken,
            ]
        )
    return (
        ("class", "images", "% right", "95 % interval", "taken for (images a seed)"),
        rows,
        "lrrrl",
    )


def calibration_table(study: Study) -> Rows:
    """How often the net is right, by its confidence, all seeds together."""
    bins = study.calibration()
    rows = [
        [
            f"{100 * i / len(bins):.0f} to {100 * (i + 1) / len(bins):.0f} %",
            f"{one.images:,}",
            f"{100 * one.confidence:.1f}",
            f"{100 * one.correct / one.images:.1f}",
        ]
        for i, one in enumerate(bins)
        if one.images
    ]
    return ("confidence", "images", "mean confidence, %", "% right"), rows, "lrrr"


def mistake_table(study: Study, worst: Sequence[Worst]) -> Rows:
    """Mistakes in figures."""
    names, n = _class_names(study), len(study.seeds)
    rows = [
        [
            str(one.image),
            names[one.label],
            names[one.predicted],
            f"{100 * one.confidence:.1f}",
            f"{one.seeds} of {n}",
        ]
        for one in worst
    ]
    return ("image", "label", "prediction", "confidence, %", "seeds wrong"), rows, "rllrr"


def _class_names(study: Study) -> list[str]:
    return [escape_markdown(name) for name in study.data["class_names"]]
