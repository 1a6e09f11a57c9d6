"""The last net of the ladder that starts from document 004's skeleton (``netlet climb own``)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE, conv_bn, pooled_logits, stack_layers
from netlet.nets.registry import net


@net(source="own")
def summit(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Two 3x3 at full resolution, one pooling, four more; most channels after the pooling."""
    return stack_layers(
        edges=conv_bn(shape[0], 8),
        strokes=conv_bn(8, 8),
        halve=nn.MaxPool2d(2),
        bends=conv_bn(8, 12),
        parts=conv_bn(12, 14),
        shapes=conv_bn(14, 16),
        digits=conv_bn(16, 16),
        head=pooled_logits(16, classes),
    )
