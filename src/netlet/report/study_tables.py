"""The tables of a study's report."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from netlet import stats
from netlet.budgets import wilson
from netlet.data.disputed_labels import DisputedLabel
from netlet.records import Mistake, Study, frequent_mistakes
from netlet.report.tables import Bold, Code
from netlet.stats.formatting import format_setting
from netlet.text import Table, format_count, format_percent, format_shape, format_sizes


class WrongImage(NamedTuple):
    """An image that at least one seed misclassifies."""

    # The most frequent wrong prediction, and the mean confidence of the seeds that are wrong.
    mistake: Mistake
    seeds: int  # that misclassify it


def rank_wrong_images(study: Study) -> list[WrongImage]:
    """Return all images that a seed misclassifies: most seeds first, then highest confidence."""
    by_image: dict[int, list[Mistake]] = {}
    for mistake in study.mistakes():
        by_image.setdefault(mistake.image, []).append(mistake)
    wrong = [
        WrongImage(
            Mistake(
                image,
                mistakes[0].label,
                Counter(mistake.predicted for mistake in mistakes).most_common(1)[0][0],
                statistics.mean(mistake.confidence for mistake in mistakes),
            ),
            len(mistakes),
        )
        for image, mistakes in by_image.items()
    ]
    return sorted(wrong, key=lambda one: (-one.seeds, -one.mistake.confidence, one.mistake.image))


def verdict_table(study: Study) -> Table | None:
    """Return the rules of the budget, checked on the mean of the seeds; None without a budget."""
    verdict = stats.study_verdict(study)
    if verdict is None:
        return None
    rows = [(Bold(r.state), r.title, r.limit, r.found, r.margin) for r in verdict.results]
    return Table(("verdict", "rule", "limit", "result", "margin"), rows, "lllll")


def layer_table(study: Study) -> Table:
    """Return the layers of the net; the column of dilations only if one is not 1."""
    layers: Sequence[Mapping[str, Any]] = study.summary["rows"]
    dilated = any(row["dilation"] and set(row["dilation"]) != {1} for row in layers)
    windows = ["kernel", "stride", "padding", *(["dilation"] if dilated else [])]
    rows = [
        [
            Code(row["name"]),
            row["kind"],
            *(format_sizes(row[size]) if row[size] else "" for size in windows),
            format_shape(row["output"]),
            f"{row['parameters']:,}",
            format_count(row["macs"]),
            format_sizes(row["field"]),
        ]
        for row in layers
    ]
    columns = (
        "layer",
        "kind",
        *windows,
        "output",
        "parameters",
        "MACs",
        "receptive field",
    )
    return Table(columns, rows, "ll" + "r" * (len(columns) - 2))


def receptive_field_table(study: Study) -> Table:
    """Return the receptive field layer by layer, in the notation of write-up 001.

    It has dilations, ``d``, only if one is not 1.
    """
    windows: Sequence[Mapping[str, Any]] = study.receptive_field["rows"]
    dilated = any(set(row["d"]) != {1} for row in windows)
    names = ["n_in", "k", "s", "p", *(["d"] if dilated else []), "n_out"]
    names += ["r_in", "j_in", "r_out", "j_out"]
    rows = [
        [Code(row["name"]), row["kind"], *(format_sizes(row[name]) for name in names)]
        for row in windows
    ]
    return Table(("layer", "kind", *names), rows, "ll" + "r" * len(names))


def class_table(study: Study) -> Table:
    """Return the accuracy of each class, all seeds together, and its most frequent mistakes."""
    names, n = study.data["class_names"], len(study.seeds)
    rows = []
    for k, row in enumerate(study.confusion()):
        if not study.class_sizes[k]:
            rows.append([names[k], "0", "-", "-", "-"])
            continue
        wrong = [f"{names[j]} ({_per_seed(times, n)})" for j, times in frequent_mistakes(row, k)]
        share = row[k] / sum(row)
        low, high = wilson(share, study.class_sizes[k])
        rows.append(
            [
                names[k],
                f"{study.class_sizes[k]:,}",
                format_percent(share),
                f"{low:.2f} to {high:.2f}%",
                ", ".join(wrong) or "-",
            ]
        )
    unit = "images" if n == 1 else "images per seed"
    columns = ("class", "images", "accuracy", "95% interval", f"most often mistaken for ({unit})")
    return Table(columns, rows, "lrrrl")


def _per_seed(images: int, seeds: int) -> str:
    """Return a mean number of images; a whole number for one seed."""
    return f"{images:,}" if seeds == 1 else f"{images / seeds:,.1f}"


def calibration_table(study: Study) -> Table:
    """Return the accuracy of predictions by their confidence, all seeds together."""
    rows = [
        [
            f"{100 * one.low:.0f} to {100 * one.high:.0f}%",
            f"{one.images:,}",
            format_percent(one.confidence),
            format_percent(one.correct / one.images),
        ]
        for one in study.calibration()
        if one.images
    ]
    return Table(("confidence", "images", "mean confidence", "accuracy"), rows, "lrrr")


def mistake_table(
    study: Study, wrong: Sequence[WrongImage], disputed: Mapping[int, DisputedLabel]
) -> Table:
    """Return misclassified images.

    Args:
        study: The study.
        wrong: The images to list.
        disputed: The images whose label most annotators reject, of the split that scored it.
    """
    names, n = study.data["class_names"], len(study.seeds)
    rows = [
        [
            str(mistake.image),
            names[mistake.label],
            names[mistake.predicted],
            f"{100 * mistake.confidence:.1f}%",
            f"{seeds} of {n}",
            *([str(disputed.get(mistake.image, ""))] if disputed else []),
        ]
        for mistake, seeds in wrong
    ]
    columns = ("image", "label", "prediction", "confidence", "seeds wrong")
    if not disputed:
        return Table(columns, rows, "rllrr")
    return Table((*columns, "label rejected"), rows, "rllrrr")


def recipe_table(study: Study) -> Table:
    """Return the settings of the recipe, with all digits of their numbers."""
    rows = [[name, Code(format_setting(value, exact=True))] for name, value in study.recipe.items()]
    return Table(("setting", "value"), rows, "ll")
