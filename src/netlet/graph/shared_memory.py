"""What the storages hold that several tensors of a running net share.

A net may write to a part of a tensor, or read a tensor after another view of its memory was
written to. So for each storage there is one value with all of its elements, the *content*; what a
part of it holds follows from how both lie in the storage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from netlet.graph.layout import Layout, read_through, write_over
from netlet.graph.operations import Opaque, Operation, Reshape
from netlet.graph.rare_operations import Rearrangement
from netlet.graph.tensors import storage_address

# Adds a node and returns the number of its value: operation, inputs, shape, path.
AddNode = Callable[[Operation, tuple[int, ...], tuple[int, ...], str], int]
_OTHER_TYPE = "it reads numbers of one type as another"


@dataclass
class _Content:
    """All elements of a storage as a value, which becomes a node only if it is read."""

    layout: Layout
    number: int | None
    operation: Operation | None = None
    inputs: tuple[int, ...] = ()
    path: str = ""

    def give_number(self, add_node: AddNode) -> int:
        if self.number is None:
            assert self.operation is not None
            self.number = add_node(self.operation, self.inputs, self.layout.shape, self.path)
        return self.number


class SharedMemory:
    """The values that lie in storages, and what was written to them."""

    def __init__(self) -> None:
        self._values: dict[int, list[tuple[torch.Tensor, Layout, int]]] = {}  # by storage
        self._contents: dict[int, _Content] = {}  # of storages that were written to

    def holds(self, tensor: torch.Tensor) -> bool:
        """Return whether there are values in a tensor's storage."""
        return (storage_address(tensor) or 0) in self._values

    def sharing(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Return the other tensors with values in a tensor's storage."""
        values = self._values.get(storage_address(tensor) or 0, ())
        return [other for other, _, _ in values if other is not tensor]

    def bind(self, tensor: torch.Tensor, number: int) -> None:
        """Note that a tensor holds a value."""
        storage = storage_address(tensor)
        if storage is None:
            return
        values = self._values.setdefault(storage, [])
        values[:] = [value for value in values if value[0] is not tensor]
        values.append((tensor, Layout.of(tensor), number))

    def write(
        self, out: torch.Tensor, number: int, name: str, path: str, add_node: AddNode
    ) -> None:
        """Note that a tensor's memory was written to.

        Args:
            out: The tensor.
            number: The number of the value that it holds now.
            name: The name of the operation.
            path: The path of the module that called it.
            add_node: Adds a node to the graph.
        """
        storage = storage_address(out)
        if storage is None:
            return
        whole, part = Layout.of_storage(out), Layout.of(out)
        if part.covers(whole):
            self._contents[storage] = _Content(part, number)
            return
        others = [value for value in self._values.get(storage, ()) if value[0] is not out]
        before = self._content(storage, whole, others)
        name, reason = name.strip("_"), "it writes to a part of a tensor"
        if part.itemsize != whole.itemsize or (before is None and others):
            self._contents[storage] = _Content(whole, None, Opaque(name, reason), (number,), path)
            return
        layout = before.layout if before else _layout_of_base(out, whole)
        source = write_over(layout, part, known=before is not None)
        operation = Opaque(name, reason, Rearrangement(name, source))
        inputs = (number,) if before is None else (before.give_number(add_node), number)
        self._contents[storage] = _Content(layout, None, operation, inputs, path)

    def read(self, tensor: torch.Tensor, add_node: AddNode) -> tuple[Operation | None, int]:
        """Return what a tensor holds that has no value of its own, or not any more.

        Args:
            tensor: In a storage with values.
            add_node: Adds a node to the graph.

        Returns:
            An operation and the number of the value that it reads; None if it is that value.
        """
        storage = storage_address(tensor) or 0
        values = self._values.get(storage, [])
        content = self._content(storage, Layout.of_storage(tensor), values)
        if content is None:
            number = values[-1][2] if values else 0
            return Opaque("view", "its memory holds several tensors"), number
        number, layout = content.give_number(add_node), Layout.of(tensor)
        if layout == content.layout:
            return None, number
        if layout.itemsize != content.layout.itemsize:
            return Opaque("view", _OTHER_TYPE), number
        source = read_through(content.layout, layout)
        if np.array_equal(source.reshape(-1), np.arange(content.layout.places().size)):
            return Reshape("as_strided"), number
        return Rearrangement("as_strided", source), number

    def _content(
        self, storage: int, whole: Layout, values: list[tuple[torch.Tensor, Layout, int]]
    ) -> _Content | None:
        """Return all elements of a storage; None if no value has them."""
        if storage in self._contents:
            return self._contents[storage]
        for _, layout, number in values:
            if layout.covers(whole):
                return _Content(layout, number)
        return None


def _layout_of_base(out: torch.Tensor, whole: Layout) -> Layout:
    """Return the layout of the tensor that another is a view of, if it covers the storage."""
    base = None if out._base is None else Layout.of(out._base)
    return base if base is not None and base.covers(whole) else whole
