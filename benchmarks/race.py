"""How long training takes beside train_mnist_fast's recipe, T, and beside other peers, on this machine, now.

    python -m benchmarks.race                           everything, three turns: about a quarter of
    an hour on two cores python -m benchmarks.race --experiments dash --turns 1 --only T        one
    of ours beside T

T is the training time of train_mnist_fast's published recipe at its best number of threads and
layout. Ours: ``fit`` with an experiment's own net and recipe. Other peers: the usual pipeline
(DataLoader, Pillow, eager float32) on sprint's net, and Keras on JAX (``pip install
'netlet[bench]'``; without it those rows are left out), with its own MNIST example and with sprint's
net. What each side does is in ``benchmarks/sides.py``.

Three clocks. Training only: from the first touch of the training images to the final weights. Warm:
loading, training, scoring, all in a process that has its libraries. Cold: a whole ``netlet train``,
from the shell's view, the record written. Each measurement has a process of its own; sides take
turns, each turn gives one ratio, and medians are quoted. A race says nothing of accuracy: one
seed's score is printed to show that something was learned; claims are studies.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import sides

EXPERIMENTS = ("sprint", "dash", "sprint8k", "swift")
PARTS = ("T", "peers", "pipeline", "cold", "study")
T = "train_mnist_fast"


def measured(side: str, images: int, *how: object) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.race", "--side", side, str(images), *map(str, how)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr or f"{' '.join(command)} failed")
    print(f"  {side} {' '.join(map(str, how))}", file=sys.stderr, flush=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def fastest(
    choices: Sequence[tuple[Any, ...]], measure: Callable[..., dict[str, Any]]
) -> tuple[Any, ...]:
    """Of several ways to do the same, the one that took the shortest, in one trial each, which also warms up caches."""
    return (
        min(choices, key=lambda choice: measure(*choice)["train_s"])
        if len(choices) > 1
        else choices[0]
    )


def race(
    names: Sequence[str], turns: int, images: int, seeds: int, parts: Sequence[str]
) -> dict[str, Any]:
    """All sides in turn.

    Args:
        names: Of experiments.
        turns: How often each side runs.
        images: To train on.
        seeds: Of the study that is timed.
        parts: Of :data:`PARTS`, what to measure.
    """
    counts = sorted({1, sides.cores()})
    layouts = ("contiguous", "channels_last")
    entrants: dict[str, tuple[Any, ...]] = {}  # a row's name -> its measurement
    entrants[T] = (
        T,
        images,
        *fastest(list(itertools.product(counts, layouts)), lambda *c: measured(T, images, *c)),
    )
    for name in names:
        (threads,) = fastest(
            [(n,) for n in counts], lambda n, name=name: measured("experiment", images, name, n)
        )
        entrants[name] = ("experiment", images, name, threads)
    first = names[0]
    lead = measured(*entrants[first])
    if "peers" in parts:
        workers = fastest(
            [(n,) for n in range(len(counts) + 1)],
            lambda n: measured("usual", images // 10, first, n),
        )
        entrants[f"usual pipeline, {first}'s net"] = ("usual", images, first, *workers)
        if importlib.util.find_spec("keras") and importlib.util.find_spec("jax"):
            entrants["Keras on JAX, its own example"] = ("keras_convnet", images)
            entrants[f"Keras on JAX, {first}'s net"] = ("keras_chain", images, first)
    entrants["peak"] = ("peak", images, entrants[first][3], lead["precision"])
    rounds: list[dict[str, dict[str, Any]]] = []
    for turn in range(turns):
        print(f"turn {turn + 1} of {turns}", file=sys.stderr, flush=True)
        rounds.append({name: measured(*how) for name, how in entrants.items()})
        if "cold" in parts:
            for name in names:
                rounds[-1][name] |= measured("cold", images, name, entrants[name][3])
    found: dict[str, Any] = {
        "images": images,
        "turns": turns,
        "rows": [
            row(name, [one[name] for one in rounds], rounds, how)
            for name, how in entrants.items()
            if name != "peak"
        ],
    }
    macs = sides.step_macs(first) * images * lead["epochs"]
    shares = [macs / one[first]["train_s"] / one["peak"]["macs_per_s"] for one in rounds]
    found["peak"] = {
        "experiment": first,
        "precision": lead["precision"],
        "backend": lead["backend"],
        "macs_per_s": round(statistics.median(one["peak"]["macs_per_s"] for one in rounds)),
        "share": round(statistics.median(shares), 3),
    }
    if "pipeline" in parts:
        from benchmarks import pipeline

        few = max(1_280, images // 5)
        found["pipeline"] = pipeline.compare(
            "mnistnet_1", few, turns, pipeline.best_workers("mnistnet_1", few, [0, *counts])
        )
    if "study" in parts:
        found["study"] = {
            "experiment": first,
            "seeds": seeds,
            **measured("study", images, first, seeds),
        }
        found["study"]["ratio"] = round(
            found["study"]["one_by_one_s"] / found["study"]["study_s"], 2
        )
    return found


def row(
    name: str,
    mine: Sequence[dict[str, Any]],
    rounds: Sequence[Mapping[str, Any]],
    how: Sequence[Any],
) -> dict[str, Any]:
    """One side's figures over all turns."""
    ratios = [found["train_s"] / one[T]["train_s"] for found, one in zip(mine, rounds, strict=True)]
    clocks = {
        clock: round(statistics.median(found[clock] for found in mine), 2)
        for clock in ("train_s", "warm_s", "cold_s", "cold_beyond_training_s", "first_epoch_s")
        if clock in mine[0]
    }
    return {
        "name": name,
        "how": [str(part) for part in (how[0], *how[2:])],
        "epochs": mine[0]["epochs"],
        "parameters": mine[0]["parameters"],
        "correct_of_one_seed": mine[0].get("correct"),
        "backend": mine[0].get("backend"),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        **clocks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--experiments",
        nargs="+",
        default=EXPERIMENTS,
        help="the first is also the one of the peers",
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--images", type=int, default=60_000, help="to train on; all, for figures to quote"
    )
    parser.add_argument("--seeds", type=int, default=10, help="of the study that is timed")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="what to measure; T always"
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--side", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side, *how = given.side
        print(
            json.dumps(
                getattr(sides, side)(*(int(word) if word.isdecimal() else word for word in how))
            )
        )
        return

    import torch

    from netlet.training.environment import environment
    from tools.speed import RATIOS, race_tables, targets_table

    figures = race(given.experiments, given.turns, given.images, given.seeds, given.only)
    figures = {"environment": environment(torch.device("cpu")), **figures}
    if set(given.only) >= {"pipeline", "cold", "study"} and set(RATIOS) <= set(given.experiments):
        print(targets_table(figures), end="\n\n")
    print(race_tables(figures))
    if given.out:
        given.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
