"""Weights, statistics and images with which compiled code is compared with PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from netlet.backends.cpu.program import Program, reference_logits


def reinitialize(net: nn.Module) -> nn.Module:
    """Return a copy of the net with new weights, where no value equals that of another."""
    twin = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in twin.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            else:
                for parameter in module.parameters(recurse=False):
                    nn.init.uniform_(parameter, -0.2, 0.2)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                if module.affine:
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                    nn.init.uniform_(module.bias, -0.5, 0.5)
                # Far from the statistics of a batch, so that a step moves them.
                if module.running_mean is not None and module.running_var is not None:
                    nn.init.uniform_(module.running_mean, 1.0, 2.0)
                    nn.init.uniform_(module.running_var, 2.0, 4.0)
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return twin


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
