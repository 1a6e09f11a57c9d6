"""Weights and images with which compiled code is compared with PyTorch, and measures of errors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netlet.backends.cpu.program import Program, reference_logits
from netlet.backends.loss import SoftTarget
from netlet.nets.copying import copy_net

STATISTICS_FLOOR = 1e-2  # of typical_error, for running statistics


def reinitialize(net: nn.Module) -> nn.Module:
    """Return a copy of the net with new weights, where no value equals that of another."""
    twin = copy_net(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in twin.modules():
            if isinstance(module, _BatchNorm):
                _reinitialize_norm(module)
            elif callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            else:
                for parameter in module.parameters(recurse=False):
                    nn.init.uniform_(parameter, -0.2, 0.2)
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return twin


def _reinitialize_norm(norm: _BatchNorm) -> None:
    """Give a norm new parameters and statistics; its scale and its bias may be there or not."""
    norm.reset_running_stats()
    if norm.weight is not None:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    if norm.bias is not None:
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    # Far from the statistics of a batch, so that a step moves them.
    if norm.running_mean is not None and norm.running_var is not None:
        nn.init.uniform_(norm.running_mean, 1.0, 2.0)
        nn.init.uniform_(norm.running_var, 2.0, 4.0)


@torch.no_grad()
def use_running_statistics(program: Program, images: torch.Tensor) -> None:
    """Set the running statistics near those of a batch, so that no ReLU is zero for all images."""
    generator = torch.Generator().manual_seed(0)
    reference_logits(program, images, half=False, training=True, momentum=1.0)
    norms = {id(t.mean): t for t in (part.tensors for part in program.parts) if t.mean is not None}
    for norm in norms.values():
        assert norm.mean is not None
        assert norm.var is not None
        noise = torch.randn(norm.mean.shape, generator=generator)
        norm.mean.add_(0.2 * noise * norm.var.sqrt())
        norm.var.mul_(1 + torch.rand(norm.var.shape, generator=generator))


def draw_soft_target(n: int, classes: int, seed: int) -> SoftTarget:
    """Return what a teacher might say of ``n`` images."""
    logits = 3 * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))
    return SoftTarget(logits, share=0.4, temperature=2.5)


def random_batch(
    shape: Sequence[int], n: int, classes: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``n`` random images of a shape, and their labels.

    As in real data, a part of an image is empty. All pixels of a feature map are equal there, and
    only one of several maxima gets a gradient. It is one of two images: among more, all pixels of
    such a part might be rounded to the other side of zero at once.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, *shape, generator=generator)
    if n == 2:
        images[0, :, shape[1] // 3 :] = -0.4
    return images, torch.randint(classes, (n,), generator=generator)


def compute_gradients(loss: torch.Tensor, parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradients of parameters; zeros for those that the loss does not depend on."""
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]


def relative_error(found: torch.Tensor, wanted: torch.Tensor, largest: float) -> float:
    """Return the error of a gradient as a share of its size.

    Args:
        found: The gradient.
        wanted: What it should be.
        largest: The norm of the largest gradient of the net: a gradient that is zero except for
            rounding has no meaningful size of its own.
    """
    error, size = float((found - wanted).norm()), float(wanted.norm()) + 0.01 * largest
    return error / size if size else error  # all are zero if a ReLU lets nothing through


def typical_error(found: torch.Tensor, wanted: torch.Tensor, floor: float = 1e-30) -> float:
    """Return the largest error of a value as a share of it plus the typical one; may be NaN.

    Args:
        found: The values.
        wanted: What they should be.
        floor: What the errors are at least a share of. The mean of normalized values is zero except
            for rounding.
    """
    scale = wanted.abs() + float(wanted.abs().mean())
    return float(((found - wanted).abs() / scale.clamp(min=floor)).max())
