"""Write-up 004: five experiments ("codes") with four nets, from 119,392 parameters to 7,904.

Of Codes 1 to 3 the write-up states only the total number of parameters; the nets here are
reconstructions that match it exactly. No convolution has a bias.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netlet.nets.blocks import MNIST_SHAPE, Net, full_map_kernel
from netlet.nets.registry import net


def _conv(
    channels: int, out: int, kernel: int | tuple[int, int] = 3, padding: int = 0
) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, padding=padding, bias=False)


@net(source="write-up 004, Code 1 (reconstructed from its total)")
def code_1(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """The skeleton: wide convolutions, one pooling, a 7x7 convolution as head."""
    return Net(
        _conv(shape[0], 48),
        nn.ReLU(),
        _conv(48, 48),
        nn.ReLU(),
        _conv(48, 64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        _conv(64, 10, kernel=1),
        nn.ReLU(),
        _conv(10, 24),
        nn.ReLU(),
        _conv(24, 96),
        nn.ReLU(),
        _conv(96, classes, kernel=full_map_kernel(*((side - 6) // 2 - 4 for side in shape[1:]))),
    )


@net(source="write-up 004, Code 2 (reconstructed from its total)")
def code_2(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """The lighter net: 10 to 20 channels, global average pooling as head."""
    return Net(
        _conv(shape[0], 10),
        nn.ReLU(),
        _conv(10, 10),
        nn.ReLU(),
        _conv(10, 20),
        nn.ReLU(),
        nn.MaxPool2d(2),
        _conv(20, 10, kernel=1),
        nn.ReLU(),
        _conv(10, 20),
        nn.ReLU(),
        _conv(20, classes, kernel=1),
        nn.AdaptiveAvgPool2d(1),
    )


@net(source="write-up 004, Code 3 (reconstructed from its total)")
def code_3(classes: int = 10, shape: Sequence[int] = MNIST_SHAPE) -> nn.Module:
    """Code 2 with ReLU and batch norm after each of its six convolutions."""

    def block(channels: int, out: int, kernel: int = 3) -> list[nn.Module]:
        return [_conv(channels, out, kernel), nn.ReLU(), nn.BatchNorm2d(out)]

    return Net(
        *block(shape[0], 10),
        *block(10, 10),
        *block(10, 20),
        nn.MaxPool2d(2),
        *block(20, 10, kernel=1),
        *block(10, 20),
        *block(20, classes, kernel=1),
        nn.AdaptiveAvgPool2d(1),
    )


@net(source="write-up 004, Codes 4 and 5")
def code_4(
    classes: int = 10, shape: Sequence[int] = MNIST_SHAPE, dropout: float = 0.05
) -> nn.Module:
    """More capacity: eight convolutions, one pooling, dropout of channels, an average, a 1x1 head.

    The document does not state the dropout rate; 0.05 was chosen. Code 5 is this net trained with
    augmentation.
    """

    def block(channels: int, out: int, kernel: int = 3, padding: int = 0) -> list[nn.Module]:
        return [
            _conv(channels, out, kernel, padding),
            nn.ReLU(),
            nn.BatchNorm2d(out),
            nn.Dropout2d(dropout),
        ]

    return Net(
        *block(shape[0], 32),
        *block(32, 8, kernel=1),
        *block(8, 10),
        nn.MaxPool2d(2),
        *block(10, 16, padding=1),
        *block(16, 10, kernel=1),
        *block(10, 10),
        *block(10, 16),
        *block(16, 16),
        nn.AvgPool2d(full_map_kernel(*((side - 4) // 2 - 6 for side in shape[1:]))),
        _conv(16, classes, kernel=1),
    )
