"""A second witness for receptive fields: where the gradient of one output element reaches the input.

It shares nothing with the arithmetic of ``fields``: the net runs forward and backward for real,
with every obstacle to the gradient taken away (positive weights, activations as identity, max pools
as average pools, evaluation mode).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from netlet.analysis.fields import Interval


def gradient_support(net: nn.Module, shape: Sequence[int]) -> dict[str, tuple[Interval, ...]]:
    """For each module that gives a feature map or vector, the input that the element in the middle depends on.

    Args:
        net: Left as it is; a copy does the work.
        shape: Of one image, ``C H W``. If the net cannot take it to the end (a fixed head on a
            large image), the modules before that are answered.

    Returns:
        By path (``""`` is the net itself), for each axis of the image the first and last position
        with a gradient.
    """
    twin = copy.deepcopy(net).double().eval()
    for tensor in (*twin.parameters(), *twin.buffers()):
        if tensor.is_floating_point():
            # Uneven, so that nothing cancels.
            tensor.data = torch.linspace(0.5, 1.5, tensor.numel(), dtype=torch.float64).view(
                tensor.shape
            )
    for name, module in list(twin.named_modules()):
        if (
            name
            and type(module).__module__ == "torch.nn.modules.activation"
            and not list(module.children())
        ):
            twin.set_submodule(name, nn.Identity())
    outputs: dict[str, torch.Tensor] = {}
    for name, module in twin.named_modules():
        module.register_forward_hook(_keeper(name, outputs))
    x = torch.ones(2, *shape, dtype=torch.float64, requires_grad=True)
    with _Unobstructed():
        try:
            twin(x)
        except RuntimeError:
            if not outputs:
                raise
    return {name: _support(out, x) for name, out in outputs.items()}


class _Unobstructed(TorchFunctionMode):
    _identity = frozenset(
        (
            "relu",
            "relu_",
            "relu6",
            "leaky_relu",
            "sigmoid",
            "tanh",
            "gelu",
            "silu",
            "elu",
            "hardtanh",
        )
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in self._identity:
            return args[0]
        if "max_pool2d" in name and "adaptive" not in name:
            return self._averaged(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _averaged(
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
            # A depthwise convolution of ones is the average pool that knows dilation.
            k = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
            ones = torch.ones(x.shape[1], 1, *k, dtype=x.dtype)
            return F.conv2d(x, ones, None, stride or kernel_size, padding, dilation, x.shape[1])
        return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode)


def _keeper(name: str, outputs: dict[str, torch.Tensor]) -> Any:
    def keep(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, torch.Tensor):
            outputs[name] = out

    return keep


def _support(out: torch.Tensor, x: torch.Tensor) -> tuple[Interval, ...]:
    element = out
    for n in out.shape[2:]:
        element = element.select(2, n // 2)
    (gradient,) = torch.autograd.grad(element.sum(), x, retain_graph=True)
    reached = gradient.abs().sum((0, 1)) > 0
    intervals = []
    for axis in range(reached.dim()):
        others = [d for d in range(reached.dim()) if d != axis]
        positions = reached.any(dim=others[0]) if others else reached
        hit = positions.nonzero()[:, 0]
        intervals.append((int(hit[0]), int(hit[-1])))
    return tuple(intervals)
