"""What ``netlet train`` prints of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlet.text import escape_controls

if TYPE_CHECKING:
    from netlet.records import Run


def summarize_run(run: Run, folder: Path) -> str:
    """Return a finished run in words: its verdict, best epoch, times, backend and folder."""
    best, total_s, train_s = run.best_epoch, run.times["total_s"], run.times["train_s"]
    lines = [
        f"best epoch {best.epoch}: {best.score} (shown, not judged)",
        f"{total_s:.1f} s, of which {train_s:.1f} s {_name_training(run.recipe)} on "
        f"{run.data['name']} "
        f"({_describe_backend(run)}); recorded in {folder}",
    ]
    return "\n".join([str(run.verdict), *map(escape_controls, lines)])


def _name_training(recipe: Mapping[str, Any]) -> str:
    # The seconds and epochs of a run are those of its curve, which begins after the starts.
    return "training after the random starts" if recipe.get("random_starts", 1) > 1 else "training"


def _describe_backend(run: Run) -> str:
    """Return a run's backend, and why it is the slow one if no warning has said so."""
    from netlet.backends import explain_short_training

    reason = ""
    if (run.backend, run.recipe["backend"], run.environment["device"]) == ("eager", "auto", "cpu"):
        reason = explain_short_training(run.train_score.total * len(run.epochs))
    return f"{run.backend} backend, because {reason}" if reason else f"{run.backend} backend"
