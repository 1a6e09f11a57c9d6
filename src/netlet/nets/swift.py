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
        conv1=conv_bn(shape[0], 8),
        pool1=nn.MaxPool2d(2),
        conv2=conv_bn(8, 16),
        conv3=conv_bn(16, 24),
        pool2=nn.MaxPool2d(2),
        conv4=conv_bn(24, 32, padding=1),
        conv5=conv_bn(32, 24, padding=1),
        head=pooled_logits(24, classes),
    )
