"""A net's tensors laid end to end, so that what is done to all of them is done to a few long ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that are trained, end to end: those of tensors of two and more dimensions first."""

    weights: torch.Tensor  # 1-D
    gradient: torch.Tensor  # as long
    matrices: int  # how many of them belong to tensors of two and more dimensions
    shapes: tuple[tuple[int, int], ...]  # of those tensors as matrices: a row for each output

    def parted(self) -> tuple[ParameterGroup | None, ParameterGroup | None]:
        """Those of tensors of two and more dimensions, and those of the others, where there are any."""
        n = self.matrices
        if n == self.weights.numel():
            return self, None
        vectors = ParameterGroup(self.weights[n:], self.gradient[n:], 0, ())
        return (
            ParameterGroup(self.weights[:n], self.gradient[:n], n, self.shapes) if n else None
        ), vectors

    def as_matrices(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Values, one for each weight, as the matrices that the weights are."""
        parts = values.flatten().split([rows * columns for rows, columns in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def laid(self, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
        """Matrices as they lie in ``weights``."""
        return torch.cat([matrix.flatten() for matrix in matrices]).view_as(self.weights)


class FlatParameters:
    """The tensors of a net as views of a few long ones, until :meth:`release`.

    A step of an optimizer over a tiny net costs its calls, not its arithmetic; so does an average
    of weights. Tensors that share memory with others stay where they are, each as a long one of its
    own.

    Attributes:
        trained: What an optimizer steps, with the gradients.
        floats: All that an average averages: what is trained, and batch norm's statistics.
        counts: Whole numbers: how many batches batch norm has seen.
    """

    def __init__(self, net: nn.Module) -> None:
        parameters = sorted(
            (p for p in net.parameters() if p.requires_grad), key=lambda p: p.ndim < 2
        )
        statistics = dict.fromkeys(
            buffer
            for module in net.modules()
            if isinstance(module, _NormBase)
            for buffer in module.buffers(recurse=False)
        )
        owners: dict[int, int] = defaultdict(int)
        for tensor in [*net.parameters(), *net.buffers()]:
            owners[tensor.untyped_storage().data_ptr()] += 1
        groups: dict[object, list[torch.Tensor]] = defaultdict(list)
        for tensor in [*parameters, *statistics]:
            free = owners[tensor.untyped_storage().data_ptr()] == 1 and tensor.is_contiguous()
            groups[(tensor.dtype, tensor.device) if free else tensor].append(tensor)
        self._net = net
        self._moved: list[torch.Tensor] = []
        self.trained: list[ParameterGroup] = []
        self.floats: list[torch.Tensor] = []
        self.counts: list[torch.Tensor] = []
        for parts in groups.values():
            long = self._laid(parts)
            (self.floats if long.is_floating_point() else self.counts).append(long)
            if learning := [part for part in parts if isinstance(part, nn.Parameter)]:
                self.trained.append(_group_with_gradients(long, learning))
        known = {id(tensor) for tensor in (*parameters, *statistics)}
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

    def _laid(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """One long tensor that now holds some tensors; a single one is left as it is."""
        if len(parts) == 1:
            return parts[0].data.view(-1) if parts[0].is_contiguous() else parts[0].data
        long = torch.cat([part.data.flatten() for part in parts])
        for part, place in zip(parts, long.split([part.numel() for part in parts]), strict=True):
            part.data = place.view(part.shape)
            self._moved.append(part)
        return long


@contextmanager
def flatten_parameters(net: nn.Module) -> Iterator[FlatParameters]:
    """A net's tensors laid end to end, for the time of a training."""
    flat = FlatParameters(net)
    try:
        yield flat
    finally:
        flat.release()


def _group_with_gradients(long: torch.Tensor, parameters: Sequence[nn.Parameter]) -> ParameterGroup:
    """The parameters at the front of a long tensor, with gradients as long."""
    sizes = [parameter.numel() for parameter in parameters]
    weights = long[: sum(sizes)] if long.ndim == 1 else long
    gradient = torch.zeros_like(weights)
    if long.ndim == 1:
        for parameter, place in zip(parameters, gradient.split(sizes), strict=True):
            parameter.grad = place.view(parameter.shape)
    else:
        parameters[0].grad = gradient
    shapes = tuple((p.shape[0], p.numel() // p.shape[0]) for p in parameters if p.ndim >= 2)
    return ParameterGroup(weights, gradient, sum(rows * columns for rows, columns in shapes), shapes)
