"""Write-up 002: blocks that expand with 3x3 convolutions and squeeze with a 1x1."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE, Net, full_map_kernel
from netlet.nets.registry import net


def _expand(*widths: int) -> list[nn.Module]:
    steps = itertools.pairwise(widths)
    return [
        layer
        for channels, out in steps
        for layer in (nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(out))
    ]


def _squeeze(channels: int, out: int, dropout: float) -> list[nn.Module]:
    return [nn.MaxPool2d(2), nn.Conv2d(channels, out, 1), nn.Dropout(dropout)]


@net(source="write-up 002")
def expand_squeeze(
    classes: int = 10, shape: Sequence[int] = MNIST_SHAPE, dropout: float = 0.2
) -> nn.Module:
    """Three blocks that each expand to 32 channels and squeeze with a 1x1, the last to the classes.

    The last dropout acts on the logits, as in the write-up's table; its text says otherwise.
    """
    return Net(
        *_expand(shape[0], 8, 16, 32),
        *_squeeze(32, 8, dropout),
        *_expand(8, 16, 32),
        *_squeeze(32, 8, dropout),
        *_expand(8, 16, 32),
        *_squeeze(32, classes, dropout),
        nn.AvgPool2d(full_map_kernel(*(side // 8 for side in shape[1:]))),
    )
