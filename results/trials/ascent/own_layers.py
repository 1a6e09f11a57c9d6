"""Layers that one-line notation does not have, tried in nets of fewer than 800 parameters.

The nets are arms of ``under_800_layers.toml``, ``under_800_norms.toml``,
``under_800_functions.toml``, ``under_800_kernels.toml``, ``under_800_joint.toml`` and
``under_800_many_epochs.toml``, and a larger
one is that of ``under_2000_optimizer.toml``.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from netlet.nets import find_net
from netlet.nets.blocks import Net, UnscaledBatchNorm2d, WeightedPooling
from netlet.nets.shift_average import ShiftAverage


class SharedDepthwise(nn.Conv2d):
    """A depthwise convolution with fewer kernels than channels: channel c has kernel c % kernels.

    Args:
        channels: C.
        kernels: The number of kernels.
        size: Their height and width.
    """

    def __init__(self, channels: int, kernels: int, size: tuple[int, int] = (3, 3)) -> None:
        super().__init__(channels, channels, size, groups=channels, bias=False)
        self.weight = nn.Parameter(torch.empty(min(kernels, channels), 1, *size))
        self.reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N C H W`` to ``N C H' W'``."""
        repeats = -(-self.groups // len(self.weight))
        weight = self.weight.repeat(repeats, 1, 1, 1)[: self.groups]
        return F.conv2d(x, weight, dilation=self.dilation, groups=self.groups)


class GroupedPooling(SharedDepthwise):
    """Weighted pooling with several maps of weights, each the mean at first."""

    def __init__(self, channels: int, maps: int, size: tuple[int, int]) -> None:
        super().__init__(channels, maps, size)
        nn.init.constant_(self.weight, 1 / (size[0] * size[1]))


def rows_and_columns(channels: int, maps: int, size: int) -> nn.Module:
    """Build weighted pooling whose weights are one for the row times one for the column."""
    return nn.Sequential(
        GroupedPooling(channels, maps, (size, 1)), GroupedPooling(channels, maps, (1, size))
    )


def depthwise(channels: int, kernels: int = 0) -> nn.Module:
    """Build a depthwise 3x3 convolution; with 0 kernels, each channel has its own."""
    if kernels:
        return SharedDepthwise(channels, kernels)
    return nn.Conv2d(channels, channels, 3, groups=channels, bias=False)


def rank_one(channels: int) -> nn.Module:
    """Build a depthwise 3x3 convolution whose kernels are a column times a row."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, (3, 1), groups=channels, bias=False),
        nn.Conv2d(channels, channels, (1, 3), groups=channels, bias=False),
    )


def build(
    widths: Sequence[int],
    kernels: int = 0,
    pool: Callable[[int, int], nn.Module] = lambda channels, size: WeightedPooling(size, size),
    bare: bool = False,
    head: bool = True,
    function: Callable[[], nn.Module] = nn.ReLU,
    spatial: Callable[[int], nn.Module] | None = None,
) -> nn.Module:
    """Build a stem and separable layers with max pooling after the third of them.

    Args:
        widths: The channels of each layer.
        kernels: The kernels of each depthwise convolution; 0: one for each channel.
        pool: Builds the pooling at the end from channels and size of the map.
        bare: Put another depthwise convolution before the pooling.
        head: End in a 1x1 convolution; else in the pooled channels, whose last ReLU is left out.
        function: Builds the activation function.
        spatial: Builds the depthwise convolutions from the channels, in place of ``kernels``.
    """
    spatial = spatial or (lambda channels: depthwise(channels, kernels))
    layers: list[nn.Module] = [nn.Conv2d(1, widths[0], 3, bias=False)]
    size, channels = 26, widths[0]
    for number, width in enumerate(widths):
        if number:
            layers += [spatial(channels), nn.Conv2d(channels, width, 1, bias=False)]
            size, channels = size - 2, width
        layers.append(UnscaledBatchNorm2d(width))
        if head or number + 1 < len(widths):
            layers.append(function())
        if number == 2:
            layers.append(nn.MaxPool2d(2))
            size //= 2
    if bare:
        layers.append(spatial(channels))
        size -= 2
    layers.append(pool(channels, size))
    if head:
        layers.append(nn.Conv2d(channels, 10, 1, bias=False))
    return nn.Sequential(*layers, nn.Flatten())


def with_shifts(layers: nn.Module) -> nn.Module:
    """Average the logits of a net of ``build`` with a head over shifts of the image."""
    *body, pooling, head, _ = layers.children()
    net = Net(OrderedDict((str(number), layer) for number, layer in enumerate(body)))
    net.add_module("head", nn.Sequential(pooling, head))
    return ShiftAverage(net)


def three_kernels() -> nn.Module:
    """Build a net with three depthwise kernels a layer, of 792 parameters."""
    return build((4, 7, 9, 10, 11, 12), kernels=3)


def kernels_of_rank_one() -> nn.Module:
    """Build a net whose depthwise kernels are a column times a row, of 785 parameters."""
    return build((4, 6, 8, 9, 10, 11), spatial=rank_one)


def bare_depthwise() -> nn.Module:
    """Build a net whose last layer is a depthwise convolution alone."""
    return build((4, 6, 8, 9, 11), bare=True)


def bare_depthwise_three_kernels() -> nn.Module:
    """Build the same with three kernels a layer, of 779 parameters."""
    return build((5, 8, 10, 12, 13), kernels=3, bare=True)


def two_maps() -> nn.Module:
    """Build a net whose channels take two maps of weights in turn, of 792 parameters."""
    return build((4, 6, 7, 8, 8, 10), pool=lambda c, size: GroupedPooling(c, 2, (size, size)))


def row_times_column() -> nn.Module:
    """Build a net that weights rows and columns, of 780 parameters."""
    return build((4, 6, 7, 8, 9, 10), pool=lambda c, size: rows_and_columns(c, 1, size))


def own_row_times_column() -> nn.Module:
    """Build a net each of whose channels weights rows and columns on its own."""
    return build((4, 6, 7, 7, 8, 9), pool=lambda c, size: rows_and_columns(c, c, size))


def class_maps() -> nn.Module:
    """Build a net that ends in a channel for each class, which weights rows and columns."""
    return build((4, 6, 7, 8, 9, 10), pool=lambda c, size: rows_and_columns(c, c, size), head=False)


def without_norms(slope: float = 0.0) -> nn.Module:
    """Build the net ``4b d6b d7b P d8b d9b d10b W`` with biases in place of norms: 795 parameters.

    Args:
        slope: Of the leaky ReLU.
    """
    function = nn.LeakyReLU(slope) if slope else nn.ReLU()
    layers: list[nn.Module] = [nn.Conv2d(1, 4, 3), function]
    channels = 4
    for width in (6, 7, 8, 9, 10):
        if width == 8:
            layers.append(nn.MaxPool2d(2))
        layers += [depthwise(channels), nn.Conv2d(channels, width, 1), function]
        channels = width
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):  # what He and others (2015) give layers without norms
            after = layers[number + 1]
            gain = nn.init.calculate_gain("leaky_relu", slope) if after is function else 1.0
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=gain * fan_in**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    head = nn.Conv2d(10, 10, 1, bias=False)
    return nn.Sequential(*layers, WeightedPooling(5, 5), head, nn.Flatten())


def without_norms_leaky() -> nn.Module:
    """Build the same with leaky ReLU of slope 0.2."""
    return without_norms(0.2)


class SquaredReLU(nn.Module):
    """The square of a ReLU (So and others, "Primer", 2021)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N C H W`` to a map of the same shape."""
        return F.relu(x).square()


def with_function(function: Callable[[], nn.Module]) -> nn.Module:
    """Build the net ``4b d6b d7b P d8b d9b d10b W`` with another activation function."""
    return build((4, 6, 7, 8, 9, 10), function=function)


def silu() -> nn.Module:
    """Build the net with SiLU."""
    return with_function(nn.SiLU)


def gelu() -> nn.Module:
    """Build the net with GELU."""
    return with_function(nn.GELU)


def mish() -> nn.Module:
    """Build the net with Mish."""
    return with_function(nn.Mish)


def elu() -> nn.Module:
    """Build the net with ELU."""
    return with_function(nn.ELU)


def squared_relu() -> nn.Module:
    """Build the net with squared ReLU."""
    return with_function(SquaredReLU)


def rank_one_with_shifts() -> nn.Module:
    """Build a net whose depthwise kernels are a column times a row, of 785 parameters."""
    return with_shifts(build((4, 6, 8, 9, 10, 11), spatial=rank_one))


def three_kernels_with_shifts() -> nn.Module:
    """Build a net with three depthwise kernels a layer, of 792 parameters."""
    return with_shifts(build((4, 7, 9, 10, 11, 12), kernels=3))


def five_kernels_with_shifts() -> nn.Module:
    """Build a net with at most five depthwise kernels a layer, of 792 parameters."""
    return with_shifts(build((4, 7, 8, 9, 10, 11), kernels=5))


def notation_with_mish(notation: str) -> nn.Module:
    """Build a net in one line with Mish in place of ReLU."""
    net = find_net(notation).builder()
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.ReLU):
            net.set_submodule(name, nn.Mish())
    return net


def mish_with_shifts() -> nn.Module:
    """Build the net of 795 parameters with shift average and Mish."""
    return notation_with_mish("4b d6b d7b P d8b d9b d10b W S")


def mish_1934() -> nn.Module:
    """Build the net of 1,934 parameters with shift average and Mish."""
    return notation_with_mish("6b d11b d13b P d15b d18b d19b W S")
