"""What nets are put together from: ``N C H W`` in, ``N C H W`` out."""

from __future__ import annotations

import torch
from torch import nn

from netlet.errors import NetError

MNIST_SHAPE = (1, 28, 28)  # C H W of one image


class Net(nn.Sequential):
    """Layers in order; class maps ``N K 1 1`` become logits ``N K`` at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``N C H W`` to logits ``N K``."""
        logits: torch.Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return logits.flatten(1)


def full_map_kernel(h: int, w: int) -> int | tuple[int, int]:
    """A kernel that covers a map of ``h x w``: one number where it is square, as people write it.

    Raises:
        NetError: Nothing is left of the map.
    """
    if min(h, w) < 1:
        raise NetError(
            f"the images are too small for this net: its last map would be {h}x{w}; take a shallower net"
        )
    return h if h == w else (h, w)


def stack_layers(**layers: nn.Module) -> Net:
    """A net whose layers are known by the names they are given here."""
    net = Net()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net


def conv_bn(
    channels: int, out: int, kernel: int = 3, padding: int = 0, stride: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU: ``N channels H W`` to ``N out H' W'``."""
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


def pooled_logits(channels: int, classes: int) -> nn.Sequential:
    """Global average, then a 1x1 convolution without bias: ``N channels H W`` to ``N classes 1 1``."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, classes, 1, bias=False))
