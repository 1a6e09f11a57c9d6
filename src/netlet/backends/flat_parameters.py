"""A net's tensors as views of a few long ones, so that an optimizer step takes a few calls."""

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
    """Trainable parameters, concatenated; those with two or more dimensions come first."""

    weights: torch.Tensor  # 1-D
    gradient: torch.Tensor  # of the same length
    matrix_size: int  # number of weights that belong to tensors with two or more dimensions
    shapes: tuple[tuple[int, int], ...]  # of these tensors as matrices, one row for each output

    def split_matrices(self) -> tuple[ParameterGroup | None, ParameterGroup | None]:
        """Split into tensors with two or more dimensions and the others; None for no tensors."""
        n = self.matrix_size
        if n == self.weights.numel():
            return self, None
        vectors = ParameterGroup(self.weights[n:], self.gradient[n:], 0, ())
        if not n:
            return None, vectors
        return ParameterGroup(self.weights[:n], self.gradient[:n], n, self.shapes), vectors

    def as_matrices(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Return views of ``values``, one number for each weight, in the shapes of the matrices."""
        parts = values.flatten().split([rows * columns for rows, columns in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]


class FlatParameters:
    """The tensors of a net as views of a few long ones, until :meth:`release`.

    For a tiny net, the time of an optimizer step or of a weight average is in the number of calls,
    not in the arithmetic. Tensors that share memory with others stay where they are, each as a long
    tensor of its own.

    Args:
        net: Its parameters and buffers are moved.

    Attributes:
        groups: What the optimizer updates, with the gradients.
        floats: What a weight average covers: all trainable parameters and batch norm's statistics.
        counters: Integers: the number of batches that batch norm has seen.
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
        self._net = net
        self._moved: list[torch.Tensor] = []
        self.groups: list[ParameterGroup] = []
        self.floats: list[torch.Tensor] = []
        self.counters: list[torch.Tensor] = []
        for tensors in _group_by_storage(net, [*parameters, *statistics]):
            long = self._concatenate(tensors)
            (self.floats if long.is_floating_point() else self.counters).append(long)
            if trainable := [part for part in tensors if isinstance(part, nn.Parameter)]:
                self.groups.append(_group_with_gradients(long, trainable))
        known = {id(tensor) for tensor in (*parameters, *statistics)}
        self._others = [
            (place, name)
            for module in net.modules()
            for place in (module._parameters, module._buffers)
            for name, tensor in place.items()
            if tensor is not None and id(tensor) not in known
        ]

    def other_tensors(self) -> list[torch.Tensor]:
        """Return the remaining tensors: frozen parameters and buffers that are not of a norm.

        They are looked up at each call, since a net may replace its buffers.
        """
        return [tensor.data for place, name in self._others if (tensor := place[name]) is not None]

    def release(self) -> None:
        """Give every tensor its own memory again and drop the gradients."""
        for tensor in self._moved:
            tensor.data = tensor.data.clone()
        for parameter in self._net.parameters():
            parameter.grad = None

    def _concatenate(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Move tensors into one long tensor and return it; a single tensor stays where it is."""
        if len(parts) == 1:
            return parts[0].data.view(-1) if parts[0].is_contiguous() else parts[0].data
        long = torch.cat([part.data.flatten() for part in parts])
        for part, place in zip(parts, long.split([part.numel() for part in parts]), strict=True):
            part.data = place.view(part.shape)
            self._moved.append(part)
        return long


@contextmanager
def flatten_parameters(net: nn.Module) -> Iterator[FlatParameters]:
    """Make a net's tensors views of a few long ones within the block."""
    flat = FlatParameters(net)
    try:
        yield flat
    finally:
        flat.release()


def _group_by_storage(net: nn.Module, tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Group tensors that can share a long one: same type and device, and memory of their own."""
    owners: dict[int, int] = defaultdict(int)
    for tensor in [*net.parameters(), *net.buffers()]:
        owners[tensor.untyped_storage().data_ptr()] += 1
    groups: dict[object, list[torch.Tensor]] = defaultdict(list)
    for tensor in tensors:
        movable = owners[tensor.untyped_storage().data_ptr()] == 1 and tensor.is_contiguous()
        groups[(tensor.dtype, tensor.device) if movable else tensor].append(tensor)
    return list(groups.values())


def _group_with_gradients(long: torch.Tensor, parameters: Sequence[nn.Parameter]) -> ParameterGroup:
    """Return the parameters at the front of a long tensor, with a gradient of the same length."""
    sizes = [parameter.numel() for parameter in parameters]
    weights = long[: sum(sizes)] if long.ndim == 1 else long
    gradient = torch.zeros_like(weights)
    if long.ndim == 1:
        for parameter, place in zip(parameters, gradient.split(sizes), strict=True):
            parameter.grad = place.view(parameter.shape)
    else:
        parameters[0].grad = gradient
    shapes = tuple((p.shape[0], p.numel() // p.shape[0]) for p in parameters if p.ndim >= 2)
    matrix_size = sum(rows * columns for rows, columns in shapes)
    return ParameterGroup(weights, gradient, matrix_size, shapes)
