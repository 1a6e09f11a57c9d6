"""Trials: one net, one recipe, one seed, scored on images held out of ``train``.

A file of trials has one line of JSON for each.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.errors import RecordError
from netlet.experiments.origins import refuse_changed_code
from netlet.files import read_regular
from netlet.outputs import write_output
from netlet.records.json_file import shorten
from netlet.records.trials import MAX_TRIALS_BYTES, parse_trials
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


def run_trial(trial: Trial, *, trust: bool = False) -> dict[str, Any]:
    """Train and score a trial on one thread.

    Args:
        trial: The trial to train.
        trust: Whether to run code that the trial names, like ``file.py:Name``.

    Returns:
        The line that records it.
    """
    import torch

    from netlet import catalog, data, nets, recipes
    from netlet.records import to_json_value
    from netlet.training import fit

    torch.set_num_threads(1)
    entry = nets.find_net(trial.net, trusted=trust)
    start = catalog.find_recipe(trial.recipe).for_net(in_catalog=nets.comes_with_netlet(entry))
    recipe = recipes.recipe_from_json(to_json_value(start) | dict(trial.changes))
    images = data.load("mnist").hold_out(VAL, trial.draw)
    net = nets.build(entry.builder, trial.seed)
    run = fit(net, images, recipe, seed=trial.seed, progress=False)
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
        **({"source_digest": entry.code.digest} if entry.code else {}),
    }


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the trials that a file records, in today's form; none if there is no file.

    Raises:
        RecordError: The file cannot be read, or a line is not a trial.
    """
    if not os.path.lexists(path):
        return []
    content = read_regular(path, MAX_TRIALS_BYTES, RecordError)
    return [upgrade_trial(line) for line in parse_trials(content, path)]


def check_result(result: Mapping[str, Any], where: str) -> None:
    """Check that a line of a file of trials says what was trained and how well it scored.

    Args:
        result: The result in today's form.
        where: The file and the line, for the error message.

    Raises:
        RecordError: A field is missing, or of another type.
    """
    kinds = {"net": str, "recipe": str, "changes": Mapping, "seed": int, "draw": int}
    for name, kind in (kinds | {"correct": int, "total": int, "parameters": int}).items():
        value = result.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RecordError(
                f"{where}: {name} is {shorten(value)}, and the trial cannot be run again; "
                "choose a line that 'netlet search' wrote"
            )
    if not isinstance(result.get("source_digest", ""), str):  # trials of before have none
        raise RecordError(
            f"{where}: source_digest is {shorten(result['source_digest'])}, which is no digest; "
            "choose a line that 'netlet search' wrote"
        )
    if not 0 <= result["correct"] <= result["total"] or not result["total"]:
        raise RecordError(
            f"{where}: {result['correct']} of {result['total']} images are correct, which cannot "
            "be; choose another line"
        )


def append_result(result: Mapping[str, Any], path: Path) -> None:
    """Add a trial to a file; a crash or a full disk leaves the file as it was.

    Raises:
        OutputError: It cannot be written.
    """
    before = path.read_bytes() if path.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    write_output(path, before + json.dumps(result).encode() + b"\n")


def repeat_trial(
    path: Path, line: int, *, trust: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a recorded trial again.

    Args:
        path: File of trials.
        line: Number of the trial's line, from 1.
        trust: Whether to run code that the line names, like ``file.py:Name``.

    Returns:
        The recorded result and the new one.

    Raises:
        RecordError: The file has no such line, or the line cannot be run again.
        NetError: The net is code that is not trusted, or has changed since the trial.
    """
    if not os.path.lexists(path):
        raise RecordError(
            f"{path}: no such file; name the file that 'netlet search' wrote with --out"
        )
    known = read_results(path)
    if not 1 <= line <= len(known):
        raise RecordError(
            f"{path}: has {len(known)} lines; line {line} does not exist, choose one from 1 to "
            f"{len(known)}"
        )
    recorded = known[line - 1]
    names = [field.name for field in dataclasses.fields(Trial)]
    if missing := [name for name in names if name not in recorded]:
        raise RecordError(
            f"{path}, line {line}: has no {missing[0]!r} and cannot be run again;"
            " choose a line that 'netlet search' wrote"
        )
    check_result(recorded, f"{path}, line {line}")
    if trust and (digest := recorded.get("source_digest")):
        refuse_changed_code(f"{path}, line {line}", recorded["net"], digest)
    return recorded, run_trial(Trial(**{name: recorded[name] for name in names}), trust=trust)
