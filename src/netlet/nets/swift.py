"""Our net for the everyday budget of fewer than 20,000 parameters: quick to train, and over the bar."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE, conv_bn, stack_layers, pooled_logits
from netlet.nets.registry import net


@net(source="own")
def swift(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Pool early, spend the channels where the maps are small.

    The first pooling comes after one convolution: full resolution is what costs time, not what
    costs parameters.
    """
    return stack_layers(
        edges=conv_bn(shape[0], 8),
        halve=nn.MaxPool2d(2),
        strokes=conv_bn(8, 16),
        parts=conv_bn(16, 24),
        quarter=nn.MaxPool2d(2),
        shapes=conv_bn(24, 32, padding=1),
        digits=conv_bn(32, 24, padding=1),
        head=pooled_logits(24, classes),
    )
