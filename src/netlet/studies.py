"""Studies: one experiment over several seeds, as plain values, and their JSON; compact enough to be committed."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.budgets import Score
from netlet.errors import RecordError
from netlet.files import write_whole
from netlet.records import Run
from netlet.tables import table

SCHEMA = 1
STUDY = "study.json"


@dataclass(frozen=True)
class SeedResult:
    """What one seed came to."""

    seed: int
    correct: int  # last epoch, of the held-out images
    by_epoch: tuple[int, ...]  # correct after each epoch, for watching
    train_clean: int  # correct, of the training images as they are
    verdict: str  # the budget's state; "" without a budget
    mistakes: tuple[int, ...]  # indices of the held-out images that are wrong after the last epoch
    train_s: float
    total_s: float
    weights_digest: str


@dataclass(frozen=True)
class Study:
    """One experiment over seeds; what all its runs share, and what each came to."""

    name: str
    net: str
    recipe: Mapping[str, Any]
    budget: Mapping[str, Any] | None
    facts: Mapping[str, Any]
    data: Mapping[str, Any]
    split: str  # that scored
    total: int  # its images
    train_total: int
    precision: str
    environment: Mapping[str, Any]
    seeds: tuple[SeedResult, ...]
    step: str = "eager"  # how batches were run; older records do not say
    schema: int = field(default=SCHEMA)

    @staticmethod
    def of(runs: Sequence[Run]) -> Study:
        """The study that some runs make.

        Raises:
            RecordError: There are none, or they are not of one experiment, or two are of one seed.
        """
        if not runs:
            raise RecordError("a study needs at least one run")
        first = runs[0]
        for run in runs[1:]:
            for shared in ("name", "net", "recipe", "budget", "data"):
                if getattr(run, shared) != getattr(first, shared):
                    raise RecordError(f"runs of seeds {first.seed} and {run.seed} differ in their {shared}; no study")
        if len({run.seed for run in runs}) < len(runs):
            raise RecordError("two runs are of one seed; a study counts each once")
        return Study(
            name=first.name,
            net=first.net,
            recipe=first.recipe,
            budget=first.budget,
            facts={name: value for name, value in first.facts.items() if name not in ("kinds", "spending")},
            data=first.data,
            split=first.last_epoch.split,
            total=first.last_epoch.total,
            train_total=first.train_clean.total,
            precision=first.precision,
            step=first.step,
            environment=first.environment,
            seeds=tuple(map(_result, sorted(runs, key=lambda run: run.seed))),
        )

    @property
    def mean(self) -> float:
        """Of the last epoch's accuracy, percent."""
        return 100 * statistics.mean(seed.correct for seed in self.seeds) / self.total

    @property
    def sd(self) -> float | None:
        """Of the last epoch's accuracy over seeds, points; None for one seed."""
        if len(self.seeds) < 2:
            return None
        return 100 * statistics.stdev(seed.correct for seed in self.seeds) / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Between which percentages the mean over all seeds lies, by Student's t; None for one seed.

        It speaks of the seeds, not of other test images: those of a data set are the same for all.
        """
        if self.sd is None:
            return None
        from scipy import stats  # here, since it takes a while to import

        half = float(stats.t.ppf((1 + confidence) / 2, len(self.seeds) - 1)) * self.sd / len(self.seeds) ** 0.5
        return self.mean - half, self.mean + half

    @property
    def passed(self) -> int:
        """How many seeds meet the budget."""
        return sum(seed.verdict == "PASS" for seed in self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, the figures that follow from the seeds included."""
        correct = [seed.correct for seed in self.seeds]
        interval = self.interval()
        return {
            "schema": self.schema,
            "result": {
                "seeds": len(correct), "mean_percent": self.mean, "sd_points": self.sd, "min_correct": min(correct),
                "max_correct": max(correct), "interval_percent": list(interval) if interval else None,
                "met_budget": self.passed, "median_train_s": statistics.median(s.train_s for s in self.seeds),
            },
            **{name: value for name, value in dataclasses.asdict(self).items() if name != "schema"},
        }  # fmt: skip

    def to_json(self) -> str:
        """One JSON object, a line for each of its entries and each seed."""
        record = self.to_dict()
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items() if name != "seeds"]
        seeds = ",\n  ".join(json.dumps(seed) for seed in record["seeds"])
        return "{" + ",\n ".join([*lines, f'"seeds": [\n  {seeds}]']) + "}\n"

    def __str__(self) -> str:
        scores = [Score(self.split, seed.correct, self.total) for seed in self.seeds]
        rows = [
            [
                str(seed.seed), f"{seed.correct:,}", f"{score.percent:.2f}", f"{max(seed.by_epoch):,}",
                f"{100 * seed.train_clean / self.train_total:.2f}", f"{seed.train_s:.1f}", seed.verdict or "-",
            ]
            for seed, score in zip(self.seeds, scores, strict=True)
        ]  # fmt: skip
        head = ("seed", "last epoch", "%", "best", "train %", "train s", "verdict")
        correct, interval = [seed.correct for seed in self.seeds], self.interval()
        about = f"{self.name} on {self.data['name']}, {len(correct)} seeds"
        spread = f", sd {self.sd:.3f}, 95 % interval {interval[0]:.3f} to {interval[1]:.3f} %" if interval else ""
        budget = f" {self.budget['name']}" if self.budget else ""
        seconds, threads = statistics.median(seed.train_s for seed in self.seeds), self.environment["threads"]
        lines = [
            table(head, rows, "rrrrrrl"),
            f"{about}, last epoch on {self.total:,} {self.split} images:",
            f"mean {self.mean:.3f} %{spread}, min {min(correct):,}, max {max(correct):,}",
            f"{self.passed} of {len(correct)} meet the budget{budget}; median training time {seconds:.1f} s, "
            f"{threads} thread{'s' if threads > 1 else ''} each",
        ]
        return "\n".join(lines)


def save(study: Study, path: Path) -> None:
    """Write a study, whole or not at all."""
    write_whole(path, study.to_json())


def load(path: Path | str) -> Study:
    """The study in a file, or in a folder's ``study.json``.

    Raises:
        RecordError: The file is missing, broken or something else.
    """
    path = Path(path)
    path = path / STUDY if path.is_dir() else path
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise RecordError(f"{path}: expected schema {SCHEMA}, found {record['schema']}; from another version")
        del record["result"]
        seeds = tuple(
            SeedResult(**seed | {name: tuple(seed[name]) for name in ("by_epoch", "mistakes")})
            for seed in record["seeds"]
        )
        return Study(**record | {"seeds": seeds})
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: cannot be read as a study ({type(error).__name__}: {error})") from error


def _result(run: Run) -> SeedResult:
    return SeedResult(
        seed=run.seed,
        correct=run.last_epoch.correct,
        by_epoch=tuple(epoch.held_out.correct for epoch in run.epochs),
        train_clean=run.train_clean.correct,
        verdict=run.verdict.state if run.verdict else "",
        mistakes=tuple(int(mistake["index"]) for mistake in run.mistakes),
        train_s=round(run.times["train_s"], 3),
        total_s=round(run.times["total_s"], 3),
        weights_digest=run.weights_digest,
    )
