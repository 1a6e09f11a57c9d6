"""Runs: one training of one net from one seed, as plain values, and the JSON of each.

A record is complete enough to draw every report without the net or the data. A score is stored as
``{"split": ..., "correct": ..., "total": ...}``; the score that counts is ``last_epoch``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.budgets import Budget, Score, Verdict
from netlet.display import Displayed, Plotted
from netlet.errors import DamagedRecordError, RecordError
from netlet.files import write_atomic
from netlet.recipes import Recipe
from netlet.records.config import ExperimentConfig
from netlet.records.contradictions import contradictions_of_run
from netlet.records.evaluation import CalibrationBin, Mistake
from netlet.records.json_file import parse_json, read_text, shorten
from netlet.records.schema import REMEDY, check_values, refuse_contradictions
from netlet.records.upgrade import RUN_SCHEMA, explain_upgrade_errors, upgrade_run
from netlet.records.values import (
    CostValues,
    DataDescription,
    Environment,
    FieldTable,
    SummaryValues,
    Times,
    UnknownEnvironment,
)
from netlet.text import dump_json, quote_shell

RECORD, EPOCHS, WEIGHTS = "run.json", "epochs.jsonl", "weights.safetensors"
CHECKPOINT_FILE = "checkpoint.pt"  # in the folder of a run that is not finished


@dataclass(frozen=True)
class Epoch(Displayed):
    """One pass over the training images."""

    epoch: int  # from 1
    lr: float  # learning rate of its last step
    train_loss: float  # mean over its batches, with augmentation, label smoothing and dropout
    train: Score  # running: each batch before its step, with augmentation and dropout
    held_out: Score
    held_out_loss: float  # mean cross-entropy
    train_s: float
    score_s: float


@dataclass(frozen=True)
class EpochScore:
    """A held-out score and the epoch after which it was measured."""

    epoch: int
    split: str
    correct: int
    total: int

    @property
    def score(self) -> Score:
        """The score without the epoch."""
        return Score(self.split, self.correct, self.total)


@dataclass(frozen=True)
class Stretch(Displayed):
    """Consecutive epochs of a run that one process trained, and where.

    A run that was never interrupted has one. The stretches of a run cover all of its epochs, in
    order.
    """

    first_epoch: int  # from 1
    last_epoch: int
    backend: str  # "unknown" if an older version did not record it
    environment: Environment | UnknownEnvironment


@dataclass(frozen=True, kw_only=True)
class Run(ExperimentConfig, Plotted):
    """One training of one net from one seed."""

    data: DataDescription
    seed: int
    cost: CostValues
    verdict: Verdict | None  # None without a budget
    epochs: tuple[Epoch, ...]
    last_epoch: EpochScore  # the score that counts
    best_epoch: EpochScore  # for information; never judged
    train_score: Score  # the final net on the training images without augmentation
    confusion: tuple[tuple[int, ...], ...]  # held-out images, last epoch: [label][predicted]
    calibration: tuple[CalibrationBin, ...]
    mistakes: tuple[Mistake, ...]
    summary: SummaryValues
    receptive_field: FieldTable
    precision: str  # float32 or bf16, also where the recipe says auto
    environment: Environment  # of the last stretch
    times: Times
    weights_digest: str  # SHA-256 over names, shapes and values
    source_path: str = ""  # absolute, of the file with the net; empty if it comes with netlet
    source_cell: int = 0  # the cell with the net, from 1; 0 if the file has no cells
    started_at: str  # UTC, ISO 8601
    backend: str = "eager"  # how training steps were computed, in the last stretch
    resumed_after: tuple[int, ...] = ()  # epochs after which the run was interrupted and resumed
    stretches: tuple[Stretch, ...]
    schema: int = RUN_SCHEMA

    @property
    def accuracy(self) -> float:
        """The accuracy of the last epoch in percent, for display; ``last_epoch`` has the counts."""
        return self.last_epoch.score.percent

    def _facts(self) -> Mapping[str, object]:
        return {
            "name": self.name,
            "net": self.net,
            "recipe": self.recipe["name"],
            "data": self.data["name"],
            "seed": self.seed,
            "parameters": self.cost["parameters"],
            "epochs": self.cost["epochs"],
            "accuracy": str(self.last_epoch.score),
            **({"verdict": self.verdict.state} if self.verdict else {}),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON stores it."""
        record = dataclasses.asdict(self)
        if self.verdict is not None:
            record["verdict"]["state"] = self.verdict.state
            for result in record["verdict"]["results"]:
                for name in ("remedy", "message", "words"):
                    if not result[name]:
                        del result[name]
        return {"schema": record.pop("schema"), **record}

    def to_json(self) -> str:
        """Return one JSON object; :meth:`from_json` restores an equal run from it."""
        return dump_json(self.to_dict(), indent=1) + "\n"

    @staticmethod
    def from_json(text: str, path: Path | str = "record") -> Run:
        """Return a run from its JSON, whichever version of netlet wrote it.

        Args:
            text: One JSON object.
            path: The path of the file, for error messages.

        Raises:
            RecordError: The text is not JSON or not a run, or a newer version wrote it.
        """
        record = parse_json(text, path, "the JSON record of a run")
        if not isinstance(record, dict) or "last_epoch" not in record:
            raise DamagedRecordError(
                f"{path}: expected the record of a run, found something else;"
                f" name the {RECORD} of a run"
            )
        check_schema(record.get("schema"), range(1, RUN_SCHEMA + 1), path)
        with explain_upgrade_errors(path):
            record = upgrade_run(record)
        run = _run_from_dict(record, path)
        refuse_contradictions(contradictions_of_run(run), path)
        return run


def check_schema(found: object, known: range, path: Path | str) -> None:
    """Check that this version can read a record.

    Args:
        found: The record's schema number.
        known: The schema numbers that this version reads.
        path: The path of the record, for the error message.

    Raises:
        RecordError: The number is another one.
    """
    if type(found) is not int or found not in known:
        raise DamagedRecordError(
            f"{path}: expected schema {known[0]} to {known[-1]}, found {shorten(found)}; another"
            " version of netlet wrote it: use that version, or delete the file and run the command"
            " again"
        )


def to_json_value(value: Any) -> Any:
    """Return a dataclass or a plain value exactly as it would be read back from a JSON file."""
    if isinstance(value, Recipe | Budget):
        value = value.to_dict()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.loads(json.dumps(value))


def save_run(run: Run, folder: Path) -> None:
    """Write a run's record into its folder atomically."""
    write_atomic(folder / RECORD, run.to_json())


def describe_unfinished(folder: Path | str) -> str:
    """Return that the run in a folder is not finished, and the remedy."""
    command = quote_shell("netlet", "runs", folder)
    return f"{folder}: the run is not finished; '{command}' shows how to resume it"


def load_run(path: Path | str) -> Run:
    """Load the run in a file, or in a folder's ``run.json``.

    Raises:
        RecordError: The run is not finished, or the file is missing, broken or not the record of a
            run.
    """
    path = Path(path)
    if path.name != RECORD and path.is_dir():
        path = path / RECORD
    if path.name == RECORD and not path.exists() and (path.parent / CHECKPOINT_FILE).is_file():
        raise RecordError(describe_unfinished(path.parent))
    return Run.from_json(read_text(path), path)


def epoch_lines(epochs: Sequence[Epoch], data: str) -> str:
    """Return one line of JSON for each epoch.

    Args:
        epochs: The epochs, in order.
        data: Name of the data set; it is part of each line, since the file may be moved away from
            the run's record.
    """
    return "".join(
        json.dumps({"data": data, **dataclasses.asdict(epoch)}) + "\n" for epoch in epochs
    )


def epochs_from_json(values: Any, path: Path | str = "epochs") -> tuple[Epoch, ...]:
    """Return epochs from the values that JSON stores for each.

    Raises:
        RecordError: They have another form.
    """
    epochs: tuple[Epoch, ...] = check_values(tuple[Epoch, ...], values, path)
    return epochs


def stretches_from_json(values: Any, path: Path | str = "stretches") -> tuple[Stretch, ...]:
    """Return stretches from the values that JSON stores for each.

    Raises:
        RecordError: They have another form.
    """
    stretches: tuple[Stretch, ...] = check_values(tuple[Stretch, ...], values, path)
    return stretches


def _run_from_dict(record: dict[str, Any], path: Path | str) -> Run:
    verdict = record.get("verdict")
    state = None
    if isinstance(verdict, dict):  # its state follows from its results
        verdict = dict(verdict)
        state = verdict.pop("state", None)
        record = record | {"verdict": verdict}
    run: Run = check_values(Run, record, path)
    if run.verdict is not None and state != run.verdict.state:
        raise DamagedRecordError(
            f"{path}: verdict.state is {shorten(state)}, but verdict.results give"
            f" {run.verdict.state!r}; {REMEDY}"
        )
    return run
