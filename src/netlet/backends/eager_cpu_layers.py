"""What PyTorch is slow at on a CPU, done faster for the time of a training; no layer computes anything else.

Measured ratios are printed by ``python -m benchmarks.pipeline``.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEEP_BYTES = 1 << 30


@contextmanager
def use_fast_cpu_layers(net: nn.Module, random: np.random.BitGenerator) -> Iterator[None]:
    """Within it, the net's convolutions, poolings and dropouts take shorter ways to the same results.

    Args:
        net: On the CPU; its layers are as before when the block is left.
        random: What the dropout masks are drawn from.
    """
    before_pool = {
        layer
        for module in net.modules()
        if isinstance(module, nn.Sequential)
        for layer, following in itertools.pairwise(module)
        if type(following) is nn.MaxPool2d
    }
    changed: list[nn.Module] = []
    for module in net.modules():
        # Exact types: a subclass may compute something else.
        if type(module) is nn.Dropout and not module.inplace:
            shortcut = _fast_dropout_forward(module, random)
        elif type(module) is nn.MaxPool2d and not module.return_indices:
            shortcut = _fast_max_pool_forward(module)
        elif type(module) is nn.Conv2d and module.groups == 1 and isinstance(module.padding, tuple):
            shortcut = _fast_conv_forward(module, feeds_pool=module in before_pool)
        else:
            continue
        setattr(module, "forward", shortcut)  # noqa: B010 - shadows the class's method
        changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def fast_dropout(x: torch.Tensor, p: float, random: np.random.BitGenerator) -> torch.Tensor:
    """Zero each element with probability ``p`` and scale the rest to the same mean.

    Sixteen random bits an element, from a generator far faster than torch's serial one: ``p`` is
    rounded to 1/65536, and the scale is that of the rounded ``p``.

    Args:
        x: Of any shape, float.
        p: At least 0, below 1.
        random: What the masks are drawn from.

    Returns:
        Same shape, type and strides as ``x``.
    """
    dropped = round(p * 65_536)
    if dropped == 0 or dropped == 65_536 or x.numel() == 0:
        return F.dropout(x, p)
    words = random.random_raw(math.ceil(x.numel() / 4))
    bits = torch.from_numpy(words.view(np.int16))[: x.numel()]
    mask = torch.empty_like(x, requires_grad=False)
    # The bits in the mask's own order of elements: a strided comparison would cost more than the
    # drawing.
    torch.ge(bits.as_strided(mask.size(), mask.stride()), dropped - 32_768, out=mask)
    return x * mask.mul_(65_536 / (65_536 - dropped))


def keep_freed_memory() -> None:
    """Ask the C library to keep freed memory for the next step instead of handing it back to the system.

    By default glibc unmaps large blocks when they are freed; a training step then takes page faults
    for every map it makes. Holds for the whole process; does nothing where the C library is not
    glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)


def _fast_dropout_forward(
    module: nn.Dropout, random: np.random.BitGenerator
) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return fast_dropout(x, module.p, random) if module.training else x

    return forward


def _fast_max_pool_forward(module: nn.MaxPool2d) -> Callable[[torch.Tensor], torch.Tensor]:
    plain: Callable[[torch.Tensor], torch.Tensor] = module.forward

    # The channels-last kernel is vectorised over channels, the other is not vectorised at all.
    def forward(x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 4:
            return plain(x)
        if x.requires_grad and x.is_contiguous():
            # Its gradient must come back as the map came: else every layer before would mix two
            # layouts.
            x = x.view_as(x)
            x.register_hook(torch.Tensor.contiguous)
        return plain(x.contiguous(memory_format=torch.channels_last)).contiguous()

    return forward


def _fast_conv_forward(module: nn.Conv2d, *, feeds_pool: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    plain: Callable[[torch.Tensor], torch.Tensor] = module.forward
    pointwise = module.kernel_size == (1, 1)
    # A 1x1 convolution gives the pooling after it the layout that both are fastest in.
    layout = torch.channels_last if pointwise and feeds_pool else torch.contiguous_format

    def forward(x: torch.Tensor) -> torch.Tensor:
        half = torch.is_autocast_enabled("cpu")
        slow = module.in_channels == 1 if half else module.in_channels > 1
        # In bf16, sixteen output channels fill a register; most others take a far slower path.
        slow = slow or (half and not pointwise and module.out_channels % 16 != 0)
        if (
            (not slow and layout is torch.contiguous_format)
            or x.dim() != 4
            or module.padding_mode != "zeros"
        ):
            return plain(x)
        weight, bias = module.weight, module.bias
        if half:
            x, weight, bias = (
                x.bfloat16(),
                weight.bfloat16(),
                None if bias is None else bias.bfloat16(),
            )
        geometry = (module.stride, module.padding, module.dilation)
        y: torch.Tensor = _FastConv.apply(x, weight, bias, layout, *geometry)  # type: ignore[no-untyped-call]
        return y

    return forward


class _FastConv(torch.autograd.Function):
    """A convolution with its gradients taken where that is fast: channels-last; in float32 for one input channel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        layout: torch.memory_format,
        *geometry: Any,
    ) -> torch.Tensor:
        x = x.contiguous(memory_format=layout)
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        values = [gradient, x, weight]
        if weight.shape[1] == 1:
            values = [value.float() for value in values]
        else:
            values = [value.contiguous(memory_format=torch.channels_last) for value in values]
        wanted = ctx.needs_input_grad[:3]
        taken = torch.ops.aten.convolution_backward(
            *values, [weight.shape[0]], *ctx.geometry, False, [0, 0], 1, wanted
        )
        backs = [None if back is None else back.to(weight.dtype).contiguous() for back in taken]
        return *backs, None, None, None, None
