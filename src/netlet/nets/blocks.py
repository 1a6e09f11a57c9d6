"""Building blocks of nets; each maps ``N C H W`` to ``N C H W``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from netlet.errors import NetError

MNIST_SHAPE = (1, 28, 28)  # C H W of one image


class Net(nn.Sequential):
    """Layers in sequence whose output ``N K 1 1`` is flattened to logits ``N K``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``N C H W`` to logits ``N K``."""
        logits: torch.Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return logits.flatten(1)


class UnscaledBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with a bias for each channel and without a scale.

    Before a ReLU and a convolution the scale is redundant: a positive factor passes through the
    ReLU, and the next weights can take it in.

    Args:
        channels: ``C``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def reset_parameters(self) -> None:
        """Set the running statistics and the bias to what they are at the beginning."""
        super().reset_parameters()
        if self.bias is not None:  # there is none yet while the base class is being built
            nn.init.zeros_(self.bias)


class CReLU(nn.Module):
    """The ReLU of a map and the ReLU of its negative, joined along the channels.

    First layers often learn filters together with their negatives; with CReLU, half of the filters
    are enough (Shang and others, 2016). A bias before it moves both halves: they share one
    threshold, and together keep all of a value, as in the paper.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N C H W`` to ``N 2C H W``."""
        return torch.cat((x, -x), 1).relu()


class Repeated(nn.Module):
    """Convolutions that are used several times, each time with batch norms of their own.

    The maps of two uses have different statistics. With norms that are shared, too, nets are less
    accurate (Zhang and Jung, "Recurrent convolution for compact and cost-adjustable neural
    networks", 2019).

    Args:
        groups: The convolutions of one use, in groups that a norm and the function follow. The
            first reads as many channels as the last one makes.
        norm: Makes the norm of so many channels.
        function: The activation function.
        uses: How often they are used.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[nn.Conv2d]],
        norm: Callable[[int], nn.Module],
        function: nn.Module,
        uses: int,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Sequential(*group) for group in groups)
        # In the order in which they run.
        self.norms = nn.ModuleList(
            norm(group[-1].out_channels) for _ in range(uses) for group in groups
        )
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N C H W`` to a map of as many channels."""
        in_order = itertools.cycle(self.convolutions)
        for convolution, norm in zip(in_order, self.norms, strict=False):
            x = self.function(norm(convolution(x)))
        return x


class JoinedInput(nn.Module):
    """A layer whose input is joined to its output along the channels, as in DenseNet.

    Of a map larger than the output, the center is taken.

    Args:
        layer: Maps ``N C H W`` to a map that is not higher or wider.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N C H W`` to ``C`` channels of the input and those of the layer."""
        y = self.layer(x)
        rows, columns = x.shape[2] - y.shape[2], x.shape[3] - y.shape[3]
        if rows or columns:  # negative padding leaves them out
            top, left = rows // 2, columns // 2
            x = F.pad(x, (-left, left - columns, -top, top - rows))
        return torch.cat((x, y), 1)


class WeightedPooling(nn.Module):
    """The sum of all places of a map, each with a weight that all channels share.

    At the beginning it is the mean. MobileFaceNet (Chen and others, 2018) has weights for each
    channel instead.

    Args:
        h: The height of the map.
        w: Its width.
    """

    def __init__(self, h: int, w: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 1, h, w), 1 / (h * w)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N C H W`` to ``N C 1 1``."""
        channels = x.shape[1]
        return F.conv2d(x, self.weight.expand(channels, -1, -1, -1), groups=channels)


def full_map_kernel(h: int, w: int) -> int | tuple[int, int]:
    """Return the kernel size that covers a whole ``h x w`` feature map, one number if it is square.

    Raises:
        NetError: The map is empty.
    """
    if min(h, w) < 1:
        raise NetError(
            f"the images are too small for this net: its last feature map would be {h}x{w}; "
            "use a shallower net or larger images"
        )
    return h if h == w else (h, w)


def stack_layers(**layers: nn.Module) -> Net:
    """Build a net from layers; the keyword arguments are the layers' names."""
    net = Net()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net


def conv_bn(
    channels: int, out: int, kernel: int = 3, padding: int = 0, stride: int = 1
) -> nn.Sequential:
    """Build a convolution without bias, batch norm and ReLU.

    Maps ``N channels H W`` to ``N out H' W'``.
    """
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


def pooled_logits(channels: int, classes: int) -> nn.Sequential:
    """Build a head: global average pooling, then a 1x1 convolution without bias.

    Maps ``N channels H W`` to ``N classes 1 1``.
    """
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, classes, 1, bias=False))


def weighted_logits(channels: int, h: int, w: int, classes: int) -> nn.Sequential:
    """Build a head: a weighted sum of the places of a map, then a 1x1 convolution without bias.

    Maps ``N channels h w`` to ``N classes 1 1``.
    """
    return nn.Sequential(WeightedPooling(h, w), nn.Conv2d(channels, classes, 1, bias=False))
