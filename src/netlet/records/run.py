"""What happened: runs as plain values and their JSON, complete enough to draw every report without net or data.

A score is always ``{"split": ..., "correct": ..., "total": ...}``; the one that counts is under
``last_epoch``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.budgets import RuleResult, Score, Verdict
from netlet.errors import RecordError
from netlet.files import write_whole
from netlet.recipes import completed
from netlet.records.upgrade import upgrade

SCHEMA = 1
RECORD, EPOCHS, WEIGHTS = "run.json", "epochs.jsonl", "weights.safetensors"


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images."""

    epoch: int  # from 1
    lr: float  # of its last step
    train_loss: float  # mean as trained: augmented, smoothed, with dropout
    train: Score  # running: each batch before its step, augmented, with dropout
    held_out: Score
    held_out_loss: float  # mean cross-entropy
    train_s: float
    score_s: float


@dataclass(frozen=True)
class EpochScore:
    """A held-out score and the epoch it is of."""

    epoch: int
    split: str
    correct: int
    total: int

    @property
    def score(self) -> Score:
        """Without the epoch."""
        return Score(self.split, self.correct, self.total)


@dataclass(frozen=True)
class Run:
    """One training of one net, from one seed."""

    name: str  # of the experiment
    net: str  # as a person would name it to netlet
    seed: int
    recipe: Mapping[str, Any]
    budget: Mapping[str, Any] | None
    cost: Mapping[str, Any]
    verdict: Verdict | None
    data: Mapping[str, Any]  # name, checksums, numbers of images by split
    epochs: tuple[Epoch, ...]
    last_epoch: EpochScore  # counts
    best_epoch: EpochScore  # shown, never judged
    train_clean: Score  # the final net on the training images as they are
    confusion: tuple[tuple[int, ...], ...]  # last epoch, held out: [label][predicted]
    calibration: tuple[Mapping[str, float], ...]  # bins of confidence
    mistakes: tuple[Mapping[str, float], ...]  # index, label, predicted, confidence
    summary: Mapping[str, Any]
    receptive_field: Mapping[str, Any]
    precision: str  # what "auto" came to
    environment: Mapping[str, Any]  # versions, machine, threads, device
    times: Mapping[str, float]  # train_s, score_s, total_s
    weights_digest: str  # SHA-256 over names, shapes and values
    started: str  # UTC, ISO 8601
    backend: str = "eager"  # how batches were run; older records do not say
    began_with: str = ""  # the digest of weights that somebody gave; "": drawn by the seed
    resumed_after: tuple[
        int, ...
    ] = ()  # the numbers of epochs after which the run was taken up again
    schema: int = field(default=SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        record = dataclasses.asdict(self)
        if self.verdict is not None:
            record["verdict"]["state"] = self.verdict.state
        return {"schema": record.pop("schema"), **record}

    def to_json(self) -> str:
        """One JSON object; read back, it gives an equal run."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, path: Path | str = "record") -> Run:
        """A run from its JSON; ``path`` is for the messages.

        Raises:
            RecordError: It is no JSON, no run, or of a schema this version does not know.
        """
        try:
            record = json.loads(text)
        except ValueError as error:
            raise RecordError(
                f"{path}: expected the JSON record of a run, found broken JSON ({error})"
            ) from error
        if not isinstance(record, dict) or "last_epoch" not in record:
            raise RecordError(f"{path}: expected the record of a run, found something else")
        if record.get("schema") != SCHEMA:
            raise RecordError(
                f"{path}: expected schema {SCHEMA}, found {record.get('schema')}; it was written by another version"
            )
        try:
            return _run(upgrade(record))
        except (KeyError, TypeError) as error:
            raise RecordError(
                f"{path}: the record lacks or misnames {error}; it was edited or cut short"
            ) from error


def to_json_value(value: Any) -> Any:
    """A dataclass, or what JSON knows, exactly as it would come back from a file."""
    is_value = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return json.loads(json.dumps(dataclasses.asdict(value) if is_value else value))


def save_run(run: Run, folder: Path) -> None:
    """Write a run's record into its folder, whole or not at all."""
    write_whole(folder / RECORD, run.to_json())


def load_run(path: Path | str) -> Run:
    """The run recorded in a file, or in a folder's ``run.json``.

    Raises:
        RecordError: The file is missing, broken or something else.
    """
    path = Path(path)
    path = path / RECORD if path.is_dir() else path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read as the record of a run ({error})") from error
    return Run.from_json(text, path)


def find_runs(root: Path | str) -> Iterator[Path]:
    """The records of all runs below a folder, by path.

    Raises:
        RecordError: There is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise RecordError(f"{root}: no such folder; 'netlet train' makes it, or name another")
    yield from sorted(root.rglob(RECORD))


def epoch_lines(epochs: Sequence[Epoch], data: str) -> str:
    """One JSON line for each epoch, each with the name of the data set, since such lines travel alone."""
    return "".join(
        json.dumps({"data": data, **dataclasses.asdict(epoch)}) + "\n" for epoch in epochs
    )


def epochs_from_plain(epochs: Sequence[dict[str, Any]]) -> tuple[Epoch, ...]:
    """Epochs from the plain values of each."""
    return tuple(map(_epoch, epochs))


def _epoch(epoch: dict[str, Any]) -> Epoch:
    return Epoch(
        **epoch | {"train": Score(**epoch["train"]), "held_out": Score(**epoch["held_out"])}
    )


def _run(record: dict[str, Any]) -> Run:
    verdict = record["verdict"]
    return Run(
        **record
        | {
            "recipe": completed(record["recipe"]),
            "verdict": verdict and _verdict(verdict),
            "epochs": epochs_from_plain(record["epochs"]),
            "resumed_after": tuple(record.get("resumed_after", ())),
            "last_epoch": EpochScore(**record["last_epoch"]),
            "best_epoch": EpochScore(**record["best_epoch"]),
            "train_clean": Score(**record["train_clean"]),
            "confusion": tuple(tuple(row) for row in record["confusion"]),
            "calibration": tuple(record["calibration"]),
            "mistakes": tuple(record["mistakes"]),
        }
    )


def _verdict(verdict: dict[str, Any]) -> Verdict:
    return Verdict(
        verdict["budget"],
        tuple(_ruling(rule_result) for rule_result in verdict["rule_results"]),
        verdict.get("withheld", ""),
    )


def _ruling(rule_result: dict[str, Any]) -> RuleResult:
    return RuleResult(**rule_result | {"spenders": tuple(rule_result["spenders"])})
