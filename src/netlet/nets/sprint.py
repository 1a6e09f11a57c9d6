"""Nets for training speed.

The first layer already reduces the resolution, and channels are mostly multiples of 16, the number
of float32 values in a vector register.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE, conv_bn, pooled_logits, stack_layers
from netlet.nets.registry import net


@net(source="own")
def sprint(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """A 5x5 with stride 2, four 3x3, a pooling before the last, a global average; no padding."""
    return stack_layers(
        conv1=conv_bn(shape[0], 16, kernel=5, stride=2),
        conv2=conv_bn(16, 16),
        conv3=conv_bn(16, 16),
        conv4=conv_bn(16, 32),
        pool1=nn.MaxPool2d(2),
        conv5=conv_bn(32, 32),
        head=pooled_logits(32, classes),
    )


@net(source="own")
def dash(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """A 5x5 with stride 3, three 3x3, a global average: 99% test accuracy after one epoch."""
    return stack_layers(
        conv1=conv_bn(shape[0], 16, kernel=5, stride=3),
        conv2=conv_bn(16, 16),
        conv3=conv_bn(16, 32),
        conv4=conv_bn(32, 32),
        head=pooled_logits(32, classes),
    )


@net(source="own")
def sprint8k(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """A padded 5x5 with stride 2, four narrow 3x3, a global average; under 8,000 parameters."""
    return stack_layers(
        conv1=conv_bn(shape[0], 16, kernel=5, padding=2, stride=2),
        conv2=conv_bn(16, 12),
        conv3=conv_bn(12, 16),
        conv4=conv_bn(16, 12),
        conv5=conv_bn(12, 16),
        head=pooled_logits(16, classes),
    )
