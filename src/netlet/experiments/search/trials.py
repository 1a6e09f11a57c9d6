"""Trials: one net, one recipe, one seed, scored on images held out of ``train``.

A file of trials has one line of JSON for each.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.records.upgrade import upgrade_trial

VAL = 10_000  # training images held out to score a trial


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to train."""

    net: str  # in one line, or by name
    recipe: str  # to start from
    changes: Mapping[str, Any]  # to fields of the recipe, as JSON stores them
    seed: int
    draw: int  # chooses the held-out images: trials with the same draw share them
    params: Mapping[str, Any] | None = None  # as the sampler suggested; None: chosen by hand


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train and score a trial on one thread.

    Returns:
        The line that records it.
    """
    import torch

    from netlet import catalog, data, nets, recipes
    from netlet.records import to_json_value
    from netlet.training import fit

    torch.set_num_threads(1)
    recipe = recipes.recipe_from_json(
        to_json_value(catalog.find_recipe(trial.recipe)) | dict(trial.changes)
    )
    images = data.load("mnist").hold_out(VAL, trial.draw)
    net = nets.build(nets.find_net(trial.net).builder, trial.seed)
    run = fit(net, images, recipe, seed=trial.seed)
    last = run.epochs[-1]
    return dataclasses.asdict(trial) | {
        "parameters": run.cost["parameters"],
        "epochs": recipe.epochs,
        "correct": last.held_out.correct,
        "total": last.held_out.total,
        "loss": round(last.held_out_loss, 5),
        "train_correct": run.train_score.correct,
        "train_s": round(run.times["train_s"], 1),
        "backend": run.backend,
        "precision": run.precision,
        "commit": run.environment.get("commit"),
    }


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the trials that a file records, in today's form; none if there is no file."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield upgrade_trial(json.loads(line))


def append_result(result: Mapping[str, Any], path: Path) -> None:
    """Add a trial to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
