"""Faster forward and backward passes for layers that are slow in PyTorch on a CPU.

The results are the same as those of the original layers. ``python -m benchmarks.pipeline`` compares
a training with them to the usual pipeline.
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
def use_fast_cpu_layers(net: nn.Module, rng: np.random.BitGenerator) -> Iterator[None]:
    """Replace the net's convolutions, poolings and dropouts by faster equivalents within the block.

    Args:
        net: On the CPU. Its layers are restored after the block.
        rng: The source of dropout masks.
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
        # Exact types, since a subclass may compute something else.
        if type(module) is nn.Dropout and not module.inplace:
            fast_forward = _fast_dropout_forward(module, rng)
        elif type(module) is nn.MaxPool2d and not module.return_indices:
            fast_forward = _fast_max_pool_forward(module)
        elif type(module) is nn.Conv2d and module.groups == 1 and isinstance(module.padding, tuple):
            fast_forward = _fast_conv_forward(module, feeds_pool=module in before_pool)
        else:
            continue
        setattr(module, "forward", fast_forward)  # noqa: B010 - shadows the class's method
        changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def fast_dropout(x: torch.Tensor, p: float, rng: np.random.BitGenerator) -> torch.Tensor:
    """Zero each element with probability ``p`` and scale the others to keep the mean.

    Uses 16 random bits for each element, from a generator that is far faster than PyTorch's serial
    one. ``p`` is therefore rounded to a multiple of 1/65536, and the scale uses the rounded ``p``.

    Args:
        x: Any shape, floating point.
        p: At least 0 and below 1.
        rng: The source of random bits.

    Returns:
        A tensor with the shape, type and strides of ``x``.
    """
    dropped = round(p * 65_536)
    if dropped == 0 or dropped == 65_536 or x.numel() == 0:
        return F.dropout(x, p)
    words = rng.random_raw(math.ceil(x.numel() / 4))
    bits = torch.from_numpy(words.view(np.int16))[: x.numel()]
    mask = torch.empty_like(x, requires_grad=False)
    # Compared in the memory order of the mask: a strided comparison would take longer than drawing
    # the bits.
    torch.ge(bits.as_strided(mask.size(), mask.stride()), dropped - 32_768, out=mask)
    return x * mask.mul_(65_536 / (65_536 - dropped))


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step instead of returning it to the system.

    By default, glibc unmaps large blocks when they are freed, so that every feature map of the next
    training step causes page faults. Affects the whole process. Does nothing if the C library is
    not glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)


def _fast_dropout_forward(
    module: nn.Dropout, rng: np.random.BitGenerator
) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return fast_dropout(x, module.p, rng) if module.training else x

    return forward


def _fast_max_pool_forward(module: nn.MaxPool2d) -> Callable[[torch.Tensor], torch.Tensor]:
    original: Callable[[torch.Tensor], torch.Tensor] = module.forward

    # The channels-last kernel is vectorized over channels; the other is not vectorized at all.
    def forward(x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 4:
            return original(x)
        if x.requires_grad and x.is_contiguous():
            # The gradient must have the layout of the input; otherwise the layers before would mix
            # two layouts.
            x = x.view_as(x)
            x.register_hook(torch.Tensor.contiguous)
        return original(x.contiguous(memory_format=torch.channels_last)).contiguous()

    return forward


def _fast_conv_forward(
    module: nn.Conv2d, *, feeds_pool: bool
) -> Callable[[torch.Tensor], torch.Tensor]:
    original: Callable[[torch.Tensor], torch.Tensor] = module.forward
    pointwise = module.kernel_size == (1, 1)
    # Before a pooling, a 1x1 convolution writes channels-last, in which both layers are fastest.
    layout = torch.channels_last if pointwise and feeds_pool else torch.contiguous_format

    def forward(x: torch.Tensor) -> torch.Tensor:
        half = torch.is_autocast_enabled("cpu")
        slow = module.in_channels == 1 if half else module.in_channels > 1
        # In bf16, 16 output channels fill a register; other numbers take a far slower path.
        slow = slow or (half and not pointwise and module.out_channels % 16 != 0)
        if (
            (not slow and layout is torch.contiguous_format)
            or x.dim() != 4
            or module.padding_mode != "zeros"
        ):
            return original(x)
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
    """A convolution whose gradients take PyTorch's fast paths.

    These are channels-last, and float32 for one input channel.
    """

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
        output_mask = ctx.needs_input_grad[:3]
        results = torch.ops.aten.convolution_backward(
            *values, [weight.shape[0]], *ctx.geometry, False, [0, 0], 1, output_mask
        )
        input_gradients = tuple(
            None if result is None else result.to(weight.dtype).contiguous() for result in results
        )
        return *input_gradients, None, None, None, None
