"""Measure what each change on the way from eager PyTorch to ``sprint`` brought.

    python -m benchmarks.ladder --out results/ladder.json        about 5 minutes on 2 cores

Every rung keeps the changes of the rungs before it and trains all its epochs in a process of its
own. In each turn, every rung and train_mnist_fast's recipe, T, run once. Medians are quoted.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from torch import nn

from benchmarks import race, sides
from benchmarks.harness import make_parser, measure_in_process, write_record
from netlet import recipes
from netlet.nets import sprint
from netlet.nets.blocks import conv_bn, pooled_logits, stack_layers
from netlet.recipes import AUGMENTS, Recipe
from tools.speed import ladder_table

_FIRST = recipes.SPRINT.replace(batch_size=128, augment=AUGMENTS["light"])


def sprint_padded() -> nn.Module:
    """Build the first form of ``sprint``: 17,040 parameters."""
    return stack_layers(
        conv1=conv_bn(1, 16, kernel=5, padding=2, stride=2),
        conv2=conv_bn(16, 16),
        conv3=conv_bn(16, 32),
        pool=nn.MaxPool2d(2),
        conv4=conv_bn(32, 32),
        head=pooled_logits(32, 10),
    )


def sprint_unpadded() -> nn.Module:
    """Build it without padding: 17,040 parameters, a third fewer multiply-adds."""
    return stack_layers(
        conv1=conv_bn(1, 16, kernel=5, stride=2),
        conv2=conv_bn(16, 16),
        conv3=conv_bn(16, 32),
        pool=nn.MaxPool2d(2),
        conv4=conv_bn(32, 32),
        head=pooled_logits(32, 10),
    )


@dataclass(frozen=True)
class Rung:
    """A change, and the net and recipe that are trained with it."""

    change: str
    net: Callable[[], nn.Module]
    recipe: Recipe
    expected: str  # the effect that was expected before it was measured
    compiled: str = "all"  # which parts run as compiled C: none, augmentation or all


RUNGS = (
    Rung(
        "eager, float32",
        sprint_padded,
        _FIRST.replace(backend="eager", precision="float32"),
        "-",
        "none",
    ),
    Rung(
        "bfloat16",
        sprint_padded,
        _FIRST.replace(backend="eager"),
        "four fifths of the time, as for mnistnet_1",
        "none",
    ),
    Rung(
        "augmentation compiled",
        sprint_padded,
        _FIRST,
        "0.05 s per epoch instead of 0.14 s",
        "augmentation",
    ),
    Rung(
        "compiled backend, float32",
        sprint_padded,
        _FIRST.replace(precision="float32"),
        "2.4 s per epoch: 70% of the float32 peak",
    ),
    Rung(
        "compiled backend, bfloat16",
        sprint_padded,
        _FIRST,
        "1.6 s per epoch: 65% of the bfloat16 peak, 0.5 s for the rest",
    ),
    Rung(
        "no padding in the first convolution",
        sprint_unpadded,
        _FIRST,
        "35% fewer MACs and 35% less time",
    ),
    Rung(
        "one more 3x3, batch 96, medium augmentation: `sprint`",
        sprint,
        recipes.SPRINT,
        "0.88 s per epoch",
    ),
)


def time_rung(index: int, threads: int, images: int) -> float:
    """Train a rung and return its training seconds."""
    import torch

    from netlet import build, data, fit
    from netlet.backends.cpu import CompilationError

    torch.set_num_threads(threads)
    rung, digits = RUNGS[index], data.load("mnist")
    digits = dataclasses.replace(digits, train=digits.train.take(torch.arange(images)))
    # without this backend, the step falls back to eager mode and the compiled augmentation stays
    no_backend = mock.patch("netlet.backends.select.CompiledBackend", side_effect=CompilationError)
    with no_backend if rung.compiled == "augmentation" else mock.MagicMock():
        return fit(build(rung.net, 0), digits, rung.recipe, progress=False).times["train_s"]


def time_rung_in_process(index: int, threads: int, images: int) -> float:
    """Return the training seconds of a rung that runs in a process of its own."""
    return measure_in_process(time_rung, index, threads, images)


def measure(turns: int, images: int) -> dict[str, Any]:
    """Run all rungs and T in turns, and return the whole record."""
    import torch

    from netlet.training.environment import describe_environment

    threads = sides.cores()
    choice = race.choose_fastest(
        [(threads, layout) for layout in ("contiguous", "channels_last")],
        lambda *how: race.run_side_in_process(race.T, images, *how),
    )
    times: list[tuple[float, list[float]]] = []
    for turn in range(
        turns + 1
    ):  # the first turn fills the cache of compiled code and does not count
        peer = race.run_side_in_process(race.T, images, *choice)["train_s"]
        own = [time_rung_in_process(index, threads, images) for index in range(len(RUNGS))]
        times.append((peer, own))
        print(f"turn {turn} of {turns}", file=sys.stderr, flush=True)
    counted = times[1:]
    rows = [
        {
            "change": rung.change,
            "expected": rung.expected,
            "epochs": rung.recipe.epochs,
            "parameters": sum(p.numel() for p in rung.net().parameters()),
            "train_s": round(statistics.median(own[index] for _, own in counted), 2),
            "ratio": round(statistics.median(own[index] / peer for peer, own in counted), 3),
        }
        for index, rung in enumerate(RUNGS)
    ]
    environment = describe_environment(torch.device("cpu"))
    return {"environment": environment, "turns": turns, "images": images, "rows": rows}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--turns", type=int, default=3, help="turns that count (default: 3)")
    parser.add_argument(
        "--images", type=int, default=60_000, help="training images (default: all 60,000)"
    )
    given = parser.parse_args()
    record = measure(given.turns, given.images)
    print(ladder_table(record))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
