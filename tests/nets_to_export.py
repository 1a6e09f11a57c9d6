"""Nets that exports are tried on: a document's two, one of ours, and two from somebody else's file.

All have seen images: statistics of batch norms are no longer zero and one, and predictions are
mostly right, so that a layer left out or a number that is off shows.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from netlet.data import Dataset, make_scribble
from netlet.data.batches import normalized
from netlet.experiments import TrainedNet, trained_net
from netlet.nets import build, find_net
from netlet.nets.outputs import logits_of
from netlet.recipes import Recipe

FOREIGN = '''
import torch
from torch import nn
from torch.nn import functional as F


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels):
        super().__init__()
        self.down = nn.Conv2d(channels, 4, 1)
        self.up = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        g = F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.up(g))


class Braid(nn.Module):
    """A residual branch, groups, strides, dilation, kernels of several shapes, concatenation, a gate, a dense end."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.halves = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)
        self.halves_norm = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 12, (1, 3), padding=(0, 1))
        self.deep = nn.Conv2d(8, 16, 3, padding=2, dilation=2, groups=8)
        self.cat_norm = nn.BatchNorm2d(28)
        self.gate = Gate(28)
        self.tall = nn.Conv2d(28, 12, (3, 2), stride=(2, 1), padding=(1, 0), bias=False)
        self.tall_norm = nn.BatchNorm2d(12)
        self.last = nn.Conv2d(12, 12, 3, groups=3)
        self.head = nn.Linear(12 * 2 * 4, 10)

    def forward(self, x):
        x = F.leaky_relu(self.norm(self.stem(x)), 0.1)                        # 8 14 14
        x = F.relu6(x + self.halves_norm(self.halves(x)))
        x = torch.cat([F.relu(self.wide(x)), self.deep(x)], 1)                # 28 14 14
        x = self.gate(self.cat_norm(x))
        x = F.max_pool2d(x, 3, stride=2, padding=1)                           # 28 7 7
        x = F.hardswish(self.tall_norm(self.tall(x)))                         # 12 4 6
        x = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        x = self.last(x)                                                      # 12 2 4
        return self.head(F.relu(x).flatten(1))


class Smooth(nn.Module):
    """Functions that take exponentials, a padded mean that counts its zeros, and log-probabilities."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(1, 6, 4, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.two = nn.Conv2d(6, 8, 3, padding=1)
        self.two_norm = nn.BatchNorm2d(8)
        self.three = nn.Conv2d(8, 8, 3, padding=1)
        self.four = nn.Conv2d(8, 12, 3)
        self.four_norm = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = F.silu(self.norm(self.one(x)))                                    # 6 13 13
        x = F.avg_pool2d(F.gelu(self.two_norm(self.two(x))), 3, stride=2, padding=1)         # 8 7 7
        x = F.elu(x + torch.sigmoid(self.three(x)), 0.5)
        x = torch.tanh(self.four_norm(self.four(x))).mean((2, 3))                             # 12 5 5
        return F.log_softmax(self.head(x), 1)
'''
STEPS = 50  # of training
BATCH = 32


@functools.cache
def digits() -> Dataset:
    """Drawn digits, enough to learn something from."""
    return make_scribble(STEPS * BATCH // 2, 400)


@functools.cache
def nets() -> dict[str, TrainedNet]:
    """By the name that a person would type; those of the file by the class's."""
    return {
        "mnistnet_1": _taught("mnistnet_1"),
        "pyramid": _taught("pyramid"),
        "speck": trained_net("speck"),
        "braid": _taught(f"{_file()}:Braid"),
        "smooth": _taught(f"{_file()}:Smooth"),
    }


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _file() -> Path:
    path = Path(_folder().name) / "somebody.py"
    path.write_text(FOREIGN)
    return path


def _taught(name: str) -> TrainedNet:
    recipe = Recipe()
    net = build(find_net(name).builder, 0, (1, 28, 28), 10)
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # so short a training has nothing to unlearn
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.set_num_threads(1)  # so small are the batches that a second one is in the way
        descent = torch.optim.Adam(net.parameters())
        images, labels = digits().train.images, digits().train.labels
        for step in range(STEPS):
            descent.param_groups[0]["lr"] = 0.02 * (
                1 - step / STEPS
            )  # so that batch norm's averages catch up
            chosen = torch.randint(len(labels), (BATCH,))
            descent.zero_grad()
            F.cross_entropy(
                logits_of(net(normalized(images[chosen], recipe))), labels[chosen]
            ).backward()
            descent.step()
    torch.set_num_threads(threads)
    return TrainedNet(
        name,
        net.eval(),
        (1, 28, 28),
        tuple("0123456789"),
        recipe.mean,
        recipe.std,
        file=None,
        budget=None,
    )


def nudged(net: nn.Module, at: int = 0) -> None:
    """One weight of a net's ``at``-th tensor of weights is no longer what it was."""
    with torch.no_grad():
        weights = [p for p in net.parameters() if p.dim() > 1][at]
        weights.view(-1)[weights.numel() // 2] += 0.5
