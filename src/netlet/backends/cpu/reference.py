"""What a compiled training step must compute, in PyTorch, with the same rounding to bfloat16.

Autocast rounds at other places than the compiled code, and with random images most of a gradient
cancels out, so the two differ by up to half of a gradient. With the rounding of the compiled code,
PyTorch agrees with it to about a thousandth, and a wrong library cannot hide behind rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from netlet.backends.cpu.chain import Chain, Stage

_LANES = 16  # as in numbers.c
_Masks = Sequence[torch.Tensor | None]


class _Round(torch.autograd.Function):
    """Round to bfloat16: the values, the gradient, or both."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, values: bool, gradient: bool) -> torch.Tensor:
        ctx.gradient = gradient
        return x.bfloat16().float() if values else x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return (grad.bfloat16().float() if ctx.gradient else grad), None, None


class _Norm(torch.autograd.Function):
    """Batch norm whose statistics may be those of values before rounding."""

    @staticmethod
    def forward(
        ctx: Any,
        y: torch.Tensor,
        mean: torch.Tensor,
        inv_std: torch.Tensor,
        gamma: torch.Tensor,
        beta: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(y, mean, inv_std, gamma)
        scale = inv_std * gamma
        return y * _per_channel(scale) + _per_channel(beta - mean * scale)

    @staticmethod
    def backward(ctx: Any, dz: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        y, mean, inv_std, gamma = ctx.saved_tensors
        normalized = (y - _per_channel(mean)) * _per_channel(inv_std)
        d_beta, d_gamma = dz.sum((0, 2, 3)), (dz * normalized).sum((0, 2, 3))
        count = dz.numel() // dz.shape[1]
        dy = _per_channel(inv_std * gamma) * (
            dz - _per_channel(d_beta / count) - normalized * _per_channel(d_gamma / count)
        )
        return dy, None, None, d_gamma, d_beta


def reference_logits(
    chain: Chain, images: torch.Tensor, *, half: bool, training: bool, masks: _Masks = ()
) -> torch.Tensor:
    """Return the logits ``N K`` of a chain; in training, update the running statistics.

    Args:
        chain: With the parameters and buffers to use.
        images: ``N C H W``.
        half: Round as the compiled code does that reads bfloat16.
        training: Normalize by the batch, and apply dropout.
        masks: Of each stage with dropout, as :func:`dropout_masks` returns them; without them
            nothing is dropped.
    """

    def rounded(x: torch.Tensor, *, values: bool = False, gradient: bool = False) -> torch.Tensor:
        result: torch.Tensor = _Round.apply(x, values, gradient) if half else x  # type: ignore[no-untyped-call]
        return result

    x = rounded(images, values=True)
    for k, stage in enumerate(chain.stages):
        conv = stage.conv
        weight = rounded(conv.weight, values=True)
        product = F.conv2d(x, weight, None, conv.stride, conv.padding, 1, conv.groups)
        # The gradient of the bias is summed before rounding.
        exact = rounded(product, gradient=True)
        if conv.bias is not None:
            exact = exact + _per_channel(conv.bias)
        y = rounded(exact, values=True)
        if stage.relu_first:
            y = exact = y.relu()
        z = _normalize(stage, y, exact.detach(), training=training)
        mask = masks[k] if training and masks else None
        if mask is not None:
            z = z * (mask / float(np.float32(1) - np.float32(stage.dropout)))
        if stage.relu:
            z = z.relu()
        if stage.pool:
            z = F.max_pool2d(z, 2)
        last = k == len(chain.stages) - 1
        x = rounded(z, values=not last, gradient=True)
    features = x.mean((2, 3))
    if chain.head is None:
        return features
    return F.linear(features, chain.head.weight.flatten(1), chain.head.bias)


def dropout_masks(chain: Chain, n: int, seed: int) -> list[torch.Tensor | None]:
    """Return the masks that the compiled code draws: 1 where a value is kept, ``N C H W``.

    Args:
        chain: Provides rates and shapes.
        n: Number of images.
        seed: Of the step.
    """
    return [
        _dropout_mask(stage, n, seed + k) if stage.dropout else None
        for k, stage in enumerate(chain.stages)
    ]


def reinitialize(net: nn.Module) -> nn.Module:
    """Return a copy of the net with new weights, where no value equals that of another."""
    twin = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in twin.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                module.reset_parameters()
            if isinstance(module, nn.BatchNorm2d) and module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
                # Far from the statistics of a batch, so that a step moves them.
                nn.init.uniform_(module.running_mean, 1.0, 2.0)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 2.0, 4.0)  # type: ignore[arg-type]
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return twin


@torch.no_grad()
def use_running_statistics(chain: Chain, images: torch.Tensor) -> None:
    """Set the running statistics near those of a batch, so that no ReLU is zero for all images."""
    generator = torch.Generator().manual_seed(0)
    norms = [stage.norm for stage in chain.stages if stage.norm is not None]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    reference_logits(chain, images, half=False, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        assert norm.running_mean is not None
        assert norm.running_var is not None
        noise = torch.randn(norm.num_features, generator=generator)
        norm.running_mean += 0.2 * noise * norm.running_var.sqrt()
        norm.running_var *= 1 + torch.rand(norm.num_features, generator=generator)


def random_batch(
    shape: Sequence[int], n: int, classes: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``n`` random images of a shape, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, *shape, generator=generator)
    return images, torch.randint(classes, (n,), generator=generator)


def _dropout_mask(stage: Stage, n: int, seed: int) -> torch.Tensor:
    """The same as ``random_lane_mask`` of activation.c, for all vectors of a batch."""
    channels, h, w = stage.conv.out_channels, stage.height, stage.width
    blocks = -(-channels // _LANES)
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32 & 0xFFFFFFFF)
    counter = np.arange(n * h * w * blocks, dtype=np.uint32)
    r = np.arange(_LANES, dtype=np.uint32) * np.uint32(0x9E3779B9)
    r = r ^ ((counter + low) * np.uint32(0x85EBCA6B) + high)[:, None]
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        r ^= r >> np.uint32(shift)
        r *= np.uint32(factor)
    r ^= r >> np.uint32(16)
    keep = r >= np.uint32(float(np.float32(stage.dropout)) * 4294967296.0)
    mask = torch.from_numpy(keep.astype(np.float32)).view(n, h, w, blocks * _LANES)
    return mask[..., :channels].permute(0, 3, 1, 2)


def _normalize(
    stage: Stage, y: torch.Tensor, exact: torch.Tensor, *, training: bool
) -> torch.Tensor:
    norm = stage.norm
    if norm is None:
        return y
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if training:
        var, mean = torch.var_mean(exact.double(), (0, 2, 3), correction=0)
        count = exact.numel() // exact.shape[1]
        assert norm.momentum is not None
        norm.running_mean += norm.momentum * (mean.float() - norm.running_mean)
        unbiased = (var * count / (count - 1)).float()
        norm.running_var += norm.momentum * (unbiased - norm.running_var)
    else:
        mean, var = norm.running_mean.double(), norm.running_var.double()
    inv_std = (var + norm.eps).rsqrt().float()
    result: torch.Tensor = _Norm.apply(y, mean.float(), inv_std, norm.weight, norm.bias)  # type: ignore[no-untyped-call]
    return result


def _per_channel(values: torch.Tensor) -> torch.Tensor:
    return values.view(1, -1, 1, 1)
