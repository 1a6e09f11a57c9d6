"""Studies: one experiment over several seeds, as plain values, and their JSON.

Compact enough to be committed, complete enough that every table and plot can be drawn without net, data or runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from netlet.errors import RecordError
from netlet.files import write_whole
from netlet.records import Run

SCHEMA = 2
STUDY = "study.json"
# What makes two trainings one experiment; the machine may differ, and is told by each run's record.
_SHARED = ("name", "net", "recipe", "budget", "data", "split", "total", "train_total", "lr", "class_sizes", "summary")


class Mistake(NamedTuple):
    """A held-out image that is wrong after the last epoch."""

    image: int  # its index in the split
    label: int
    predicted: int
    confidence: float  # probability given to the prediction


class Bin(NamedTuple):
    """The images whose prediction has a confidence within an equal part of 0..1."""

    images: int
    correct: int
    confidence: float  # mean


@dataclass(frozen=True)
class SeedResult:
    """What one seed came to."""

    seed: int
    correct: int  # last epoch, of the held-out images
    by_epoch: tuple[int, ...]  # correct after each epoch, for watching
    train_clean: int  # correct, of the training images as they are
    train_by_epoch: tuple[int, ...]  # correct while training: augmented, with dropout
    train_loss: tuple[float, ...]  # mean of each epoch, as trained
    held_out_loss: tuple[float, ...]  # mean cross-entropy after each epoch
    verdict: str  # the budget's state; "" without a budget
    mistakes: tuple[Mistake, ...]
    calibration: tuple[Bin, ...]
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
    class_sizes: tuple[int, ...]  # images of each class in the split
    lr: tuple[float, ...]  # of each epoch's last step
    summary: Mapping[str, Any]
    receptive_field: Mapping[str, Any]
    precision: str
    environment: Mapping[str, Any]  # of the first seed
    seeds: tuple[SeedResult, ...]  # in their order, each once
    step: str = "eager"  # how batches were run
    schema: int = field(default=SCHEMA)

    @staticmethod
    def of(runs: Sequence[Run]) -> Study:
        """The study that some runs make.

        Raises:
            RecordError: There are none, or they are not of one experiment, or two are of one seed.
        """
        if not runs:
            raise RecordError("a study needs at least one run")
        first, *others = map(_study_of_one, runs)
        for other in others:
            first = first.joined(other)
        return first

    def joined(self, other: Study) -> Study:
        """The study of both's seeds.

        Raises:
            RecordError: They are not of one experiment, or both have a seed.
        """
        for shared in _SHARED:
            if getattr(self, shared) != getattr(other, shared):
                mine, theirs = (_seeds_text(study) for study in (self, other))
                what = "net: one name, two nets" if shared == "summary" else shared
                raise RecordError(f"{self.name}: {mine} and {theirs} differ in their {what}; no study")
        both = {seed.seed for seed in self.seeds} & {seed.seed for seed in other.seeds}
        if both:
            raise RecordError(f"{self.name}: two runs are of seed {min(both)}; a study counts each once")
        seeds = tuple(sorted((*self.seeds, *other.seeds), key=operator.attrgetter("seed")))
        return dataclasses.replace(self, seeds=seeds)

    def of_seeds(self, numbers: Sequence[int]) -> Study:
        """The study of some of its seeds only."""
        return dataclasses.replace(self, seeds=tuple(seed for seed in self.seeds if seed.seed in numbers))

    @property
    def epochs(self) -> int:
        """How many each seed was trained for."""
        return len(self.lr)

    @property
    def net_digest(self) -> str:
        """SHA-256 over the net's layers, sizes and receptive fields: the same for the same net, whatever its name."""
        anatomy = {"rows": self.summary["rows"], "field": self.receptive_field}
        return hashlib.sha256(json.dumps(anatomy, sort_keys=True).encode()).hexdigest()

    def confusion(self) -> list[list[int]]:
        """Of all seeds together: ``[label][predicted]``."""
        classes = range(len(self.class_sizes))
        counts = [[len(self.seeds) * self.class_sizes[k] * (j == k) for j in classes] for k in classes]
        for mistake in self.mistakes():
            counts[mistake.label][mistake.predicted] += 1
            counts[mistake.label][mistake.label] -= 1
        return counts

    def calibration(self) -> list[Bin]:
        """Of all seeds together."""
        joined = []
        for bins in zip(*(seed.calibration for seed in self.seeds), strict=True):
            images = sum(one.images for one in bins)
            confidence = sum(one.images * one.confidence for one in bins) / images if images else 0.0
            joined.append(Bin(images, sum(one.correct for one in bins), confidence))
        return joined

    def mistakes(self) -> Iterator[Mistake]:
        """Of all seeds, one after the other."""
        for seed in self.seeds:
            yield from seed.mistakes

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"schema": self.schema} | {k: v for k, v in dataclasses.asdict(self).items() if k != "schema"}

    def to_json(self) -> str:
        """One JSON object, a line for each of its entries and each seed."""
        record = self.to_dict()
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items() if name != "seeds"]
        seeds = ",\n  ".join(json.dumps(seed) for seed in record["seeds"])
        return "{" + ",\n ".join([*lines, f'"seeds": [\n  {seeds}]']) + "}\n"


def save(study: Study, path: Path) -> None:
    """Write a study, whole or not at all."""
    write_whole(path, study.to_json())


def load(path: Path | str) -> Study:
    """The study in a file, or in a folder's ``study.json``.

    Raises:
        RecordError: The file is missing, broken, contradicts itself or is something else.
    """
    path = Path(path)
    path = path / STUDY if path.is_dir() else path
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise RecordError(f"{path}: expected schema {SCHEMA}, found {record['schema']}; from another version")
        tuples = {name: tuple(record[name]) for name in ("class_sizes", "lr")}
        study = Study(**record | tuples | {"seeds": tuple(map(_seed, record["seeds"]))})
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: cannot be read as a study ({type(error).__name__}: {error})") from error
    if fault := _fault(study):
        raise RecordError(f"{path}: {fault}; the record was edited or cut short")
    return study


def _seed(record: dict[str, Any]) -> SeedResult:
    curves = {name: tuple(record[name]) for name in ("by_epoch", "train_by_epoch", "train_loss", "held_out_loss")}
    mistakes = tuple(Mistake(*mistake) for mistake in record["mistakes"])
    calibration = tuple(Bin(*values) for values in record["calibration"])
    return SeedResult(**record | curves | {"mistakes": mistakes, "calibration": calibration})


def _fault(study: Study) -> str | None:
    """Where a record's figures contradict each other, if they do: no figure may come of it."""
    if not study.seeds:
        return "it has no seeds"
    if len({seed.seed for seed in study.seeds}) < len(study.seeds):
        return "a seed is in it twice"
    if sum(study.class_sizes) != study.total:
        return f"its classes hold {sum(study.class_sizes):,} images of {study.total:,}"
    for seed in study.seeds:
        wrong = {mistake.image for mistake in seed.mistakes}
        if len(wrong) != len(seed.mistakes) or seed.correct + len(wrong) != study.total:
            return f"seed {seed.seed} has {seed.correct:,} right and {len(wrong):,} wrong of {study.total:,}"
        if not wrong <= set(range(study.total)):
            return f"seed {seed.seed} has a mistake that is no image of the split"
        curves = (seed.by_epoch, seed.train_by_epoch, seed.train_loss, seed.held_out_loss)
        if {len(curve) for curve in curves} != {study.epochs} or seed.by_epoch[-1] != seed.correct:
            return f"seed {seed.seed}: its epochs do not end in its result"
    return None


def _seeds_text(study: Study) -> str:
    numbers = [str(seed.seed) for seed in study.seeds]
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _study_of_one(run: Run) -> Study:
    return Study(
        name=run.name,
        net=run.net,
        recipe=run.recipe,
        budget=run.budget,
        facts={name: value for name, value in run.facts.items() if name != "spending"},
        data=run.data,
        split=run.last_epoch.split,
        total=run.last_epoch.total,
        train_total=run.train_clean.total,
        class_sizes=tuple(map(sum, run.confusion)),
        lr=tuple(epoch.lr for epoch in run.epochs),
        summary=run.summary,
        receptive_field=run.receptive_field,
        precision=run.precision,
        environment=run.environment,
        step=run.step,
        seeds=(_result(run),),
    )


def _result(run: Run) -> SeedResult:
    return SeedResult(
        seed=run.seed,
        correct=run.last_epoch.correct,
        by_epoch=tuple(epoch.held_out.correct for epoch in run.epochs),
        train_clean=run.train_clean.correct,
        train_by_epoch=tuple(epoch.train.correct for epoch in run.epochs),
        train_loss=tuple(round(epoch.train_loss, 5) for epoch in run.epochs),
        held_out_loss=tuple(round(epoch.held_out_loss, 5) for epoch in run.epochs),
        verdict=run.verdict.state if run.verdict else "",
        mistakes=tuple(
            Mistake(int(m["index"]), int(m["label"]), int(m["predicted"]), round(m["confidence"], 4))
            for m in run.mistakes
        ),
        calibration=tuple(
            Bin(int(bin_["count"]), int(bin_["correct"]), round(bin_["confidence"], 4)) for bin_ in run.calibration
        ),
        train_s=round(run.times["train_s"], 3),
        total_s=round(run.times["total_s"], 3),
        weights_digest=run.weights_digest,
    )
