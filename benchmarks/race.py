"""How long training takes beside train_mnist_fast's recipe, T, measured in the same run on the same machine.

    python -m benchmarks.race                         our fast experiments and the peer, five turns
    python -m benchmarks.race --experiments swift     one of them

The peer: train_mnist_fast's published recipe, written anew (see ``benchmarks/peers.py``), at its best number of threads
and layout. Ours: ``fit`` with an experiment's own net and recipe, at its best number of threads.

Three clocks. Training only: from the first touch of the training images to the final weights. Warm: loading, training,
scoring, all in a process that has its libraries. Cold: a whole ``netlet train``, from the shell's view, the record
written. Each measurement has a process of its own; sides take turns, each turn gives one ratio, and medians are quoted.
A race says nothing of accuracy: one seed's score is printed to show that something was learned; claims are studies.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PEER = "train_mnist_fast"
EXPERIMENTS = ("sprint", "swift")


def peer(threads: int, layout: str, images: int) -> dict[str, Any]:
    """One training by the peer's recipe."""
    import torch

    from benchmarks.peers import train_mnist_fast
    from netlet import data

    torch.set_num_threads(threads)
    began = time.perf_counter()
    digits = data.load("mnist")
    found = train_mnist_fast(digits.train.take(torch.arange(images)), digits.held_out, layout)
    return {**found, "warm_s": time.perf_counter() - began}


def ours(name: str, threads: int, images: int) -> dict[str, Any]:
    """One training of an experiment, without listeners."""
    import dataclasses

    import torch

    from netlet import data
    from netlet.experiments import EXPERIMENTS as KNOWN

    torch.set_num_threads(threads)
    began = time.perf_counter()
    digits = data.load("mnist")
    run = KNOWN[name].run(dataclasses.replace(digits, train=digits.train.take(torch.arange(images))), seed=0)
    return {
        "train_s": run.times["train_s"], "warm_s": time.perf_counter() - began, "correct": run.last_epoch.correct,
        "epochs": len(run.epochs), "parameters": run.facts["parameters"],
    }  # fmt: skip


def cold(name: str, threads: int) -> float:
    """Seconds of a whole ``netlet train``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "netlet", "train", name, "--threads", str(threads), "--out", folder]
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)  # its exit code is its verdict
        return time.perf_counter() - began


def measured(side: str, *how: object) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.race", "--side", side, *map(str, how)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def race(names: Sequence[str], turns: int, images: int, with_cold: bool = True) -> dict[str, Any]:
    """The peer and our experiments in turn; who has choices is given the best of one trial each first."""
    cores = len(os.sched_getaffinity(0))
    counts = sorted({1, cores})
    choices = list(itertools.product(counts, ("contiguous", "channels_last")))
    trials = {choice: measured(PEER, *choice, images)["train_s"] for choice in choices}
    best = min(choices, key=trials.__getitem__)
    threads = {name: min(counts, key=lambda n, name=name: measured(name, n, images)["train_s"]) for name in names}
    rounds = []
    for turn in range(turns):
        rounds.append({PEER: measured(PEER, *best, images), **{n: measured(n, threads[n], images) for n in names}})
        print(f"turn {turn + 1} of {turns}", file=sys.stderr, flush=True)
    rows = [row(PEER, rounds, best[0]), *(row(name, rounds, threads[name]) for name in names)]
    for entry in rows[1:] if with_cold else []:
        entry["cold_s"] = round(cold(entry["name"], entry["threads"]), 2)
    tried = {f"{count} threads, {layout}": round(s, 2) for (count, layout), s in trials.items()}
    return {"images": images, "turns": turns, "peer_trials_s": tried, "rows": rows}


def row(name: str, rounds: Sequence[dict[str, Any]], threads: int) -> dict[str, Any]:
    """One side's figures over all turns."""
    mine = [found[name] for found in rounds]
    ratios = [found[name]["train_s"] / found[PEER]["train_s"] for found in rounds]
    return {
        "name": name, "threads": threads, "epochs": mine[0]["epochs"], "parameters": mine[0]["parameters"],
        "correct_of_one_seed": mine[0]["correct"],
        "train_s": round(statistics.median(one["train_s"] for one in mine), 2),
        "warm_s": round(statistics.median(one["warm_s"] for one in mine), 2),
        "ratio": round(statistics.median(ratios), 2), "ratios": [round(ratio, 2) for ratio in ratios],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", nargs="+", default=EXPERIMENTS)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000, help="to train on; all, for figures to quote")
    parser.add_argument("--no-cold", action="store_true", help="leave the cold clock out")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--side", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        name, *how = given.side
        found = peer(int(how[0]), how[1], int(how[2])) if name == PEER else ours(name, int(how[0]), int(how[1]))
        print(json.dumps(found))
        return

    import torch

    from netlet.tables import table
    from netlet.training.environment import environment

    figures = race(given.experiments, given.turns, given.images, with_cold=not given.no_cold)
    head = ("name", "parameters", "epochs", "threads", "training s", "ratio to T", "of each turn", "warm s", "cold s")
    cells = [
        [
            entry["name"], f"{entry['parameters']:,}", str(entry["epochs"]), str(entry["threads"]),
            f"{entry['train_s']:.2f}", f"{entry['ratio']:.2f}", " ".join(f"{ratio:.2f}" for ratio in entry["ratios"]),
            f"{entry['warm_s']:.2f}", f"{entry['cold_s']:.2f}" if "cold_s" in entry else "-",
        ]
        for entry in figures["rows"]
    ]  # fmt: skip
    machine = environment(torch.device("cpu"))
    print(table(head, cells, "lrrrrrlrr"))
    print(f"\n{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    if given.out:
        given.out.write_text(json.dumps({"environment": machine, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
