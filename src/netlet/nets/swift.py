"""A net of fewer than 20,000 parameters that trains quickly."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE, conv_bn, pooled_logits, stack_layers
from netlet.nets.registry import net


@net(source="own")
def swift(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Pools early and has most channels where the feature maps are small.

    The first pooling follows the first convolution: layers at full resolution cost time but few
    parameters.
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
