"""Write-up 003: six convolutions, one pooling, an average pooling, and a head in two forms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from netlet.nets import blocks
from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.registry import net


class Net(nn.Module):
    """The net of write-up 003, with the write-up's class name, since its ``repr`` is compared."""

    def __init__(self, classes: int, shape: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc1 = _features(shape, dropout)
        self.fc2 = nn.Sequential(nn.Linear(16, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``N C H W`` to logits ``N K``."""
        return self.fc2(self.fc1(self.conv2(self.conv1(x))).flatten(1))  # type: ignore[no-any-return]


def _features(
    shape: Sequence[int], dropout: float
) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    def conv(channels: int, out: int, kernel: int = 3) -> list[nn.Module]:
        return [nn.Conv2d(channels, out, kernel), nn.ReLU(), nn.BatchNorm2d(out)]

    def drop() -> nn.Dropout:
        return nn.Dropout(dropout)

    last = blocks.full_map_kernel(*((side - 6) // 2 - 4 for side in shape[1:]))
    return (
        nn.Sequential(
            *conv(shape[0], 16),
            drop(),
            *conv(16, 16),
            drop(),
            *conv(16, 16),
            nn.MaxPool2d(kernel_size=2, stride=2),
            drop(),
        ),
        nn.Sequential(*conv(16, 32, 1), drop(), *conv(32, 32), drop(), *conv(32, 16), drop()),
        nn.Sequential(nn.AvgPool2d(kernel_size=last, stride=last, padding=0)),
    )


@net(source="write-up 003")
def week4(
    classes: int = 10, shape: Sequence[int] = MNIST_SHAPE, dropout: float = 0.25
) -> nn.Module:
    """Six convolutions, average pooling, linear head.

    The document forbids fully connected layers, yet its net ends in one; this is that net.
    """
    return Net(classes, shape, dropout)


@net(source="write-up 003, its head as a convolution")
def week4_conv(
    classes: int = 10, shape: Sequence[int] = MNIST_SHAPE, dropout: float = 0.25
) -> nn.Module:
    """The same net with a 1x1 convolution as head, which computes the same and obeys the rule."""
    conv1, conv2, pool = _features(shape, dropout)
    return blocks.stack_layers(
        conv1=conv1, conv2=conv2, fc1=pool, fc2=nn.Sequential(nn.Conv2d(16, classes, 1))
    )
