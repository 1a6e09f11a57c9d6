"""A net that is trained within wider ones, which have its weights and more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from netlet.nets.copying import copy_net
from netlet.nets.outputs import center_logits, extract_logits
from netlet.training.widening import Kept, WidenedCopy, widen_net

Read = Callable[[nn.Parameter], torch.Tensor]  # numbers in the shape of a parameter


class WidenedNet(nn.Module):
    """A net, and the weights that wider nets have besides its own (NetAug, arXiv:2110.08890).

    There is a wider net for each factor from 2 on, with so many times the channels in each layer
    but the last. Each has the weights of all narrower ones. The widest consists of the net's
    tensors, of ``right``, which are the weights by which their rows read other channels, and of
    ``below``, the rows of these channels. The module itself computes what the net computes.

    Args:
        net: The net. The module has a copy.
        largest: The factor of the widest net.
        generator: The source of the initial weights that the net does not have.

    Raises:
        TrainingError: The net cannot be widened.
    """

    def __init__(self, net: nn.Module, largest: int, generator: torch.Generator) -> None:
        super().__init__()
        self.largest = largest
        self._kept = widen_net(net, 1, largest).kept  # where the net's own weights are
        with torch.no_grad():
            widest = widen_net(net, largest, largest).net
            drawn = _draw_weights(widest, generator)
        self.net = copy_net(net)
        self.right, self.below = nn.ParameterDict(), nn.ParameterDict()
        for name, parameter in self.net.named_parameters():
            parameter.data = parameter.data.contiguous()
            if name in self._kept:
                self._add(name, self._kept[name], drawn[name])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``N C H W`` to what the net returns."""
        logits: torch.Tensor = self.net(images)
        return logits

    def copy_wide(self, factor: int) -> WidenedCopy:
        """Return a wider net, whose weights are not set: :meth:`iterate_weights` yields them."""
        return widen_net(self.net, factor, self.largest)

    def iterate_weights(self, wide: WidenedCopy, read: Read) -> Iterator[torch.Tensor]:
        """Yield numbers for each parameter of a wider net, in order.

        Args:
            wide: From :meth:`copy_wide`.
            read: Returns the numbers for a parameter of this module; for instance itself, which
                makes them the weights of the wider net.
        """
        for name, parameter in self.net.named_parameters():
            if name not in self._kept:  # the same for every number of channels
                yield read(parameter)
                continue
            own, key = self._kept[name], _key(name)
            numbers = read(parameter)
            widest = numbers.new_zeros(own.shape)
            if own.columns is None:
                widest[own.rows] = numbers
            else:
                rows = numbers.new_zeros(len(own.rows), *own.shape[1:])
                rows[:, own.columns] = numbers
                if key in self.right:
                    rows[:, _others(own.columns, own.shape[1])] = read(self.right[key])
                widest[own.rows] = rows
            if key in self.below:
                widest[_others(own.rows, own.shape[0])] = read(self.below[key])
            yield wide.kept[name].of(widest)

    def _add(self, name: str, own: Kept, drawn: torch.Tensor) -> None:
        """Add the weights of the widest net that a parameter of the net does not have."""
        if own.columns is not None and len(others := _others(own.columns, own.shape[1])):
            self.right[_key(name)] = nn.Parameter(drawn[own.rows][:, others].contiguous())
        if len(others := _others(own.rows, own.shape[0])):
            self.below[_key(name)] = nn.Parameter(drawn[others])


@torch.no_grad()
def compute_within_widest(trained: WidenedNet, images: torch.Tensor) -> list[torch.Tensor]:
    """Return the logits of a net, and those of the widest one if all its other weights are 0.

    They are equal unless layers mix channels in another way than by their weights.

    Args:
        trained: The net; its copies are run in training mode, without dropout.
        images: ``N C H W`` on the CPU.
    """
    own = {id(parameter) for parameter in trained.net.parameters()}
    wide = trained.copy_wide(trained.largest)
    weights = trained.iterate_weights(wide, lambda p: p if id(p) in own else torch.zeros_like(p))
    for parameter, values in zip(wide.net.parameters(), weights, strict=True):
        parameter.copy_(values)
    logits = []
    for net in (copy_net(trained.net), wide.net):
        net.train()
        for module in net.modules():
            if isinstance(module, _DropoutNd):
                module.eval()
        logits.append(center_logits(extract_logits(net(images)).float()))
    return logits


def _key(name: str) -> str:
    """Return the name of a parameter as a module can have it."""
    return name.replace(".", "/")


def _others(places: torch.Tensor, count: int) -> torch.Tensor:
    """Return all numbers below ``count`` but some."""
    left = torch.ones(count, dtype=torch.bool)
    left[places] = False
    return left.nonzero()[:, 0]


def _draw_weights(net: nn.Module, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Draw the initial weights of a net as PyTorch does, by the names of its parameters."""
    drawn: dict[str, torch.Tensor] = {}
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = 1 / math.sqrt(math.prod(module.weight.shape[1:]))
                uniform = torch.rand(parameter.shape, generator=generator)
                drawn[name] = (2 * uniform - 1) * bound
            else:  # of a batch norm
                fill = torch.ones_like if name.endswith("weight") else torch.zeros_like
                drawn[name] = fill(parameter)
    return drawn
