"""What each change brought: rungs from eager PyTorch to ``sprint``, each measured beside train_mnist_fast's recipe, T.

    python -m benchmarks.ladder --out results/ladder.json        about five minutes on two cores

Every rung trains the full number of epochs in a process of its own; all take turns, and medians are
quoted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from torch import nn

from netlet import recipes
from netlet.nets import sprint
from netlet.nets.blocks import conv_bn, named, pooled_logits
from netlet.recipes import AUGMENTS, Recipe
from tools.speed import ladder_table

_FIRST = recipes.SPRINT.replace(batch_size=128, augment=AUGMENTS["light"])


def padded() -> nn.Module:
    """The first form of ``sprint``: 17,040 parameters."""
    return named(
        edges=conv_bn(1, 16, kernel=5, padding=2, stride=2),
        strokes=conv_bn(16, 16),
        parts=conv_bn(16, 32),
        halve=nn.MaxPool2d(2),
        digits=conv_bn(32, 32),
        head=pooled_logits(32, 10),
    )


def unpadded() -> nn.Module:
    """The same without the padding: 17,040 parameters, a third fewer multiply-adds."""
    return named(
        edges=conv_bn(1, 16, kernel=5, stride=2),
        strokes=conv_bn(16, 16),
        parts=conv_bn(16, 32),
        halve=nn.MaxPool2d(2),
        digits=conv_bn(32, 32),
        head=pooled_logits(32, 10),
    )


@dataclass(frozen=True)
class Rung:
    """A change, and what is trained after it."""

    change: str
    net: Callable[[], nn.Module]
    recipe: Recipe
    expected: str  # written down before it was measured
    native: str = "all"  # of what is compiled: none, augmentation, all


RUNGS = (
    Rung(
        "eager, float32", padded, _FIRST.replace(backend="eager", precision="float32"), "-", "none"
    ),
    Rung(
        "bfloat16",
        padded,
        _FIRST.replace(backend="eager"),
        "four fifths, as for document 001's net",
        "none",
    ),
    Rung(
        "augmentation compiled", padded, _FIRST, "0.05 s an epoch instead of 0.14", "augmentation"
    ),
    Rung(
        "step compiled, float32",
        padded,
        _FIRST.replace(precision="float32"),
        "2.4 s an epoch: 70 % of the float32 peak",
    ),
    Rung(
        "step compiled, bfloat16",
        padded,
        _FIRST,
        "1.6 s an epoch: 65 % of the bfloat16 peak, 0.5 s for the rest",
    ),
    Rung(
        "no padding in the first convolution",
        unpadded,
        _FIRST,
        "35 % fewer multiply-adds, and as much less time",
    ),
    Rung(
        "one more 3x3, batch 96, medium augmentation: `sprint`",
        sprint,
        recipes.SPRINT,
        "0.88 s an epoch",
    ),
)


def measure(at: int, threads: int, images: int) -> float:
    """Training seconds of a rung."""
    import dataclasses

    import torch

    from netlet import build, data, fit
    from netlet.backends.cpu import CompilationError

    torch.set_num_threads(threads)
    rung, digits = RUNGS[at], data.load("mnist")
    digits = dataclasses.replace(digits, train=digits.train.take(torch.arange(images)))
    refusal = mock.patch("netlet.backends.select.CompiledBackend", side_effect=CompilationError)
    with refusal if rung.native == "augmentation" else mock.MagicMock():
        return fit(build(rung.net, 0), digits, rung.recipe).times["train_s"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--rung", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rung:
        print(json.dumps({"train_s": measure(*given.rung)}))
        return

    import torch

    from benchmarks import race, sides
    from netlet.training.environment import environment

    threads = sides.cores()
    images = given.images
    choice = race.fastest(
        [(threads, layout) for layout in ("contiguous", "channels_last")],
        lambda *how: race.measured(race.T, images, *how),
    )
    turns: list[tuple[float, list[float]]] = []
    for turn in range(given.turns + 1):  # the first warms up what is compiled, and does not count
        peer = race.measured(race.T, images, *choice)["train_s"]
        turns.append((peer, [rung_in_a_process(at, threads, images) for at in range(len(RUNGS))]))
        print(f"turn {turn} of {given.turns}", file=sys.stderr, flush=True)
    rows = [
        {
            "change": rung.change,
            "expected": rung.expected,
            "epochs": rung.recipe.epochs,
            "parameters": sum(p.numel() for p in rung.net().parameters()),
            "train_s": round(statistics.median(times[at] for _, times in turns[1:]), 2),
            "ratio": round(statistics.median(times[at] / peer for peer, times in turns[1:]), 3),
        }
        for at, rung in enumerate(RUNGS)
    ]
    figures = {
        "environment": environment(torch.device("cpu")),
        "turns": given.turns,
        "images": images,
        "rows": rows,
    }
    print(ladder_table(figures))
    if given.out:
        given.out.write_text(json.dumps(figures, indent=1) + "\n")


def rung_in_a_process(at: int, threads: int, images: int) -> float:
    """Training seconds of a rung, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.ladder",
        "--rung",
        str(at),
        str(threads),
        str(images),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1])["train_s"])


if __name__ == "__main__":
    main()
