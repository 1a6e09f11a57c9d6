"""The tables in README.md and docs/speed.md that are drawn from records.

    python -m benchmarks.pages            write them anew
    python -m benchmarks.pages --check    say whether they are what the records give

A table stands between ``<!-- records: NAME -->`` and ``<!-- end -->``; whoever edits it by hand fails a test.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netlet import records, studies
from netlet.experiments import DEFAULT, EXPERIMENTS
from netlet.studies import Study

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "speed.md")
# Of each experiment for the clock: the most T it must take, the goal, and the accuracy its seeds must have on average.
RATIOS = {"sprint": (1.3, 0.65, 99.40), "dash": (0.4, 0.25, 99.00), "sprint8k": (6.0, 3.0, 99.40)}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def race_tables(race: Mapping[str, Any]) -> str:
    """A race's figures: each side's clocks, then the machine and how each side was run."""
    head = ("", "parameters", "epochs", "training", "in T", "of each turn", "warm", "cold")
    clocks = ("train_s", "warm_s", "cold_s")
    rows = [
        [
            f"`{row['name']}`" if row["name"] in EXPERIMENTS else row["name"],
            f"{row['parameters']:,}", str(row["epochs"]),
            f"{row['train_s']:.2f} s", f"{row['ratio']:.2f}", " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
            *(f"{row[clock]:.2f} s" if clock in row else "-" for clock in clocks[1:]),
        ]
        for row in race["rows"]
    ]  # fmt: skip
    machine = race["environment"]
    hows = "; ".join(f"{row['name']}: {' '.join(row['how'])}" for row in race["rows"])
    return (
        f"{markdown(head, rows)}\n\n{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, "
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
        study, ratio = _study(name), _row(race, name)["ratio"]
        rows.append([
            f"`{name}`: mean of ten fresh seeds at least {bar:.2f} %; training time", f"at most {must:g} T",
            f"at most {goal:g} T", f"{study.mean:.3f} %; {ratio:.2f} T",
            _met(study.mean >= bar and ratio <= must, study.mean >= bar and ratio <= goal),
        ])  # fmt: skip
    # A race of its own measures cold starts against the training time in their own records.
    share, beyond = race["peak"]["share"], _row(race.get("cold", race), "sprint")["cold_beyond_training_s"]
    pipeline, study_ratio = race["pipeline"]["ratio"], race["study"]["ratio"]
    rows += [
        [
            "MnistNet_1 with document 001's augmentation and dropout, images a second beside the usual pipeline",
            "at least 5 times", "at least 8 times", f"{pipeline:.2f} times", _met(pipeline >= 5, pipeline >= 8),
        ],
        [
            f"share of the machine's {race['peak']['precision']} matrix-product peak that `sprint`'s training reaches",
            "reported", "40 %", f"{100 * share:.0f} %", _met(True, share >= 0.4),
        ],
        [
            "a whole cold `netlet train sprint`, beyond its training time", "at most 5 s", "at most 3 s",
            f"{beyond:.1f} s", _met(beyond <= 5, beyond <= 3),
        ],
        [
            "ten seeds of `sprint` by `netlet study`, against ten `netlet train` one after another",
            "at least 1.3 times", "at least 1.8 times", f"{study_ratio:.2f} times",
            _met(study_ratio >= 1.3, study_ratio >= 1.8),
        ],
    ]  # fmt: skip
    return markdown(("what", "must", "goal", "measured", ""), rows)


def studied() -> str:
    """The recorded studies."""
    head = ("experiment", "parameters", "epochs", "seeds", "mean", "95 % interval", "sd", "lowest to highest", "met")
    rows = []
    for path in sorted((RESULTS / "studies").glob("*.json"), key=_by_catalogue):
        study = studies.load(path)
        low, high = study.interval() or (study.mean, study.mean)
        correct = [seed.correct for seed in study.seeds]
        numbers = [seed.seed for seed in study.seeds]
        rows.append([
            f"`{study.name}`", f"{study.facts['parameters']:,}", str(study.recipe["epochs"]),
            f"{min(numbers)} to {max(numbers)}", f"{study.mean:.3f} %", f"{low:.3f} to {high:.3f} %",
            f"{study.sd:.3f}", f"{min(correct):,} to {max(correct):,}", f"{study.passed} of {len(numbers)}",
        ])  # fmt: skip
    return markdown(head, rows)


def recorded_runs() -> str:
    """The recorded runs on MNIST, an experiment a row."""
    head = ("experiment", "parameters", "epochs", "seeds", "mean", "correct of 10,000", "time of a run")
    found = [run for run in map(records.load, records.find(RESULTS)) if run.data["name"] == "mnist"]
    rows = []
    for name in sorted({run.name for run in found}, key=list(EXPERIMENTS).index):
        mine = sorted((run for run in found if run.name == name), key=lambda run: run.seed)
        correct = [run.last_epoch.correct for run in mine]
        rows.append([
            f"`{name}`", f"{mine[0].facts['parameters']:,}", str(len(mine[0].epochs)),
            ", ".join(str(run.seed) for run in mine), f"{statistics.mean(correct) / 100:.2f} %",
            f"{min(correct):,} to {max(correct):,}", f"{statistics.median(run.times['total_s'] for run in mine):.0f} s",
        ])  # fmt: skip
    return markdown(head, rows)


def pipeline_rows() -> str:
    """Images a second beside the usual pipeline."""
    rows = json.loads((RESULTS / "pipeline.json").read_text())["rows"]
    return markdown(
        ("net", "usual", "netlet", "ratio"),
        [
            [
                f"`{row['net']}`", f"{row['usual_images_per_s']:,}", f"{row['netlet_images_per_s']:,}",
                f"{row['ratio']:.2f}",
            ]
            for row in rows
        ],
    )  # fmt: skip


def claim() -> str:
    """What the default experiment reaches, in a sentence."""
    found = sorted(
        (run for run in map(records.load, records.find(RESULTS)) if (run.name, run.data["name"]) == (DEFAULT, "mnist")),
        key=lambda run: run.seed,
    )
    correct = [run.last_epoch.correct for run in found]
    seconds = statistics.median(run.times["total_s"] for run in found)
    first = found[0]
    return (
        f"**{statistics.mean(correct) / 100:.2f} % of the test images right on the last epoch (mean of {len(found)} "
        f"seeds, {min(correct):,} to {max(correct):,} of 10,000) with {first.facts['parameters']:,} parameters after "
        f"{len(first.epochs)} epochs, in {seconds:.0f} s on {first.environment['cores']} CPU cores.**"
    )


def head_figure() -> str:
    """The claim for the clock, in a sentence."""
    race, study = _race(), _study("sprint")
    row, (low, high) = _row(race, "sprint"), study.interval() or (0, 0)
    peer = race["rows"][0]
    return (
        f"**For the clock, `sprint`: {study.mean:.2f} % with {row['parameters']:,} parameters after "
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
            row["change"], f"{row['parameters']:,}", str(row["epochs"]), f"{row['train_s']:.2f} s",
            f"{row['ratio']:.2f}", f"{last / row['ratio']:.2f}" if last else "-", row["expected"],
        ]
        for last, row in zip(before, ladder["rows"], strict=False)
    ]  # fmt: skip
    return markdown(head, rows)


def ladder_rows() -> str:
    """The recorded ladder."""
    return ladder_table(json.loads((RESULTS / "ladder.json").read_text()))


TABLES: dict[str, Callable[[], str]] = {
    "targets": targets, "race": race_rows, "studies": studied, "runs": recorded_runs, "pipeline": pipeline_rows,
    "claim": claim, "head": head_figure, "ladder": ladder_rows, "peer": peer_score,
}  # fmt: skip


def drawn(page: str) -> str:
    """A page with its tables drawn anew."""

    def table(found: re.Match[str]) -> str:
        return f"<!-- records: {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- records: (\w+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def _race() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / "race.json").read_text())
    return found


def _row(race: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in race["rows"] if row["name"] == name)
    return found


def _study(name: str) -> Study:
    return studies.load(RESULTS / "studies" / f"{name}.json")


def _by_catalogue(path: Path) -> int:
    return list(EXPERIMENTS).index(path.stem)


def _met(must: bool, goal: bool) -> str:
    return "goal met" if goal else "must met" if must else "**not met**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page differs from the records")
    given = parser.parse_args()
    stale = [page for page in PAGES if drawn(page.read_text()) != page.read_text()]
    for page in stale:
        if not given.check:
            page.write_text(drawn(page.read_text()))
        print(f"{page.relative_to(ROOT)}: {'differs from the records' if given.check else 'drawn anew'}")
    sys.exit(1 if given.check and stale else 0)


if __name__ == "__main__":
    main()
