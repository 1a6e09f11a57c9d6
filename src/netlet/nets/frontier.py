"""Our nets for the frontier: as much accuracy as so many parameters give; docs/frontier.md says how they were found.

Two or more 3x3 at full resolution, one pooling, four more, and nothing padded: where maps shrink with depth, nets of
one size were found to learn less by heart.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.notation import written
from netlet.nets.registry import net


@net(source="own")
def mnistnet_2(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Fewer than 8,000 parameters: the net that document 001 announces and leaves empty."""
    return written("8 8 8 P 13 13 15 16").builder(classes, shape)


@net(source="own")
def mnistnet_3(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """A small net for 99.4 %: likewise announced, and left empty."""
    return written("6 5 P 8 10 11 11").builder(classes, shape)


@net(source="own")
def crest(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Fewer than 20,000 parameters, all of them spent."""
    return written("13 13 P 20 22 26 27").builder(classes, shape)


@net(source="own")
def speck(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """A small net for 99 %."""
    return written("4 4 P 6 6 8 8").builder(classes, shape)
