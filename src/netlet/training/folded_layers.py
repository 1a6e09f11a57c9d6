"""Layers that train one convolution as several, and fold into the convolution exactly."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F


class Folded(NamedTuple):
    """A convolution and its bias, float64."""

    weight: torch.Tensor  # O I/groups H W
    bias: torch.Tensor  # O


class FoldedLayer(nn.Module, ABC):
    """A layer that computes a convolution, or a convolution and the batch norm after it."""

    @abstractmethod
    def fold(self) -> Folded:
        """Return the convolution that computes the same in evaluation mode."""


class ConvBranches(FoldedLayer):
    """A convolution trained as a sum of itself, a 1x1 convolution and the identity.

    As in RepVGG (Ding and others, arXiv:2101.03697), each branch has a batch norm of its own. A
    convolution without one has a branch less: the identity has nothing to train. The scales of the
    added branches are 0 at first, so the sum begins as the convolution. The branches read what the
    central tap of the kernel reads: a part of the map if the convolution has less padding than
    keeps the size.

    Args:
        conv: The convolution; it becomes the first branch.
        norm: The batch norm that follows it, which becomes that of the first branch.
        generator: The source of the initial weights of the 1x1 convolution.
    """

    def __init__(
        self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        self._crops = _crops(conv)
        self.point: nn.Conv2d | None = None
        self.point_norm = self.identity_norm = None
        if max(conv.kernel_size) > 1:
            self.point = nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                1,
                conv.stride,  # type: ignore[arg-type]
                groups=conv.groups,
                bias=False,
            )
            self.point_norm = None if norm is None else _silent_norm(norm)
            _draw(self.point.weight, generator)
            if norm is None:
                nn.init.zeros_(self.point.weight)
        same_size = set(conv.stride) == {1} and conv.in_channels == conv.out_channels
        if norm is not None and same_size:
            self.identity_norm = _silent_norm(norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N I H W`` to ``N O H' W'``."""
        y: torch.Tensor = _apply(self.norm, self.conv(x))
        if self.point is None and self.identity_norm is None:
            return y
        center = self._crop(x)
        if self.point is not None:
            y = y + _apply(self.point_norm, self.point(center))
        if self.identity_norm is not None:
            y = y + self.identity_norm(center)
        return y

    def _crop(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the central tap of the kernel reads."""
        padding = [max(0, -cut) for cut in (*self._crops[1], *self._crops[0])]
        if any(padding):
            x = F.pad(x, padding)
        (top, bottom), (left, right) = ((max(0, a), max(0, b)) for a, b in self._crops)
        if not (top or bottom or left or right):
            return x
        return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]

    def fold(self) -> Folded:
        """Return the convolution that computes the same in evaluation mode."""
        conv = self.conv
        weight = torch.zeros_like(conv.weight, dtype=torch.float64)
        bias = weight.new_zeros(len(weight))
        tap = [(size - 1) // 2 for size in conv.kernel_size]
        center = weight.new_zeros(weight.shape)
        branches = [(conv.weight.double(), conv.bias, self.norm)]
        if self.point is not None:
            kernel = center.clone()
            kernel[:, :, tap[0], tap[1]] = self.point.weight.double()[:, :, 0, 0]
            branches.append((kernel, None, self.point_norm))
        if self.identity_norm is not None:
            kernel = center.clone()
            out = torch.arange(len(weight))
            kernel[out, out % weight.shape[1], tap[0], tap[1]] = 1
            branches.append((kernel, None, self.identity_norm))
        for kernel, own_bias, norm in branches:
            scale, shift = _scale_and_shift(norm, bias)
            weight += kernel * scale.view(-1, 1, 1, 1)
            bias += shift if own_bias is None else shift + scale * own_bias.double()
        return Folded(weight, bias)


class ExpandedConv(FoldedLayer):
    """A convolution trained as three: 1x1 to more channels, the kernel, and 1x1 to the output.

    As in ExpandNets (Guo and others, arXiv:1811.10495), nothing is between them, and only the last
    one has a bias. A 1x1 convolution becomes two. They begin as the convolution.

    Args:
        conv: The convolution, without groups.
        factor: How many times as many channels there are within.
        generator: The source of the initial weights.
    """

    def __init__(self, conv: nn.Conv2d, factor: int, generator: torch.Generator) -> None:
        super().__init__()
        own = ("kernel_size", "stride", "padding", "dilation")
        kernel: dict[str, Any] = {name: getattr(conv, name) for name in own}
        has_kernel = max(conv.kernel_size) > 1
        inputs, outputs = conv.in_channels, conv.out_channels
        wide_in, wide_out = factor * inputs, factor * outputs
        if not has_kernel:
            wide_in = wide_out = max(wide_in, wide_out)
        self.first = nn.Conv2d(
            inputs, wide_in, **({"kernel_size": 1} if has_kernel else kernel), bias=False
        )
        self.middle = nn.Conv2d(wide_in, wide_out, **kernel, bias=False) if has_kernel else None
        self.last = nn.Conv2d(wide_out, outputs, 1, bias=conv.bias is not None)
        self._begin_as(conv, generator)

    @torch.no_grad()
    def _begin_as(self, conv: nn.Conv2d, generator: torch.Generator) -> None:
        """Set the weights so that the product is the convolution.

        The first convolution is orthogonal. What is added to the one after it reads only what the
        first one never gives. So it does not change the product, but all channels take part in the
        training from its first step.
        """
        own = conv.weight.double()
        first = _draw_orthogonal(self.first.weight, generator)
        unread = torch.eye(len(first), dtype=torch.float64) - first @ first.T
        self.first.weight.copy_(first[:, :, None, None])
        after = self.last if self.middle is None else self.middle
        _draw(after.weight, generator)
        noise = torch.einsum("rtxy,ts->rsxy", after.weight.double(), unread)
        product = torch.einsum("oixy,si->osxy", own, first)
        if self.middle is not None:
            last = _draw_orthogonal(self.last.weight.transpose(0, 1), generator)
            product = torch.einsum("ro,osxy->rsxy", last, product)
            self.last.weight.copy_(last.T[:, :, None, None])
        after.weight.copy_(product + noise)
        if self.last.bias is not None and conv.bias is not None:
            self.last.bias.copy_(conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``N I H W`` to ``N O H' W'``."""
        x = self.first(x)
        y: torch.Tensor = self.last(x if self.middle is None else self.middle(x))
        return y

    def fold(self) -> Folded:
        """Return the convolution that computes the same in evaluation mode."""
        first, last = (layer.weight.double()[:, :, 0, 0] for layer in (self.first, self.last))
        if self.middle is None:
            weight = (last @ first)[:, :, None, None]
        else:
            middle = self.middle.weight.double()
            weight = torch.einsum("or,rsxy,si->oixy", last, middle, first)
        bias = self.last.bias
        return Folded(weight, weight.new_zeros(len(weight)) if bias is None else bias.double())


@torch.no_grad()
def write_folded(folded: Folded, conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> None:
    """Write a folded convolution into a net's own layers.

    Args:
        folded: The convolution.
        conv: Its layer.
        norm: The batch norm after it if it was folded, too. It becomes one that adds the bias: its
            mean is 0 and its variance 1.
    """
    weight, bias = folded
    if norm is None:
        conv.weight.copy_(weight)
        if conv.bias is not None:
            conv.bias.copy_(bias)
        return
    deviation = math.sqrt(1 + norm.eps)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1)
    if conv.bias is not None:
        conv.bias.zero_()
    if norm.weight is not None:
        norm.weight.fill_(deviation)
    else:
        weight = weight * deviation
    conv.weight.copy_(weight)
    if norm.bias is not None:
        norm.bias.copy_(bias)
    else:
        norm.running_mean.copy_(-bias * (1 if norm.weight is not None else deviation))


def _apply(norm: nn.Module | None, x: torch.Tensor) -> torch.Tensor:
    return x if norm is None else norm(x)


def _crops(conv: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what the central tap does not read: rows above and below, columns on both sides.

    Negative numbers count rows and columns of the padding that it reads.
    """
    found = []
    for axis in range(2):
        size, dilation = conv.kernel_size[axis], conv.dilation[axis]
        before = dilation * ((size - 1) // 2)
        after = dilation * (size - 1) - before
        padding = conv.padding if isinstance(conv.padding, str) else conv.padding[axis]
        if padding == "same":  # the larger part comes last
            total = dilation * (size - 1)
            found.append((before - total // 2, after - (total - total // 2)))
        else:
            own = 0 if isinstance(padding, str) else padding
            found.append((before - own, after - own))
    return found[0], found[1]


def _silent_norm(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Return a new batch norm like another one, with scales of 0."""
    new = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    nn.init.zeros_(new.weight)
    return new


@torch.no_grad()
def _draw(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Draw initial weights as PyTorch does for convolutions."""
    bound = 1 / math.sqrt(math.prod(weight.shape[1:]))
    weight.copy_((2 * torch.rand(weight.shape, generator=generator) - 1) * bound)


def _draw_orthogonal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw orthonormal columns, float64, as many rows and columns as a 1x1 convolution has."""
    drawn = torch.randn(*like.shape[:2], generator=generator, dtype=torch.float64)
    columns: torch.Tensor = torch.linalg.qr(drawn)[0]
    return columns


def _scale_and_shift(
    norm: nn.BatchNorm2d | None, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a batch norm does in evaluation mode, float64; without one, nothing."""
    scale, shift = torch.ones_like(like), torch.zeros_like(like)
    if norm is None:
        return scale, shift
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()
