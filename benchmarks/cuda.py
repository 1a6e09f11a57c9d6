"""Measure training on a CUDA device: nets, whole runs, and several seeds that take turns.

    python -m benchmarks.cuda --out results/cuda.json      about 4 minutes on an H100

*Nets*: the seconds of the second epoch, with whole steps recorded in a CUDA graph and in eager
mode; the first epoch of a process also loads libraries. *Runs*: training as a whole, several times
with the same seed. *Seeds*: several seeds of one experiment that take turns on the device, each in
a stream of its own, beside the same seeds one after the other. Weights of equal seeds are compared.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.harness import make_parser, write_record
from benchmarks.pipeline import find_training

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.records import Run

NETS = (
    "sprint",
    "crest",
    "mnistnet_1",
    "week4_conv",
    "mobile_20k",
    "residual_20k",
    "pytorch_example",
    "lenet5",
)
WAYS = (("auto", "float32"), ("auto", "bf16"), ("eager", "float32"))  # backend, precision
RUNS = ("sprint", "crest")
COUNTS = (1, 2, 5, 10)  # of seeds at a time
SHARED = "sprint"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--nets", nargs="*", default=NETS, help=f"default: {' '.join(NETS)}")
    parser.add_argument("--turns", type=int, default=3, help="repetitions (default: 3)")
    given = parser.parse_args()

    import torch

    from netlet import data
    from netlet.training.environment import describe_environment

    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device here")
    device = torch.device("cuda")
    digits = data.load("mnist")
    digits = dataclasses.replace(
        digits, train=digits.train.to(device), held_out=digits.held_out.to(device)
    )
    record = {
        "environment": describe_environment(device),
        "turns": given.turns,
        "nets": [measure_net(name, digits) for name in given.nets],
        "runs": [measure_runs(name, digits, given.turns) for name in RUNS],
        "seeds": measure_seeds(SHARED, digits, given.turns),
    }
    write_record(given.out, record)


def measure_net(name: str, digits: Dataset) -> dict[str, Any]:
    """Return the seconds of a net's second epoch in each of :data:`WAYS`."""
    from netlet import nets
    from netlet.training import fit

    training = find_training(name)
    row: dict[str, Any] = {"name": name, "ways": []}
    for backend, precision in WAYS:
        recipe = training.recipe.replace(epochs=2, backend=backend, precision=precision)
        net = nets.build(training.builder, 0)
        run = fit(net, digits, recipe, progress=False)
        row["parameters"] = run.cost["parameters"]
        row["batch_size"] = recipe.batch_size
        row["ways"].append(
            {
                "backend": run.backend,
                "precision": run.precision,
                "epoch_s": round(run.epochs[-1].train_s, 3),
            }
        )
    _say(row)
    return row


def measure_runs(name: str, digits: Dataset, turns: int) -> dict[str, Any]:
    """Return the seconds of a whole training, the median of several with the same seed."""
    runs = [_train(name, digits, 0) for _ in range(turns)]
    row = {
        "name": name,
        "epochs": len(runs[0].epochs),
        "train_s": round(statistics.median(run.times["train_s"] for run in runs), 2),
        "total_s": round(statistics.median(run.times["total_s"] for run in runs), 2),
        "correct_of_one_seed": runs[0].last_epoch.correct,
        "repeated_to_the_bit": len({run.weights_digest for run in runs}) == 1,
    }
    _say(row)
    return row


def measure_seeds(name: str, digits: Dataset, turns: int) -> dict[str, Any]:
    """Return the seconds of several seeds together and of as many one after the other."""
    most = max(COUNTS)
    alone = [_train(name, digits, seed).weights_digest for seed in range(most)]

    def one_by_one() -> None:
        for seed in range(most):
            _train(name, digits, seed)

    rows, equal = [], True
    for count in COUNTS:
        digests: list[str] = []

        def together(count: int = count, digests: list[str] = digests) -> None:
            digests[:] = _train_together(name, digits, range(count))

        rows.append({"seeds": count, "seconds": _median_seconds(together, turns)})
        equal = equal and digests == alone[:count]
        _say(rows[-1])
    found = {
        "experiment": name,
        "one_by_one_s": _median_seconds(one_by_one, turns),
        "together": rows,
        "equal_weights": equal,
    }
    _say(found)
    return found


def _train(name: str, digits: Dataset, seed: int) -> Run:
    from netlet.experiments import EXPERIMENTS

    return EXPERIMENTS[name].run(digits, seed, progress=False)


def _train_together(name: str, digits: Dataset, seeds: Sequence[int]) -> list[str]:
    """Return the digests of the weights."""
    from netlet.experiments import EXPERIMENTS

    runs = EXPERIMENTS[name].run_together(digits, seeds)
    failed = [run for run in runs if isinstance(run, Exception)]
    if failed:
        raise failed[0]
    return [run.weights_digest for run in runs if not isinstance(run, Exception)]


def _median_seconds(run: Callable[[], None], turns: int) -> float:
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds), 2)


def _say(row: dict[str, Any]) -> None:
    print(row, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
