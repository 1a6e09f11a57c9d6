"""Measure how much longer an epoch takes beside programs that keep the processor busy.

    python -m benchmarks.busy --out results/busy.json      about 15 minutes on 2 cores
    python -m benchmarks.busy --backends compiled --turns 1

Each measurement is a ``netlet train`` of its own: one epoch of ``mnistnet_1`` by write-up 001's
recipe, alone and beside one and three busy loops. The time is that of the training only. In a turn,
every backend with every number of threads runs alone and beside the loops; each turn yields one
ratio, and medians are quoted. The machine must be idle otherwise.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import make_parser, write_record

EXPERIMENT = "mnistnet_1.documented"
# A busy loop ends when its stdin does, and so with its parent, however that one ends.
LOOP = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True: pass
"""

Setting = tuple[str, int]  # a backend and its number of threads; 0: --threads is not given


@contextmanager
def run_busy_loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run busy loops in processes of their own within the block.

    Raises:
        RuntimeError: A loop ended before the block did.
    """
    with ExitStack() as stack:
        loops: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            command = [sys.executable, "-c", LOOP]
            loop = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
            stack.callback(loop.kill)
            loops.append(loop)
        yield loops
        if any(loop.poll() is not None for loop in loops):
            raise RuntimeError("a busy loop ended early")


def train_epoch(backend: str, threads: int) -> dict[str, Any]:
    """Train one epoch by ``netlet train`` and return its seconds, precision and parameters."""
    from netlet import records

    with tempfile.TemporaryDirectory() as folder:
        words = ["--epochs", "1", "--set", f"backend={backend}"]
        words += ["--threads", str(threads)] if threads else []
        command = [sys.executable, "-m", "netlet", "train", EXPERIMENT, *words, "--out", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):  # 1: budget missed
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        run = records.load_run(Path(folder))
    assert run.backend == backend
    return {
        "seconds": run.epochs[0].train_s,
        "precision": run.precision,
        "threads": run.environment["threads"],
    }


def measure_turn(settings: Sequence[Setting], loops: Sequence[int]) -> dict[Setting, list[Any]]:
    """Train an epoch with each setting, beside each number of loops, and return the figures."""
    turn: dict[Setting, list[Any]] = {setting: [] for setting in settings}
    for count, (backend, threads) in itertools.product(loops, settings):
        with run_busy_loops(count):
            figures = train_epoch(backend, threads)
        turn[backend, threads].append(figures)
        used = f"{figures['threads']} threads" + ("" if threads else " by default")
        text = f"  {backend}, {used}, {count} loops: {figures['seconds']:.1f} s"
        print(text, file=sys.stderr, flush=True)
    return turn


def summarize(setting: Setting, turns: Sequence[Mapping[Setting, list[Any]]]) -> dict[str, Any]:
    """Return the medians of a setting over all turns: alone, and beside loops relative to that."""
    figures = [turn[setting] for turn in turns]
    seconds = [[figure["seconds"] for figure in turn] for turn in figures]
    ratios = [[busy / quiet for busy in rest] for quiet, *rest in seconds]
    backend, threads = setting
    return {
        "backend": backend,
        "threads": threads or None,
        "threads_used": [
            sorted({n["threads"] for n in column}) for column in zip(*figures, strict=True)
        ],
        "precision": figures[0][0]["precision"],
        "seconds": [round(statistics.median(column), 2) for column in zip(*seconds, strict=True)],
        "ratios": [round(statistics.median(column), 2) for column in zip(*ratios, strict=True)],
        "seconds_of_turns": [[round(s, 2) for s in turn] for turn in seconds],
    }


def measure(settings: Sequence[Setting], loops: Sequence[int], count: int) -> dict[str, Any]:
    """Return the whole record.

    Args:
        settings: Backends and their numbers of threads.
        loops: Numbers of busy loops.
        count: Number of turns.
    """
    import torch

    from netlet.training.environment import describe_environment

    turns = []
    for turn in range(count):
        print(f"turn {turn + 1} of {count}", file=sys.stderr, flush=True)
        turns.append(measure_turn(settings, (0, *loops)))
    return {
        "environment": describe_environment(torch.device("cpu")),
        "experiment": EXPERIMENT,
        "turns": count,
        "loops": list(loops),
        "rows": [summarize(setting, turns) for setting in settings],
    }


def main() -> None:
    from tools.speed import busy_table

    parser = make_parser(__doc__)
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=("compiled", "eager"),
        default=["compiled", "eager"],
        help="backends to measure (default: compiled eager)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[0, 2, 1],
        help="numbers of threads to train with; 0: netlet's choice (default: 0 2 1)",
    )
    parser.add_argument(
        "--loops",
        type=int,
        nargs="+",
        default=[1, 3],
        help="numbers of busy loops to train beside (default: 1 3)",
    )
    parser.add_argument("--turns", type=int, default=3, help="runs of each row (default: 3)")
    given = parser.parse_args()
    settings = list(itertools.product(given.backends, given.threads))
    record = measure(settings, given.loops, given.turns)
    print(busy_table(record))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
