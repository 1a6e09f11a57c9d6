"""The result of one seed of a study, and where the seed was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netlet.budgets.verdict import MAY_BE_MISSING
from netlet.display import Displayed
from netlet.records.evaluation import CalibrationBin, Mistake
from netlet.records.run import Run
from netlet.records.values import Machine


@dataclass(frozen=True)
class SeedResult(Displayed):
    """The result of one seed; what has an entry for each epoch is in order of the epochs."""

    seed: int
    correct: int  # held-out images after the last epoch
    correct_by_epoch: tuple[int, ...]  # for information; only the last one is judged
    train_correct: int  # training images without augmentation, after the last epoch
    train_correct_by_epoch: tuple[int, ...]  # while training, with augmentation and dropout
    train_losses: tuple[float, ...]  # mean of each epoch, with augmentation and label smoothing
    held_out_losses: tuple[float, ...]  # mean cross-entropy after each epoch
    verdict: str  # the budget's state; empty without a budget
    mistakes: tuple[Mistake, ...]
    calibration: tuple[CalibrationBin, ...]
    train_s: float
    total_s: float
    weights_digest: str
    # Of the weights that the training began with, if neither the seed determined them nor a file
    # that all seeds share.
    initial_weights_digest: str = field(default="", metadata=MAY_BE_MISSING)
    # In order of the epochs, each once; empty in records of earlier versions.
    trained_on: tuple[Machine, ...] = field(default=(), metadata=MAY_BE_MISSING)
    # What of its environment is not as in that of the study, None for what it lacks; not known of
    # earlier versions.
    environment: Mapping[str, Any] = field(default_factory=dict, metadata=MAY_BE_MISSING)

    def _facts(self) -> Mapping[str, object]:
        return {
            "seed": self.seed,
            "correct": self.correct,
            "train_correct": self.train_correct,
            "epochs": len(self.correct_by_epoch),
            "verdict": self.verdict,
            "mistakes": len(self.mistakes),
            "train_s": self.train_s,
        }


def seed_of_run(run: Run) -> SeedResult:
    """Return the result of a run as a study records it."""
    return SeedResult(
        seed=run.seed,
        correct=run.last_epoch.correct,
        correct_by_epoch=tuple(epoch.held_out.correct for epoch in run.epochs),
        train_correct=run.train_score.correct,
        train_correct_by_epoch=tuple(epoch.train.correct for epoch in run.epochs),
        train_losses=tuple(round(epoch.train_loss, 5) for epoch in run.epochs),
        held_out_losses=tuple(round(epoch.held_out_loss, 5) for epoch in run.epochs),
        verdict=run.verdict.state if run.verdict else "",
        mistakes=tuple(m._replace(confidence=round(m.confidence, 4)) for m in run.mistakes),
        calibration=tuple(b._replace(confidence=round(b.confidence, 4)) for b in run.calibration),
        train_s=round(run.times["train_s"], 3),
        total_s=round(run.times["total_s"], 3),
        weights_digest=run.weights_digest,
        trained_on=_machines_of_run(run),
    )


def _machines_of_run(run: Run) -> tuple[Machine, ...]:
    machines: list[Machine] = []
    for stretch in run.stretches:
        node, cpu = (str(stretch.environment.get(name, "")) for name in ("node", "cpu"))
        if (node or cpu) and Machine(node=node, cpu=cpu) not in machines:
            machines.append(Machine(node=node, cpu=cpu))
    return tuple(machines)
