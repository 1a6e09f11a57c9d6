"""Which parameter or buffer a tensor is that does not depend on the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from netlet.graph.graph import Weight
from netlet.nets.registered import list_buffers, list_parameters


class WeightNames:
    """The names of the tensors of a net, and of those that it computes from them as it runs.

    Args:
        net: Before it runs.
    """

    def __init__(self, net: nn.Module) -> None:
        self._names: dict[int, str] = {}  # id of a registered tensor -> its first name
        for name, tensor in (*list_parameters(net), *list_buffers(net)):
            self._names.setdefault(id(tensor), name)
        # id of a tensor that is computed from a registered one -> the name of the latter
        self._sources: dict[int, str] = {}
        self._transposed: dict[int, torch.Tensor] = {}  # by id of its transpose
        self._tiled: set[int] = set()  # ids of registered tensors, repeated along dimension 0
        self._kept: list[Any] = []  # keeps tensors alive, so that no id is used again

    def name_of(self, tensor: torch.Tensor) -> str:
        """Return the name of a registered tensor; empty if it is none."""
        return self._names.get(id(tensor), "")

    def weight(self, tensor: torch.Tensor, transposed: bool) -> Weight:
        """Return a tensor as a weight.

        Args:
            tensor: The tensor.
            transposed: Whether its transpose is the weight.
        """
        if transposed:
            original = self._transposed.get(id(tensor))
            tensor = tensor.t() if original is None else original
        name, source = self.name_of(tensor), self._sources.get(id(tensor), "")
        tiled = id(tensor) in self._tiled
        if not name:  # a constant that the net made itself and may write to later
            tensor = tensor.detach().clone()
        if type(tensor) not in (torch.Tensor, nn.Parameter):  # a class may lie about shapes
            tensor = tensor.as_subclass(torch.Tensor)
        return Weight(name, tensor, "" if name else source, tiled)

    def note_view(
        self, name: str, arguments: Mapping[str, Any], outputs: list[torch.Tensor]
    ) -> None:
        """Remember that a tensor is a registered one, transposed, tiled or as it is.

        Args:
            name: The name of the operation.
            arguments: Its arguments by name.
            outputs: What it returned.
        """
        of = arguments.get("self")
        if not outputs or not isinstance(of, torch.Tensor):
            return
        if of.dim() == 2 and (name == "t" or (name == "transpose" and _swaps(arguments))):
            self._transposed[id(outputs[0])] = of
            self._kept.append(outputs[0])
        elif self._tiles(name, arguments, of, outputs[0]):
            self._tiled.add(id(outputs[0]))
            self._kept.append(outputs[0])
        elif name in ("alias", "detach") and id(of) in self._names:
            self._names[id(outputs[0])] = self._names[id(of)]
            self._kept.append(outputs[0])

    def _tiles(
        self, name: str, arguments: Mapping[str, Any], of: torch.Tensor, out: torch.Tensor
    ) -> bool:
        """Return whether an operation repeats a registered tensor along the first dimension.

        Also if it cuts off the end of such a tensor.
        """
        if id(of) in self._tiled:
            first = not arguments.get("dim") and not arguments.get("start")
            kept = name == "slice" and first and arguments.get("step", 1) == 1
            return name == "alias" or kept
        # The shape comes last: that of a lazy module's parameter cannot be read yet.
        registered = id(of) in self._names and name in ("expand", "repeat")
        return registered and out.shape[1:] == of.shape[1:]

    def note_source(self, read: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        """Remember that tensors are computed from a registered one.

        Args:
            read: What the operation read.
            outputs: What it returned.
        """
        ids = [id(x) for x in read]
        sources = [self._names.get(i) or self._sources.get(i) for i in ids]
        source = next(filter(None, sources), "")
        for out in outputs:
            if source and id(out) not in self._names:
                self._sources[id(out)] = source
                self._kept.append(out)


def _swaps(arguments: Mapping[str, Any]) -> bool:
    """Return whether the arguments of ``transpose`` name both dimensions of a matrix."""
    one, other = arguments.get("dim0"), arguments.get("dim1")
    return isinstance(one, int) and isinstance(other, int) and (one - other) % 2 == 1
