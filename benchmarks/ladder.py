"""What each change brought: rungs from eager PyTorch to ``sprint``, each measured beside train_mnist_fast's recipe, T.

    python -m benchmarks.ladder --out results/ladder.json        about five minutes on two cores

Every rung trains the full number of epochs in a process of its own; all take turns, and medians are quoted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from torch import nn

from netlet import recipes
from netlet.nets import sprint
from netlet.nets.blocks import conv_bn, named, pooled_logits
from netlet.recipes import AUGMENTS, Recipe

_FIRST = recipes.SPRINT.but(batch=128, augment=AUGMENTS["light"])


def padded() -> nn.Module:
    """The first form of ``sprint``: 17,040 parameters."""
    return named(
        edges=conv_bn(1, 16, kernel=5, padding=2, stride=2), strokes=conv_bn(16, 16), parts=conv_bn(16, 32),
        halve=nn.MaxPool2d(2), digits=conv_bn(32, 32), head=pooled_logits(32, 10),
    )  # fmt: skip


def unpadded() -> nn.Module:
    """The same without the padding: 17,040 parameters, a third fewer multiply-adds."""
    return named(
        edges=conv_bn(1, 16, kernel=5, stride=2), strokes=conv_bn(16, 16), parts=conv_bn(16, 32),
        halve=nn.MaxPool2d(2), digits=conv_bn(32, 32), head=pooled_logits(32, 10),
    )  # fmt: skip


@dataclass(frozen=True)
class Rung:
    """A change, and what is trained after it."""

    change: str
    net: Callable[[], nn.Module]
    recipe: Recipe
    native: str = "all"  # of what is compiled: none, augmentation, all


RUNGS = (
    Rung("eager, float32", padded, _FIRST.but(step="eager", precision="float32"), "none"),
    Rung("eager, bfloat16", padded, _FIRST.but(step="eager"), "none"),
    Rung("augmentation compiled", padded, _FIRST, "augmentation"),
    Rung("step compiled for the net, float32", padded, _FIRST.but(precision="float32")),
    Rung("step compiled for the net, bfloat16", padded, _FIRST),
    Rung("no padding in the first convolution", unpadded, _FIRST),
    Rung("one more 3x3, batch 96, more augmentation: sprint", sprint, recipes.SPRINT),
)


def measure(at: int, threads: int, images: int) -> float:
    """Training seconds of a rung."""
    import dataclasses

    import torch

    from netlet import build, data, fit
    from netlet.native import NotNative

    torch.set_num_threads(threads)
    rung, digits = RUNGS[at], data.load("mnist")
    digits = dataclasses.replace(digits, train=digits.train.take(torch.arange(images)))
    refusal = mock.patch("netlet.training.quickest.CompiledStep", side_effect=NotNative)
    with refusal if rung.native == "augmentation" else mock.MagicMock():
        return fit(build(rung.net, 0), digits, rung.recipe).times["train_s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--rung", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rung:
        print(json.dumps({"train_s": measure(*given.rung)}))
        return
