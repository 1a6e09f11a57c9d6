"""Studies: one experiment trained with several seeds, as plain values, and the JSON of each.

A record is compact enough to be committed and complete enough to draw every table and plot without
the net, the data or the runs.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from netlet.display import Plotted
from netlet.errors import DamagedRecordError, RecordError
from netlet.files import write_atomic
from netlet.recipes import count_epochs
from netlet.records.config import ExperimentConfig, find_difference
from netlet.records.contradictions import contradictions_of_run, contradictions_of_study
from netlet.records.environments import apply_changes, list_changes
from netlet.records.evaluation import CalibrationBin, Mistake
from netlet.records.json_file import load_json
from netlet.records.run import CHECKPOINT_FILE, Run, check_schema, describe_unfinished
from netlet.records.schema import check_values, refuse_contradictions
from netlet.records.seed_result import SeedResult, seed_of_run
from netlet.records.upgrade import STUDY_SCHEMA, explain_upgrade_errors, upgrade_study
from netlet.records.values import (
    CostValues,
    DataDescription,
    Environment,
    FieldTable,
    SummaryValues,
    TrialsValues,
    shared_value,
)

STUDY = "study.json"
# What all runs of a study share beside their configuration. The machine may differ; each run's
# record describes it.
_SHARED = ("data", "split", "total", "train_total", "lr_by_epoch", "class_sizes", "summary")

OWN_WEIGHTS = "others for each seed"  # the initial weights
_BESIDE_ENVIRONMENT = ("backend", "precision")


@dataclass(frozen=True, kw_only=True)
class Study(ExperimentConfig, Plotted):
    """One experiment trained with several seeds: what all runs share, and each seed's result."""

    data: DataDescription
    cost: CostValues
    split: str  # the held-out split
    total: int  # its images
    train_total: int  # training images
    class_sizes: tuple[int, ...]  # held-out images of each class
    lr_by_epoch: tuple[float, ...]  # learning rate of each epoch's last step
    summary: SummaryValues
    receptive_field: FieldTable
    precision: str
    environment: Environment  # of the lowest seed; each seed has in what it differs
    seeds: tuple[SeedResult, ...]  # in increasing order, each once
    backend: str = "eager"  # how training steps were computed
    chosen_by: TrialsValues | None = None  # the trials that led to net and recipe, if recorded
    schema: int = STUDY_SCHEMA

    @property
    def accuracy(self) -> float:
        """The mean of the seeds' accuracies of the last epoch, in percent, for display."""
        correct = sum(seed.correct for seed in self.seeds)
        return 100 * correct / len(self.seeds) / self.total

    def _facts(self) -> Mapping[str, object]:
        judged = [seed.verdict for seed in self.seeds if seed.verdict in ("PASS", "FAIL")]
        return {
            "name": self.name,
            "net": self.net,
            "recipe": self.recipe["name"],
            "data": self.data["name"],
            "parameters": self.cost["parameters"],
            "epochs": self.total_epochs,
            "seeds": len(self.seeds),
            "accuracy": f"mean {self.accuracy:.3f}% of {self.total:,} {self.split} images",
            **({"passing_seeds": judged.count("PASS")} if judged else {}),
        }

    @staticmethod
    def from_runs(runs: Sequence[Run]) -> Study:
        """Return the study that some runs make.

        Raises:
            RecordError: There are no runs, they are of different experiments, or two have the same
                seed and different results.
        """
        if not runs:
            raise RecordError("a study needs at least one run; pass what netlet.fit returned")
        for run in runs:
            refuse_contradictions(contradictions_of_run(run), f"{run.name}, seed {run.seed}")
        return functools.reduce(Study.merge, map(study_of_run, runs))

    def merge(self, other: Study) -> Study:
        """Return the study of both studies' seeds; a seed that both have counts once.

        If all began with given weights, but not with the same ones, each seed has a digest of its
        own.

        Raises:
            RecordError: The studies are of different experiments, or have different results for
                the same seed.
        """
        if what := self.find_difference(other):
            mine, theirs = (_seeds_text(study) for study in (self, other))
            raise RecordError(
                f"{self.name}: {mine} and {theirs} differ in their {_IN_WORDS.get(what, what)};"
                f" a study needs runs of one experiment, {_REMEDIES.get(what, _REMEDY)}"
            )
        self, other = self._align_weights(other)
        by_seed = {seed.seed: seed for seed in self.seeds}
        for seed in other.seeds:
            if by_seed.setdefault(seed.seed, seed).weights_digest != seed.weights_digest:
                raise RecordError(
                    f"{self.name}: two different runs have seed {seed.seed};"
                    " a study counts each seed once, remove one of them"
                )
        environments = other.environments() | self.environments()
        first = min(self, other, key=lambda study: study.seeds[0].seed)
        # Known of one of them only, it still keeps seeds of a third code out.
        source_digest = self.source_digest or other.source_digest
        merged = dataclasses.replace(first, source_digest=source_digest)
        return merged._with_seeds([by_seed[number] for number in sorted(by_seed)], environments)

    def find_difference(self, other: Study) -> str | None:
        """Return in what two studies are of different experiments, in words; None if in nothing."""
        self, other = self._align_weights(other)
        unlike = (n for n in _SHARED if shared_value(self, n) != shared_value(other, n))
        return find_difference(self, other) or next(unlike, None)

    def _align_weights(self, other: Study) -> tuple[Study, Study]:
        """Return both with a digest of the initial weights at each seed if these are given ones."""
        both_given = self.initial_weights and other.initial_weights
        if both_given and self.initial_weights_digest != other.initial_weights_digest:
            return self.with_own_weights(), other.with_own_weights()
        return self, other

    @property
    def initial_weights(self) -> str:
        """What the weights are that training begins with: a digest; empty for those of the seed."""
        own = any(seed.initial_weights_digest for seed in self.seeds)
        return OWN_WEIGHTS if own else self.initial_weights_digest

    def with_own_weights(self) -> Study:
        """Return the study with the digest of the initial weights at each seed."""
        shared = self.initial_weights_digest
        seeds = [
            dataclasses.replace(seed, initial_weights_digest=shared) if shared else seed
            for seed in self.seeds
        ]
        return dataclasses.replace(self, initial_weights_digest="", seeds=tuple(seeds))

    def select_seeds(self, numbers: Sequence[int]) -> Study:
        """Return the study of some of its seeds."""
        seeds = [seed for seed in self.seeds if seed.seed in numbers]
        return self._with_seeds(seeds, self.environments())

    @property
    def shared_environment(self) -> dict[str, Any]:
        """The environment with ``backend`` and ``precision``, which a seed may differ in, too."""
        return {**self.environment, "backend": self.backend, "precision": self.precision}

    def environments(self) -> dict[int, dict[str, Any]]:
        """Return the environment of each seed, with ``backend`` and ``precision``."""
        shared = self.shared_environment
        return {seed.seed: apply_changes(shared, seed.environment) for seed in self.seeds}

    def _with_seeds(
        self, seeds: Sequence[SeedResult], environments: Mapping[int, dict[str, Any]]
    ) -> Study:
        """Return the study with other seeds.

        The environment of the lowest seed is that of the study, in whatever order studies are
        merged; the others have in what theirs differs.
        """
        if not seeds:
            return dataclasses.replace(self, seeds=())
        lowest = environments[seeds[0].seed]
        changes = [list_changes(lowest, environments[seed.seed]) for seed in seeds]
        own = {name: value for name, value in lowest.items() if name not in _BESIDE_ENVIRONMENT}
        return dataclasses.replace(
            self,
            environment=cast("Environment", own),
            backend=lowest["backend"],
            precision=lowest["precision"],
            seeds=tuple(
                dataclasses.replace(seed, environment=change)
                for seed, change in zip(seeds, changes, strict=True)
            ),
        )

    @property
    def epochs(self) -> int:
        """The number of epochs of each run."""
        return len(self.lr_by_epoch)

    @property
    def total_epochs(self) -> int:
        """The number of epochs of each run, with those of random starts."""
        return count_epochs(self.recipe)

    @property
    def net_digest(self) -> str:
        """SHA-256 over the net's layers, sizes and receptive fields, whatever the net's name."""
        return net_digest(self.summary, self.receptive_field)

    def confusion(self) -> list[list[int]]:
        """Return the confusion matrix ``[label][predicted]``, summed over all seeds."""
        classes = range(len(self.class_sizes))
        counts = [
            [len(self.seeds) * self.class_sizes[k] * (j == k) for j in classes] for k in classes
        ]
        for mistake in self.mistakes():
            counts[mistake.label][mistake.predicted] += 1
            counts[mistake.label][mistake.label] -= 1
        return counts

    def calibration(self) -> list[CalibrationBin]:
        """Return the calibration over all seeds together."""
        merged = []
        for bins in zip(*(seed.calibration for seed in self.seeds), strict=True):
            images = sum(one.images for one in bins)
            confidence = (
                sum(one.images * one.confidence for one in bins) / images if images else 0.0
            )
            correct = sum(one.correct for one in bins)
            merged.append(CalibrationBin(bins[0].low, bins[0].high, images, correct, confidence))
        return merged

    def mistakes(self) -> Iterator[Mistake]:
        """Yield the mistakes of all seeds, seed by seed."""
        for seed in self.seeds:
            yield from seed.mistakes

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON stores it."""
        record = dataclasses.asdict(self)
        for seed in record["seeds"]:
            for name in ("initial_weights_digest", "trained_on", "environment"):
                if not seed[name]:
                    del seed[name]
        return {"schema": record.pop("schema"), **record}

    def to_json(self) -> str:
        """Return one JSON object with a line for each field and each seed."""
        record = self.to_dict()
        lines = [
            f"{json.dumps(name)}: {json.dumps(value)}"
            for name, value in record.items()
            if name != "seeds"
        ]
        seeds = ",\n  ".join(json.dumps(seed) for seed in record["seeds"])
        return "{" + ",\n ".join([*lines, f'"seeds": [\n  {seeds}]']) + "}\n"


_REMEDY = "name or pass these separately, as two studies"
_REMEDIES = {
    "name": "give them the same name",
    "initial weights": "begin each with the weights of its seed, netlet.build(NET, SEED), or none",
}
_IN_WORDS = {"summary": "net (one name, two nets)", "lr_by_epoch": "learning rates"}


def net_digest(summary: SummaryValues, receptive_field: FieldTable) -> str:
    """Return the digest of a net.

    Args:
        summary: The summary of the net as JSON stores it.
        receptive_field: The net's table of receptive fields as JSON stores it.
    """
    tables = {"rows": summary["rows"], "field": receptive_field}
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def save_study(study: Study, path: Path) -> None:
    """Write a study into a file atomically."""
    write_atomic(path, study.to_json())


def load_study(path: Path | str) -> Study:
    """Load the study in a file, or in a folder's ``study.json``, whichever version wrote it.

    The records of runs beside it are not read; ``netlet compare`` checks that they say the same.

    Raises:
        RecordError: The file is missing, broken, contradicts itself or is not a study, or the
            folder holds a run that is not finished.
    """
    path = Path(path)
    if path.name != STUDY and path.is_dir():
        if not (path / STUDY).exists() and (path / CHECKPOINT_FILE).is_file():
            raise RecordError(describe_unfinished(path))
        path = path / STUDY
    return study_from_json(load_json(path, "the JSON record of a study"), path)


def study_from_json(record: Any, path: Path | str) -> Study:
    """Return a study from the value of its JSON, whichever version of netlet wrote it.

    Raises:
        RecordError: It is not a study, has another form, or contradicts itself.
    """
    if not isinstance(record, dict) or "seeds" not in record:
        raise DamagedRecordError(
            f"{path}: expected the record of a study, found something else;"
            f" name the {STUDY} of a study"
        )
    check_schema(record.get("schema"), range(2, STUDY_SCHEMA + 1), path)
    with explain_upgrade_errors(path):
        record = upgrade_study(record)
    study: Study = check_values(Study, record, path)
    refuse_contradictions(contradictions_of_study(study), path)
    return study


def _seeds_text(study: Study) -> str:
    numbers = [str(seed.seed) for seed in study.seeds]
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def study_of_run(run: Run) -> Study:
    """Return the study of one run."""
    cost = run.cost.copy()
    cost.pop("spending", None)
    return Study(
        **{field.name: getattr(run, field.name) for field in dataclasses.fields(ExperimentConfig)},
        cost=cost,
        split=run.last_epoch.split,
        total=run.last_epoch.total,
        train_total=run.train_score.total,
        class_sizes=tuple(map(sum, run.confusion)),
        lr_by_epoch=tuple(epoch.lr for epoch in run.epochs),
        summary=run.summary,
        receptive_field=run.receptive_field,
        precision=run.precision,
        environment=run.environment,
        backend=run.backend,
        seeds=(seed_of_run(run),),
    )
