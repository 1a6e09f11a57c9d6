"""Trials: one net, one recipe, one seed, scored on images held out of ``train``; one line of JSON each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VAL = 10_000  # images of train that score a trial


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried."""

    net: str  # in one line, or by name
    recipe: str  # the one that is changed
    changes: Mapping[str, Any]  # of the recipe's fields, in plain values
    seed: int
    draw: int  # of the held-out images: trials of one draw are scored on the same ones
    params: Mapping[str, Any] | None = None  # as the sampler knows it; None: chosen by hand


def tried(trial: Trial) -> dict[str, Any]:
    """Train and score, on one thread.

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
    run = fit(
        nets.build(nets.find_net(trial.net).builder, trial.seed), images, recipe, seed=trial.seed
    )
    last = run.epochs[-1]
    return dataclasses.asdict(trial) | {
        "parameters": run.cost["parameters"],
        "epochs": recipe.epochs,
        "correct": last.held_out.correct,
        "of": last.held_out.total,
        "loss": round(last.held_out_loss, 5),
        "train_correct": run.train_score.correct,
        "train_s": round(run.times["train_s"], 1),
        "backend": run.backend,
        "precision": run.precision,
        "commit": run.environment.get("commit"),
    }


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The trials that a file records."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def record(line: Mapping[str, Any], path: Path) -> None:
    """Add a trial to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
