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

# Of each experiment for the clock: the most T it must take, the goal, and the accuracy its seeds
# must have on average.
RATIOS = {"sprint": (1.3, 0.65, 99.40), "dash": (0.4, 0.25, 99.00), "sprint8k": (6.0, 3.0, 99.40)}


def race_tables(race: Mapping[str, Any]) -> str:
    """A race's figures: each side's clocks, then the machine and how each side was run."""
    head = ("", "parameters", "epochs", "training", "in T", "of each turn", "warm", "cold")
    clocks = ("train_s", "warm_s", "cold_s")
    rows = [
        [
            f"`{row['name']}`" if row["name"] in EXPERIMENTS else row["name"],
            f"{row['parameters']:,}",
            str(row["epochs"]),
            f"{row['train_s']:.2f} s",
            f"{row['ratio']:.2f}",
            " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
            *(f"{row[clock]:.2f} s" if clock in row else "-" for clock in clocks[1:]),
        ]
        for row in race["rows"]
    ]
    machine = race["environment"]
    hows = "; ".join(f"{row['name']}: {' '.join(row['how'])}" for row in race["rows"])
    return (
        f"{markdown_table(head, rows)}\n\n{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, "
        f"{race['images']:,} images an epoch, medians of {race['turns']} turns. How each side was run: {hows}."
    )


def race_rows() -> str:
    """The recorded race."""
    return race_tables(_race())


def targets() -> str:
    """What this was to reach, and what it does by the recorded race."""
    return targets_table({**_race(), "cold": json.loads((RESULTS / "cold.json").read_text())})


def targets_table(race: Mapping[str, Any]) -> str:
    """What this was to reach, and what it does: times of a race, accuracy of the recorded studies."""
    rows = []
    for name, (must, goal, bar) in RATIOS.items():
        mean, ratio = stats.mean_percent(recorded_study(name)), _row(race, name)["ratio"]
        rows.append(
            [
                f"`{name}`: mean of ten fresh seeds at least {bar:.2f} %; training time",
                f"at most {must:g} T",
                f"at most {goal:g} T",
                f"{mean:.3f} %; {ratio:.2f} T",
                _met(mean >= bar and ratio <= must, mean >= bar and ratio <= goal),
            ]
        )
    # A race of its own measures cold starts against the training time in their own records.
    share, beyond = (
        race["peak"]["share"],
        _row(race.get("cold", race), "sprint")["cold_beyond_training_s"],
    )
    pipeline, study_ratio = race["pipeline"]["ratio"], race["study"]["ratio"]
    rows += [
        [
            "MnistNet_1 with document 001's augmentation and dropout, images a second beside the usual pipeline",
            "at least 5 times",
            "at least 8 times",
            f"{pipeline:.2f} times",
            _met(pipeline >= 5, pipeline >= 8),
        ],
        [
            f"share of the machine's {race['peak']['precision']} matrix-product peak that `sprint`'s training reaches",
            "reported",
            "40 %",
            f"{100 * share:.0f} %",
            _met(True, share >= 0.4),
        ],
        [
            "a whole cold `netlet train sprint`, beyond its training time",
            "at most 5 s",
            "at most 3 s",
            f"{beyond:.1f} s",
            _met(beyond <= 5, beyond <= 3),
        ],
        [
            "ten seeds of `sprint` by `netlet study`, against ten `netlet train` one after another",
            "at least 1.3 times",
            "at least 1.8 times",
            f"{study_ratio:.2f} times",
            _met(study_ratio >= 1.3, study_ratio >= 1.8),
        ],
    ]
    return markdown_table(("what", "must", "goal", "measured", ""), rows)


def pipeline_rows() -> str:
    """Images a second beside the usual pipeline."""
    rows = json.loads((RESULTS / "pipeline.json").read_text())["rows"]
    return markdown_table(
        ("net", "usual", "netlet", "ratio"),
        [
            [
                f"`{row['net']}`",
                f"{row['usual_images_per_s']:,}",
                f"{row['netlet_images_per_s']:,}",
                f"{row['ratio']:.2f}",
            ]
            for row in rows
        ],
    )


def head_figure() -> str:
    """The claim for the clock, in a sentence."""
    race, study = _race(), recorded_study("sprint")
    row, (low, high) = _row(race, "sprint"), stats.interval_over_seeds(study) or (0, 0)
    peer = race["rows"][0]
    return (
        f"**For the clock, `sprint`: {stats.mean_percent(study):.2f} % with {row['parameters']:,} parameters after "
        f"{row['train_s']:.1f} s of training on {race['environment']['cores']} CPU cores** (mean of {len(study.seeds)} "
        f"fresh seeds, 95 % interval {low:.2f} to {high:.2f} %, last epoch): {row['ratio']:.2f} times what "
        f"train_mnist_fast's recipe takes there for 99 % with {peer['parameters']:,} parameters "
        "([docs/speed.md](docs/speed.md))."
    )


def peer_score() -> str:
    """That the peer's recipe is what it should be."""
    correct = json.loads((RESULTS / "peer.json").read_text())["correct_of_10000"]
    return f"T's recipe gets {statistics.mean(correct) / 100:.2f} % here, the mean of {len(correct)} seeds."


def ladder_table(ladder: Mapping[str, Any]) -> str:
    """What each change brought."""
    head = ("change", "parameters", "epochs", "training", "in T", "times as fast", "expected")
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
    return markdown_table(head, rows)


def ladder_rows() -> str:
    """The recorded ladder."""
    return ladder_table(json.loads((RESULTS / "ladder.json").read_text()))


TABLES: dict[str, Callable[[], str]] = {
    "targets": targets,
    "race": race_rows,
    "pipeline": pipeline_rows,
    "head": head_figure,
    "ladder": ladder_rows,
    "peer": peer_score,
}


def _race() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / "race.json").read_text())
    return found


def _row(race: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in race["rows"] if row["name"] == name)
    return found


def _met(must: bool, goal: bool) -> str:
    return "goal met" if goal else "must met" if must else "**not met**"
