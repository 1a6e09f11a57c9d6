"""Our nets for the frontier: as much accuracy as so many parameters give; docs/frontier.md says how they were found.

A 3x3, two separable convolutions at full resolution, a pooling, three more. Nothing is padded: of
nets of one size, those whose maps shrink with depth were found to learn less by heart. Where
parameters abound, plain convolutions do as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.notation import parse_notation
from netlet.nets.registry import net


@net(source="own")
def mnistnet_2(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Fewer than 8,000 parameters: the net that document 001 announces and leaves empty."""
    return parse_notation("15 d26 d30 P d36 d42 d45").builder(classes, shape)


@net(source="own")
def mnistnet_3(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """A small net for 99.4 %: likewise announced, and left empty."""
    return parse_notation("9 d15 d18 P d21 d24 d27").builder(classes, shape)


@net(source="own")
def crest(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Fewer than 20,000 parameters, all of them spent."""
    return parse_notation("13 13 P 20 22 26 27").builder(classes, shape)


@net(source="own")
def speck(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """A small net for 99 %."""
    return parse_notation("5 d8 d10 P d11 d13 d14").builder(classes, shape)
