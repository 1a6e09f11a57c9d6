"""Write-up 001: a 1x1 squeeze before the only pooling, three convolutions, a global average."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.registry import net


class MnistNet(nn.Module):
    """The net of write-up 001, with the write-up's containers, since its summary lists them."""

    def __init__(self, classes: int, channels: int, dropout: float) -> None:
        super().__init__()

        def conv(wide: int, out: int) -> list[nn.Module]:
            return [
                nn.Conv2d(wide, out, 3, bias=False),
                nn.BatchNorm2d(out),
                nn.Dropout(dropout),
                nn.ReLU(),
            ]

        self.fine = nn.Sequential(
            *conv(channels, 8), *conv(8, 16), nn.Conv2d(16, 8, 1, bias=False), nn.MaxPool2d(2)
        )
        self.coarse = nn.Sequential(*conv(8, 16), *conv(16, 16), *conv(16, 16))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Conv2d(16, classes, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``N C H W`` to logits ``N K``."""
        return self.head(self.pool(self.coarse(self.fine(x)))).flatten(1)  # type: ignore[no-any-return]


@net(source="write-up 001")
def mnistnet_1(
    classes: int = 10, shape: Sequence[int] = MNIST_SHAPE, dropout: float = 0.05
) -> nn.Module:
    """Two convolutions, a bare 1x1 squeeze, one pooling, three convolutions, global average.

    The document does not state the dropout rate; 0.05 was chosen.
    """
    return MnistNet(classes, shape[0], dropout)
