"""An independent check of receptive fields: where the gradient of an output element is not zero.

It shares no code with the arithmetic in ``fields``. The net runs forward and backward, with
everything removed that could block the gradient: weights are positive and so small that nothing
saturates, activations are the identity, max pooling becomes average pooling, and the net is in
evaluation mode.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from netlet.analysis.axis import Interval
from netlet.errors import check_argument

_ROUNDING = 1e-13  # smaller gradients, beside the largest one, are rounding errors


def gradient_support(net: nn.Module, shape: Sequence[int]) -> dict[str, tuple[Interval, ...]]:
    """Return the input positions that the middle element of each module's output depends on.

    Args:
        net: Not changed; a copy is run.
        shape: The shape of one image, ``C H W``. If the net fails on this shape (a head of fixed
            size on a large image), the modules before the failure are included.

    Returns:
        For each module path (``""`` for the net itself) the first and last position with a
        gradient, along each axis of the image.

    Raises:
        TypeError: The net is of another type, such as its class.
    """
    check_argument(net, nn.Module)
    twin = _make_twin(net)
    outputs: dict[str, torch.Tensor] = {}
    for name, module in twin.named_modules():
        module.register_forward_hook(_make_output_hook(name, outputs))
    x = _make_images(shape)
    with _GradientPaths():
        try:
            twin(x)
        except RuntimeError:
            if not outputs:
                raise
    return {name: _find_middle(out, x) for name, out in outputs.items()}


def _make_twin(net: nn.Module) -> nn.Module:
    """Return a copy of a net through which the gradient passes everywhere."""
    twin = copy.deepcopy(net).double().eval()
    for tensor in (*twin.parameters(), *twin.buffers()):
        if tensor.is_floating_point():
            # All different and positive, so that nothing cancels.
            numbers = torch.linspace(0.5, 1.5, tensor.numel(), dtype=torch.float64)
            fan_in = max(1, tensor.numel() // max(1, len(tensor))) if tensor.dim() > 1 else 1
            tensor.data = (numbers / fan_in).view(tensor.shape)
    for name, module in list(twin.named_modules()):
        if name and _is_elementwise(module):
            twin.set_submodule(name, nn.Identity())
    return twin


def _is_elementwise(module: nn.Module) -> bool:
    """Return whether a module is one of PyTorch's activations of single elements."""
    mixes = isinstance(module, nn.GLU | nn.MultiheadAttention | nn.Softmin) or (
        "softmax" in type(module).__name__.lower()
    )
    return type(module).__module__ == "torch.nn.modules.activation" and not mixes


def _make_images(shape: Sequence[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images = 0.5 + torch.rand(2, *shape, dtype=torch.float64, generator=generator)
    return images.requires_grad_()


class _GradientPaths(TorchFunctionMode):
    """A mode in which activations are the identity, and a mean or a sum replaces a maximum."""

    _identity = frozenset(
        (
            *("relu", "relu_", "relu6", "leaky_relu", "sigmoid", "tanh", "gelu", "silu", "elu"),
            *("hardtanh", "hardsigmoid", "hardswish", "softshrink", "hardshrink", "threshold"),
            *("tanhshrink", "clamp", "celu", "selu", "mish", "softsign"),
        )
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in self._identity:
            return args[0]
        if name in ("maximum", "minimum"):
            return torch.add(*args)
        if name in ("amax", "amin"):
            return torch.mean(*args, **(kwargs or {}))
        if "max_pool2d" in name and "adaptive" not in name:
            return self._average_pool(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _average_pool(
        self,
        x: torch.Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> torch.Tensor:
        if dilation not in (1, (1, 1)):
            # avg_pool2d has no dilation; a depthwise convolution of ones has.
            k = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
            ones = torch.ones(x.shape[1], 1, *k, dtype=x.dtype)
            return F.conv2d(x, ones, None, stride or kernel_size, padding, dilation, x.shape[1])
        return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode)


def _make_output_hook(name: str, outputs: dict[str, torch.Tensor]) -> Any:
    def keep(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, torch.Tensor):
            outputs[name] = out

    return keep


def _find_middle(out: torch.Tensor, x: torch.Tensor) -> tuple[Interval, ...]:
    element = out
    for n in out.shape[2:]:
        element = element.select(2, n // 2)
    support = _find_support(element.sum(), x)
    assert support is not None
    return support


def _find_support(element: torch.Tensor, x: torch.Tensor) -> tuple[Interval, ...] | None:
    (gradient,) = torch.autograd.grad(element, x, retain_graph=True, allow_unused=True)
    if gradient is None or not gradient.any():
        return None
    size = gradient.abs().sum((0, 1))
    reached = size > _ROUNDING * size.max()
    intervals = []
    for axis in range(reached.dim()):
        others = [d for d in range(reached.dim()) if d != axis]
        positions = reached.any(dim=others[0]) if others else reached
        hit = positions.nonzero()[:, 0]
        intervals.append((int(hit[0]), int(hit[-1])))
    return tuple(intervals)
