"""Write-up 000: pairs of convolutions between poolings, and a linear head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from netlet.nets.blocks import MNIST_SHAPE, full_map_kernel
from netlet.nets.registry import net


class Pyramid(nn.Module):
    """A net whose channels double after each pooling.

    The ReLUs are function calls, as in the document, so its summary has no rows for them.
    """

    def __init__(self, classes: int, shape: Sequence[int], dropout: float) -> None:
        super().__init__()

        def pair(channels: int, out: int, padding: int) -> nn.ModuleList:
            return nn.ModuleList(
                layer
                for wide in (channels, out)
                for layer in (
                    nn.Conv2d(wide, out, 3, padding=padding),
                    nn.Dropout(dropout),
                    nn.BatchNorm2d(out),
                )
            )

        self.edges = pair(shape[0], 8, padding=1)
        self.edges_pool = nn.MaxPool2d(2, 2)
        self.parts = pair(8, 16, padding=0)
        self.parts_pool = nn.MaxPool2d(2, 2)
        self.whole = nn.ModuleList(
            [nn.Conv2d(16, 32, 3), nn.Dropout(dropout), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 3)]
        )
        h, w = (((side // 2) - 4) // 2 - 4 for side in shape[1:])
        full_map_kernel(h, w)
        self.pool = nn.AvgPool2d((h, w))
        self.head = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``N C H W`` to logits ``N K``."""
        for layers, pool in (
            (self.edges, self.edges_pool),
            (self.parts, self.parts_pool),
            (self.whole, self.pool),
        ):
            for layer in layers:
                x = layer(x)
                if isinstance(layer, nn.Conv2d):
                    x = F.relu(x)
            x = pool(x)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


@net(source="write-up 000")
def pyramid(
    classes: int = 10, shape: Sequence[int] = MNIST_SHAPE, dropout: float = 0.05
) -> nn.Module:
    """Pairs of convolutions, two poolings, a linear head; conv, ReLU, dropout, norm.

    The document does not state the dropout rate; 0.05 was chosen. Its ``AvgPool2d((1, 1))`` has no
    effect on MNIST's image size.
    """
    return Pyramid(classes, shape, dropout)
