"""Studies: one experiment over several seeds, as plain values, and their JSON.

Compact enough to be committed, complete enough that every table and plot can be drawn without net,
data or runs.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from netlet.errors import RecordError
from netlet.files import write_whole
from netlet.recipes import completed
from netlet.records.run import Run
from netlet.records.upgrade import upgrade

SCHEMA = 2
STUDY = "study.json"
# What makes two trainings one experiment; the machine may differ, and is told by each run's record.
_SHARED = (
    "name",
    "net",
    "recipe",
    "budget",
    "data",
    "split",
    "total",
    "train_total",
    "lr",
    "class_sizes",
    "summary",
    "began_with",
)


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
    cost: Mapping[str, Any]
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
    backend: str = "eager"  # how batches were run
    began_with: str = ""  # the digest of weights that somebody gave; "": drawn by each seed
    chosen_by: Mapping[str, Any] | None = (
        None  # the trials that led to net and recipe, if they were named
    )
    schema: int = field(default=SCHEMA)

    @staticmethod
    def of(runs: Sequence[Run]) -> Study:
        """The study that some runs make.

        Raises:
            RecordError: There are none, or they are not of one experiment, or two are of one seed.
        """
        if not runs:
            raise RecordError("a study needs at least one run")
        for run in runs:
            if fault := _fault(_study_of_one(run)):
                raise RecordError(
                    f"{run.name}, seed {run.seed}: {fault}; its record was edited or cut short"
                )
        return functools.reduce(Study.joined, map(_study_of_one, runs))

    def joined(self, other: Study) -> Study:
        """The study of both's seeds; one that both have with the same outcome counts once.

        Raises:
            RecordError: They are not of one experiment, or both have a seed and differ in what it
                came to.
        """
        for shared in _SHARED:
            if getattr(self, shared) != getattr(other, shared):
                mine, theirs = (_seeds_text(study) for study in (self, other))
                what = "net: one name, two nets" if shared == "summary" else shared
                raise RecordError(
                    f"{self.name}: {mine} and {theirs} differ in their {what}; they make no study, name them apart"
                )
        mine_by_seed = {seed.seed: seed for seed in self.seeds}
        for seed in other.seeds:
            if mine_by_seed.setdefault(seed.seed, seed).weights_digest != seed.weights_digest:
                raise RecordError(
                    f"{self.name}: two different runs are of seed {seed.seed}; a study counts each once"
                )
        # What is told of the machine is that of the lowest seed, whichever way round they are
        # joined.
        first = min(self, other, key=lambda study: study.seeds[0].seed)
        return dataclasses.replace(
            first, seeds=tuple(mine_by_seed[number] for number in sorted(mine_by_seed))
        )

    def of_seeds(self, numbers: Sequence[int]) -> Study:
        """The study of some of its seeds only."""
        return dataclasses.replace(
            self, seeds=tuple(seed for seed in self.seeds if seed.seed in numbers)
        )

    @property
    def epochs(self) -> int:
        """How many each seed was trained for."""
        return len(self.lr)

    @property
    def net_digest(self) -> str:
        """SHA-256 over the net's layers, sizes and receptive fields: the same for the same net, whatever its name."""
        return net_digest(self.summary, self.receptive_field)

    def confusion(self) -> list[list[int]]:
        """Of all seeds together: ``[label][predicted]``."""
        classes = range(len(self.class_sizes))
        counts = [
            [len(self.seeds) * self.class_sizes[k] * (j == k) for j in classes] for k in classes
        ]
        for mistake in self.mistakes():
            counts[mistake.label][mistake.predicted] += 1
            counts[mistake.label][mistake.label] -= 1
        return counts

    def calibration(self) -> list[Bin]:
        """Of all seeds together."""
        joined = []
        for bins in zip(*(seed.calibration for seed in self.seeds), strict=True):
            images = sum(one.images for one in bins)
            confidence = (
                sum(one.images * one.confidence for one in bins) / images if images else 0.0
            )
            joined.append(Bin(images, sum(one.correct for one in bins), confidence))
        return joined

    def mistakes(self) -> Iterator[Mistake]:
        """Of all seeds, one after the other."""
        for seed in self.seeds:
            yield from seed.mistakes

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"schema": self.schema} | {
            k: v for k, v in dataclasses.asdict(self).items() if k != "schema"
        }

    def to_json(self) -> str:
        """One JSON object, a line for each of its entries and each seed."""
        record = self.to_dict()
        lines = [
            f"{json.dumps(name)}: {json.dumps(value)}"
            for name, value in record.items()
            if name != "seeds"
        ]
        seeds = ",\n  ".join(json.dumps(seed) for seed in record["seeds"])
        return "{" + ",\n ".join([*lines, f'"seeds": [\n  {seeds}]']) + "}\n"


def net_digest(summary: Mapping[str, Any], receptive_field: Mapping[str, Any]) -> str:
    """That of a net, from its tables as plain values."""
    anatomy = {"rows": summary["rows"], "field": receptive_field}
    return hashlib.sha256(json.dumps(anatomy, sort_keys=True).encode()).hexdigest()


def save_study(study: Study, path: Path) -> None:
    """Write a study, whole or not at all."""
    write_whole(path, study.to_json())


def load_study(path: Path | str) -> Study:
    """The study in a file, or in a folder's ``study.json``.

    Raises:
        RecordError: The file is missing, broken, contradicts itself or is something else.
    """
    path = Path(path)
    path = path / STUDY if path.is_dir() else path
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise RecordError(
                f"{path}: expected schema {SCHEMA}, found {record['schema']}, of another version; take it away, and "
                "the same 'netlet study' writes it anew from the runs beside it"
            )
        record = upgrade(record)
        tuples = {name: tuple(record[name]) for name in ("class_sizes", "lr")} | {
            "recipe": completed(record["recipe"])
        }
        study = Study(**record | tuples | {"seeds": tuple(map(_seed, record["seeds"]))})
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: cannot be read as a study ({type(error).__name__}: {error})"
        ) from error
    if fault := _fault(study):
        raise RecordError(f"{path}: {fault}; the record was edited or cut short")
    return study


def _seed(record: dict[str, Any]) -> SeedResult:
    curves = {
        name: tuple(record[name])
        for name in ("by_epoch", "train_by_epoch", "train_loss", "held_out_loss")
    }
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
    if len(study.data["class_names"]) != len(study.class_sizes):
        return f"{len(study.class_sizes)} classes have {len(study.data['class_names'])} names"
    if not study.lr:
        return "it has no epochs"
    return next(
        (
            f"seed {seed.seed} {fault}"
            for seed in study.seeds
            if (fault := _fault_of_seed(seed, study))
        ),
        None,
    )


def _fault_of_seed(seed: SeedResult, study: Study) -> str | None:
    classes, images = range(len(study.class_sizes)), {mistake.image for mistake in seed.mistakes}
    if len(images) != len(seed.mistakes) or seed.correct + len(images) != study.total:
        return f"has {seed.correct:,} right and {len(images):,} wrong of {study.total:,}"
    if not images <= set(range(study.total)):
        return "has a mistake that is no image of the split"
    if any(
        m.label not in classes or m.predicted not in classes or m.label == m.predicted
        for m in seed.mistakes
    ):
        return "has a mistake that is none, or of no class"
    wrong = Counter(mistake.label for mistake in seed.mistakes)
    if any(wrong[k] > study.class_sizes[k] for k in classes):
        return "has more mistakes in a class than it has images"
    curves = (seed.by_epoch, seed.train_by_epoch, seed.train_loss, seed.held_out_loss)
    if {len(curve) for curve in curves} != {study.epochs} or seed.by_epoch[-1] != seed.correct:
        return "has epochs that do not end in its result"
    if not all(0 <= correct <= study.total for correct in seed.by_epoch):
        return "has an epoch with more right than there are images"
    if not all(
        0 <= correct <= study.train_total for correct in (*seed.train_by_epoch, seed.train_clean)
    ):
        return "has more training images right than there are"
    if sum(one.images for one in seed.calibration) != study.total:
        return "has a calibration of another number of images"
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
        cost={name: value for name, value in run.cost.items() if name != "spending"},
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
        backend=run.backend,
        began_with=run.began_with,
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
            Mistake(
                int(m["index"]), int(m["label"]), int(m["predicted"]), round(m["confidence"], 4)
            )
            for m in run.mistakes
        ),
        calibration=tuple(
            Bin(int(bin_["count"]), int(bin_["correct"]), round(bin_["confidence"], 4))
            for bin_ in run.calibration
        ),
        train_s=round(run.times["train_s"], 3),
        total_s=round(run.times["total_s"], 3),
        weights_digest=run.weights_digest,
    )
