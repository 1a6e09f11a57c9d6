"""Measure training time beside train_mnist_fast's recipe, T, and beside other peers.

    python -m benchmarks.race                   everything, 3 turns: about 18 minutes on 2 cores
    python -m benchmarks.race --experiments dash --turns 1 --only T      one experiment beside T

T is the training time of train_mnist_fast's published recipe with its best number of threads and
memory layout. netlet's side is ``fit`` with an experiment's own net and recipe. Other peers are the
usual pipeline (DataLoader, Pillow, eager float32) on sprint's net, and Keras on JAX with its own
MNIST example and with sprint's net; without ``pip install -e '.[bench]'`` the rows of Keras are
left out. ``benchmarks/sides.py`` has the code of every side.

There are three clocks. *Training*: from the first access to the training images to the final
weights. *Warm*: loading, training and scoring, in a process that has imported its libraries.
*Cold*: a whole ``netlet train`` as the shell sees it, including the record. Each measurement runs
in a process of its own. The sides take turns, each turn yields one ratio, and medians are quoted.
A race shows no accuracy: the score of one seed is printed only to show that something was learned;
studies give the accuracy.
"""

from __future__ import annotations

import importlib.util
import itertools
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import pipeline, sides
from benchmarks.harness import make_parser, measure_in_process, write_record

EXPERIMENTS = ("sprint", "dash", "sprint8k", "swift")
PARTS = ("T", "peers", "pipeline", "cold", "study")
T = "train_mnist_fast"

Figures = dict[str, Any]
Entrants = dict[str, tuple[Any, ...]]  # a row's name -> the arguments of its measurement


def run_side_in_process(side: str, images: int, *how: object) -> Figures:
    """Run one measurement in a process of its own and return its figures."""
    figures: Figures = measure_in_process(getattr(sides, side), images, *how)
    print(f"  {side} {' '.join(map(str, how))}", file=sys.stderr, flush=True)
    return figures


def choose_fastest(
    choices: Sequence[tuple[Any, ...]], measure: Callable[..., Figures]
) -> tuple[Any, ...]:
    """Return the choice with the shortest training time in one trial each.

    The trials also fill caches, such as that of compiled code.
    """
    if len(choices) == 1:
        return choices[0]
    return min(choices, key=lambda choice: measure(*choice)["train_s"])


def run_race(
    names: Sequence[str], turns: int, images: int, seeds: int, parts: Sequence[str]
) -> Figures:
    """Run all sides in turns and return the record without its environment.

    Args:
        names: Experiments; the first is also the one that peers and the study are compared with.
        turns: How often each side runs.
        images: How many training images are used.
        seeds: Seeds of the study that is timed.
        parts: Which of :data:`PARTS` to measure.
    """
    first = names[0]
    entrants = choose_entrants(names, images, parts)
    lead = run_side_in_process(*entrants[first])
    peak = ("peak", images, entrants[first][3], lead["precision"])
    rounds = run_turns({**entrants, "peak": peak}, names if "cold" in parts else (), turns)
    figures: Figures = {
        "images": images,
        "turns": turns,
        "rows": [summarize_side(name, rounds, how) for name, how in entrants.items()],
        "peak": summarize_peak(first, images, lead, rounds),
    }
    if "pipeline" in parts:
        few = max(1_280, images // 5)
        workers = pipeline.choose_workers("mnistnet_1.documented", few, [0, *_thread_counts()])
        figures["pipeline"] = pipeline.compare_pipelines(
            "mnistnet_1.documented", few, turns, workers
        )
    if "study" in parts:
        times = run_side_in_process("study", images, first, seeds)
        ratio = round(times["one_by_one_s"] / times["study_s"], 2)
        figures["study"] = {"experiment": first, "seeds": seeds, **times, "ratio": ratio}
    return figures


def choose_entrants(names: Sequence[str], images: int, parts: Sequence[str]) -> Entrants:
    """Return the sides that take part, each with its fastest number of threads or workers."""
    counts = _thread_counts()
    layouts = ("contiguous", "channels_last")
    choice = choose_fastest(
        list(itertools.product(counts, layouts)), lambda *how: run_side_in_process(T, images, *how)
    )
    entrants: Entrants = {T: (T, images, *choice)}
    for name in names:
        (threads,) = choose_fastest(
            [(count,) for count in counts],
            lambda count, name=name: run_side_in_process("experiment", images, name, count),
        )
        entrants[name] = ("experiment", images, name, threads)
    if "peers" in parts:
        first = names[0]
        workers = choose_fastest(
            [(count,) for count in range(len(counts) + 1)],
            lambda count: run_side_in_process("usual", images // 10, first, count),
        )
        entrants[f"usual pipeline, {first}'s net"] = ("usual", images, first, *workers)
        if importlib.util.find_spec("keras") and importlib.util.find_spec("jax"):
            entrants["Keras on JAX, its own example"] = ("keras_convnet", images)
            entrants[f"Keras on JAX, {first}'s net"] = ("keras_chain", images, first)
    return entrants


def run_turns(entrants: Entrants, cold: Sequence[str], turns: int) -> list[dict[str, Figures]]:
    """Run every entrant once per turn, and return the figures of each turn by entrant.

    Args:
        entrants: The sides.
        cold: Experiments for which a whole ``netlet train`` is timed, too.
        turns: How often.
    """
    rounds: list[dict[str, Figures]] = []
    for turn in range(turns):
        print(f"turn {turn + 1} of {turns}", file=sys.stderr, flush=True)
        rounds.append({name: run_side_in_process(*how) for name, how in entrants.items()})
        for name in cold:
            _, images, _, threads = entrants[name]
            rounds[-1][name] |= run_side_in_process("cold", images, name, threads)
    return rounds


def summarize_side(
    name: str, rounds: Sequence[Mapping[str, Figures]], how: Sequence[Any]
) -> Figures:
    """Return the medians of one side over all turns."""
    own = [turn[name] for turn in rounds]
    ratios = [turn[name]["train_s"] / turn[T]["train_s"] for turn in rounds]
    clocks: Figures = {
        clock: round(statistics.median(figures[clock] for figures in own), 2)
        for clock in ("train_s", "warm_s", "cold_s", "cold_beyond_training_s", "first_epoch_s")
        if clock in own[0]
    }
    return {
        "name": name,
        "how": [str(part) for part in (how[0], *how[2:])],
        "epochs": own[0]["epochs"],
        "parameters": own[0]["parameters"],
        "correct_of_one_seed": own[0].get("correct"),
        "backend": own[0].get("backend"),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        **clocks,
    }


def summarize_peak(
    name: str, images: int, lead: Figures, rounds: Sequence[Mapping[str, Figures]]
) -> Figures:
    """Return which share of the machine's multiply-add rate an experiment's training reaches."""
    macs = sides.step_macs(pipeline.find_training(name).builder()) * images * lead["epochs"]
    rates = [turn["peak"]["macs_per_s"] for turn in rounds]
    shares = [macs / turn[name]["train_s"] / rate for turn, rate in zip(rounds, rates, strict=True)]
    return {
        "experiment": name,
        "precision": lead["precision"],
        "backend": lead["backend"],
        "macs_per_s": round(statistics.median(rates)),
        "share": round(statistics.median(shares), 3),
    }


def _thread_counts() -> list[int]:
    return sorted({1, sides.cores()})


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--experiments",
        nargs="+",
        default=EXPERIMENTS,
        help="experiments to time; peers are compared with the first "
        f"(default: {' '.join(EXPERIMENTS)})",
    )
    parser.add_argument("--turns", type=int, default=3, help="runs of each side (default: 3)")
    parser.add_argument(
        "--images",
        type=int,
        default=60_000,
        help="training images (default: all 60,000, as figures to quote need)",
    )
    parser.add_argument(
        "--seeds", type=int, default=10, help="seeds of the study that is timed (default: 10)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="parts to measure, T always included (default: all)",
    )
    given = parser.parse_args()

    import torch

    from netlet.training.environment import describe_environment
    from tools.speed import RACED, race_tables, summary_table

    figures = run_race(given.experiments, given.turns, given.images, given.seeds, given.only)
    figures = {"environment": describe_environment(torch.device("cpu")), **figures}
    if set(given.only) >= {"pipeline", "cold", "study"} and set(RACED) <= set(given.experiments):
        print(summary_table(figures), end="\n\n")
    print(race_tables(figures))
    write_record(given.out, figures)


if __name__ == "__main__":
    main()
