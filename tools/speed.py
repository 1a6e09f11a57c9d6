"""Tables of speed, from the records of the benchmarks."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from netlet import stats
from netlet.experiments import EXPERIMENTS
from netlet.report.markdown import markdown_table
from tools.records import RESULTS, recorded_study

# Experiments that are raced -> the most training time in T, and the least mean accuracy in percent.
RATIOS = {"sprint": (1.3, 99.40), "dash": (0.4, 99.00), "sprint8k": (6.0, 99.40)}


def race_tables(race: Mapping[str, Any]) -> str:
    """Return a race's times, then the machine and how each contestant was run."""
    columns = (
        "contestant",
        "parameters",
        "epochs",
        "training",
        "in T",
        "in each round",
        "warm",
        "cold",
    )
    rows = [
        [
            f"`{row['name']}`" if row["name"] in EXPERIMENTS else row["name"],
            f"{row['parameters']:,}",
            str(row["epochs"]),
            f"{row['train_s']:.2f} s",
            f"{row['ratio']:.2f}",
            " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
            *(f"{row[clock]:.2f} s" if clock in row else "-" for clock in ("warm_s", "cold_s")),
        ]
        for row in race["rows"]
    ]
    machine = race["environment"]
    settings = "; ".join(f"{row['name']}: {' '.join(row['how'])}" for row in race["rows"])
    return (
        f"{markdown_table(columns, rows, 'lrrrrrrr')}\n\n{machine['cpu']}, {machine['cores']} "
        f"cores, torch {machine['torch']}, {race['images']:,} images per epoch, medians of "
        f"{race['turns']} rounds. Settings: {settings}."
    )


def draw_race() -> str:
    """Return the recorded race."""
    return race_tables(_load_race())


def draw_limits() -> str:
    """Return the recorded race and studies beside their limits."""
    return targets_table({**_load_race(), "cold": json.loads((RESULTS / "cold.json").read_text())})


def targets_table(race: Mapping[str, Any]) -> str:
    """Return times of a race and accuracies of the recorded studies beside their limits."""
    rows = []
    for name, (limit, target) in RATIOS.items():
        mean, ratio = stats.mean_percent(recorded_study(name)), _find_row(race, name)["ratio"]
        rows += [
            [
                f"`{name}`: mean accuracy of ten new seeds",
                f"at least {target:.2f}%",
                f"{mean:.3f}%",
            ],
            [f"`{name}`: training time", f"at most {limit:g} T", f"{ratio:.2f} T"],
        ]
    # A race that measures cold starts has the training times that belong to them.
    cold = _find_row(race.get("cold", race), "sprint")["cold_beyond_training_s"]
    share, precision = race["peak"]["share"], race["peak"]["precision"]
    rows += [
        [
            "`mnistnet_1` with document 001's augmentation and dropout: images per second, "
            "relative to the usual pipeline",
            "at least 5 times",
            f"{race['pipeline']['ratio']:.2f} times",
        ],
        [
            f"`sprint`: share of the machine's peak {precision} matrix-product throughput",
            "none",
            f"{100 * share:.0f}%",
        ],
        [
            "`netlet train sprint` from a cold start: time beyond training",
            "at most 5 s",
            f"{cold:.1f} s",
        ],
        [
            "ten seeds of `sprint` by `netlet study`: speed relative to ten runs of `netlet train`",
            "at least 1.3 times",
            f"{race['study']['ratio']:.2f} times",
        ],
    ]
    return markdown_table(("measurement", "limit", "result"), rows, "lrr")


def draw_pipeline() -> str:
    """Return the training throughput beside the usual pipeline's."""
    rows = json.loads((RESULTS / "pipeline.json").read_text())["rows"]
    return markdown_table(
        ("net", "usual pipeline, images/s", "netlet, images/s", "ratio"),
        [
            [
                f"`{row['net']}`",
                f"{row['usual_images_per_s']:,}",
                f"{row['netlet_images_per_s']:,}",
                f"{row['ratio']:.2f}",
            ]
            for row in rows
        ],
        "lrrr",
    )


def draw_peer_accuracy() -> str:
    """Return the accuracy of the recipe that T is the training time of, in a sentence."""
    correct = json.loads((RESULTS / "peer.json").read_text())["correct_of_10000"]
    return (
        f"The recipe behind T reaches {statistics.mean(correct) / 100:.2f}% here, the mean of "
        f"{len(correct)} seeds."
    )


def ladder_table(ladder: Mapping[str, Any]) -> str:
    """Return the training time after each change."""
    columns = (
        "change",
        "parameters",
        "epochs",
        "training",
        "in T",
        "speedup",
        "expected",
    )
    before = [None, *(row["ratio"] for row in ladder["rows"])]
    rows = [
        [
            row["change"],
            f"{row['parameters']:,}",
            str(row["epochs"]),
            f"{row['train_s']:.2f} s",
            f"{row['ratio']:.2f}",
            f"{last / row['ratio']:.2f}" if last else "-",
            row["expected"],
        ]
        for last, row in zip(before, ladder["rows"], strict=False)
    ]
    return markdown_table(columns, rows, "lrrrrrl")


def draw_ladder_of_changes() -> str:
    """Return the recorded training times after each change."""
    return ladder_table(json.loads((RESULTS / "ladder.json").read_text()))


TABLES: dict[str, Callable[[], str]] = {
    "targets": draw_limits,
    "race": draw_race,
    "pipeline": draw_pipeline,
    "ladder": draw_ladder_of_changes,
    "peer": draw_peer_accuracy,
}


def _load_race() -> dict[str, Any]:
    race: dict[str, Any] = json.loads((RESULTS / "race.json").read_text())
    return race


def _find_row(race: Mapping[str, Any], name: str) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in race["rows"] if row["name"] == name)
    return row
