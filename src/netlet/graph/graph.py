"""The graph of a net: the operations that it applies to images, in order.

Value 0 is a batch of images; value ``k`` is the output of node ``k``, counted from 1. Every node
computes one value from earlier ones. Tensors that do not depend on the images are not values, but
the operation that reads them has a :class:`Weight` for each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from netlet.display import Displayed

if TYPE_CHECKING:
    from netlet.graph.operations import Operation

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Weight:
    """A tensor that an operation reads and that does not depend on the images.

    Attributes:
        name: The name of the parameter or buffer, as in ``state_dict()``; empty if it is neither,
            but a constant or computed from others. One tensor has one name, also if several modules
            share it.
        tensor: It; if it has no name, as it was when the operation read it.
        source: The source of a tensor without a name: a parameter or buffer that it is computed
            from; empty if there is none.
        tiled: Whether it is its source, repeated along the first dimension and perhaps cut off
            there: its row ``i`` is row ``i % len(source)`` of the source.
    """

    name: str
    tensor: torch.Tensor
    source: str = ""
    tiled: bool = False

    def __repr__(self) -> str:
        """Return what identifies it; two traces of a net can be compared by it."""
        return self.name or f"{tuple(self.tensor.shape)} {self.tensor.flatten()[:8].tolist()}"


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        operation: What it computes, with all arguments that are not values.
        inputs: Numbers of the values that it reads, in the order of its arguments.
        shape: The shape of its output for one image, without ``N``; that of the whole batch if
            ``batched`` is False.
        path: Path of the module that runs it, as in ``named_modules()``; empty in the net's own
            ``forward``.
        batched: Whether the first dimension of its output is the batch.
        layer: Name of the class of that module if PyTorch defines it; else empty.
        function: Name of the function of PyTorch that the module called, which may consist of
            several operations; empty if it is not known.
        call: Number of that call, from 1; 0 if the function is not known.
    """

    operation: Operation
    inputs: tuple[int, ...]
    shape: Shape
    path: str
    batched: bool = True
    layer: str = field(default="", repr=False, compare=False)
    function: str = field(default="", repr=False, compare=False)
    call: int = field(default=0, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What messages call it: the module's path or, in the net's own code, the operation."""
        return self.path or self.operation.name

    def place(self, net: str) -> str:
        """Return where it runs, such as ``pool (LPPool2d)``, for messages about what PyTorch does.

        Args:
            net: The net's name, for what its own ``forward`` runs.
        """
        return f"{self.path} ({self.layer})" if self.path and self.layer else self.path or net


@dataclass(frozen=True)
class Graph(Displayed):
    """What a net computes from images, in training or in evaluation mode.

    Attributes:
        shape: The shape of one image, ``C H W``.
        nodes: In the order in which they ran.
        output: Number of the value that the net returns; None if it is none of the values.
        value_dependent: The module that first read a value of a tensor, which may choose the path
            of the next image; empty if none did.
        random: The module that first drew random numbers; empty if none did. Dropout does not
            count.
        changes: The module that wrote to a parameter or buffer; empty if none did. Running
            statistics do not count.
        weight_read: The module that first read a number of a tensor that is not a value into
            Python; the graph has it as a constant. Empty if none did.
        stale: The module that read a tensor after another view of its memory had been written to;
            empty if none did.
    """

    shape: Shape
    nodes: tuple[Node, ...]
    output: int | None
    value_dependent: str = ""
    random: str = ""
    stale: str = ""
    changes: str = ""
    weight_read: str = ""
    _readers: dict[int, list[int]] = field(default_factory=dict, repr=False, compare=False)

    def shape_of(self, value: int) -> Shape:
        """Return the shape of a value for one image."""
        return self.nodes[value - 1].shape if value else self.shape

    def readers(self, value: int) -> list[int]:
        """Return the values that are computed from a value; twice if it is read twice."""
        if not self._readers:
            for number, node in enumerate(self.nodes, start=1):
                for read in node.inputs:
                    self._readers.setdefault(read, []).append(number)
        return self._readers.get(value, [])

    def needed(self) -> list[int]:
        """Return the values that the output depends on, in order, without the images."""
        found: set[int] = set()
        for number in range(self.output or 0, 0, -1):
            if number == self.output or any(r in found for r in self.readers(number)):
                found.add(number)
        return sorted(found)
