"""A net's tensors laid end to end, so that what is done to all of them is done to a few long ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


class Flat:
    """The tensors of a net as views of a few long ones, until :meth:`release`.

    An optimiser's step over a tiny net costs its calls, not its arithmetic; so does an average of weights. Tensors that
    share memory with others stay where they are, as tensors of their own.

    Attributes:
        matrices: Trainable, of two and more dimensions; with gradients that are long as well.
        vectors: Trainable, of fewer.
        floats: All that an average averages: the above, and batch norm's statistics.
        counts: Whole numbers: how many batches batch norm has seen.
    """

    def __init__(self, net: nn.Module) -> None:
        parameters = [p for p in net.parameters() if p.requires_grad]
        statistics = [
            buffer
            for module in net.modules()
            if isinstance(module, _NormBase)
            for buffer in module.buffers(recurse=False)
        ]
        self._moved: list[torch.Tensor] = []
        memory: dict[int, int] = defaultdict(int)
        for tensor in [*net.parameters(), *net.buffers()]:
            memory[tensor.untyped_storage().data_ptr()] += 1
        self._alone = {place for place, tensors in memory.items() if tensors == 1}
        self.matrices = [
            _with_gradient(long, parts) for long, parts in self._laid([p for p in parameters if p.ndim >= 2])
        ]
        self.vectors = [
            _with_gradient(long, parts) for long, parts in self._laid([p for p in parameters if p.ndim < 2])
        ]
        long = [tensor for tensor, _ in self._laid(list(dict.fromkeys(statistics)))]
        self.floats: list[torch.Tensor] = [*(p.data for p in (*self.matrices, *self.vectors)), *filter(_is_float, long)]
        self.counts = [tensor for tensor in long if not _is_float(tensor)]
        known = {id(tensor) for tensor in (*parameters, *statistics)}
        self._net = net
        self._others = [
            (place, name)
            for module in net.modules()
            for place in (module._parameters, module._buffers)
            for name, tensor in place.items()
            if tensor is not None and id(tensor) not in known
        ]

    def others(self) -> list[torch.Tensor]:
        """What is left: frozen weights and a net's own buffers, which it may have put others in the place of."""
        return [tensor.data for place, name in self._others if (tensor := place[name]) is not None]

    def release(self) -> None:
        """Give every tensor memory of its own again, and let go of the gradients."""
        for tensor in self._moved:
            tensor.data = tensor.data.clone()
        for parameter in self._net.parameters():
            parameter.grad = None

    def _laid(self, tensors: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, list[torch.Tensor]]]:
        """Long tensors, each with the tensors that it now holds."""
        kinds: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = defaultdict(list)
        for tensor in tensors:
            if tensor.untyped_storage().data_ptr() in self._alone and tensor.is_contiguous():
                kinds[tensor.dtype, tensor.device].append(tensor)
            else:
                yield tensor.data, [tensor]
        for parts in kinds.values():
            long = torch.cat([part.data.flatten() for part in parts])
            for part, place in zip(parts, long.split([part.numel() for part in parts]), strict=True):
                part.data = place.view(part.shape)
                self._moved.append(part)
            yield long, parts


@contextmanager
def laid_flat(net: nn.Module) -> Iterator[Flat]:
    """A net's tensors laid end to end, for the time of a training."""
    flat = Flat(net)
    try:
        yield flat
    finally:
        flat.release()


def _with_gradient(long: torch.Tensor, parts: list[torch.Tensor]) -> nn.Parameter:
    parameter = nn.Parameter(long)
    parameter.grad = torch.zeros_like(long)
    if len(parts) == 1 and not long.is_contiguous():
        parts[0].grad = parameter.grad
        return parameter
    for part, place in zip(parts, parameter.grad.view(-1).split([part.numel() for part in parts]), strict=True):
        part.grad = place.view(part.shape)
    return parameter


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()
