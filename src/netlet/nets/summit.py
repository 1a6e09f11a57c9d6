"""The last net of the ladder that starts from write-up 004's skeleton (``netlet climb own``)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE, conv_bn, pooled_logits, stack_layers
from netlet.nets.registry import net


@net(source="own")
def summit(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Two 3x3 at full resolution, one pooling, four more; most channels after the pooling."""
    return stack_layers(
        conv1=conv_bn(shape[0], 8),
        conv2=conv_bn(8, 8),
        pool1=nn.MaxPool2d(2),
        conv3=conv_bn(8, 12),
        conv4=conv_bn(12, 14),
        conv5=conv_bn(14, 16),
        conv6=conv_bn(16, 16),
        head=pooled_logits(16, classes),
    )
