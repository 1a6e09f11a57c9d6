"""Record what a running net computes: the nodes so far, and which tensor holds which value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

import torch
from torch import nn

from netlet.graph.aten import is_whole_slice, split_slices, translate
from netlet.graph.aten_names import IDENTITIES, RANDOM, SHAPE_ONLY, SPLITS, VALUE_DEPENDENT
from netlet.graph.call import Call, bind_arguments, replaced_tensors, written_tensors
from netlet.graph.execution import Execution
from netlet.graph.graph import Graph, Node
from netlet.graph.module_runs import FunctionCall, ModuleRun, ModuleRuns
from netlet.graph.operations import Opaque, Operation, Reshape
from netlet.graph.rare_operations import FurtherOutput
from netlet.graph.resampling_aten import constant_everywhere
from netlet.graph.shared_memory import SharedMemory
from netlet.graph.tensors import address, is_tensor, list_tensors
from netlet.graph.value_reads import find_line, look_at_call, reads_sizes, sizes_only
from netlet.graph.weight_names import WeightNames
from netlet.nets.outputs import first_tensor


@dataclass(frozen=True)
class _Pending:
    """A value that becomes a node only if the net reads it."""

    operation: Operation
    inputs: tuple[int, ...]
    path: str


class Recorder:
    """What a net has computed so far.

    Args:
        net: Before it runs.
        images: A batch that it is about to run on.

    Attributes:
        runs: The runs of its modules.
        paused: Whether operations that are dispatched now are not the net's.
        function: Name of the function of PyTorch that the net calls now; empty if it calls none.
        calls: How many functions it has called so far.
        caller: The code that calls the net.
    """

    def __init__(self, net: nn.Module, images: torch.Tensor) -> None:
        self.runs = ModuleRuns(net)
        self.paused = False
        self.function = ""
        self.calls = 0
        self.caller: CodeType | None = None
        self._images = images
        self._nodes: list[Node] = []
        self._numbers: dict[int, int] = {}  # id of a tensor -> number of its value
        self._pending: dict[int, _Pending] = {}  # by id of the tensor
        self._kept: list[Any] = []  # keeps tensors alive, so that no id is used again
        self._memory = SharedMemory()
        self._stale: set[int] = set()  # ids of tensors whose memory changed through another view
        self._dispatched: set[int] = set()  # ids of what operations returned
        self._weights = WeightNames(net)
        self._reader: ModuleRun | None = None
        self._read_at: tuple[str, int] | None = None
        self._certain = 0
        self._read: set[int | None] = set()  # addresses of all tensors that were read
        self._random = self._stale_read = self._changes = self._weight_read = ""
        self._bind(images, 0)

    def leave_module(self, module: nn.Module, returned: Any) -> None:
        """Note that a module ends, perhaps by an exception."""
        run = self.runs.leave(module)
        if run is not None:
            self._end(run, returned)

    def _end(self, run: ModuleRun, returned: Any) -> None:
        run.after_read = self._reader is not None
        tensor = first_tensor(returned)
        if tensor is not None:
            with torch._C.DisableTorchFunction():
                run.output = tuple(tensor.shape)
                run.value = self._number(tensor) if self.is_value(tensor) else None

    def _name_of(self, run: ModuleRun) -> str:
        return run.path or type(self.runs.root.module).__name__

    @property
    def _caller(self) -> str:
        return self._name_of(self.runs.current)

    @property
    def _place(self) -> str:
        """Return the module that runs, with its class if PyTorch defines it."""
        layer = self.runs.current.layer
        return f"{self._caller} ({layer})" if layer and self.runs.current.path else self._caller

    def is_value(self, tensor: Any) -> bool:
        """Return whether something is a tensor that depends on the images."""
        return isinstance(tensor, torch.Tensor) and (
            id(tensor) in self._numbers or id(tensor) in self._pending or self._memory.holds(tensor)
        )

    def _number(self, tensor: torch.Tensor) -> int:
        """Return the number of the value that a tensor holds."""
        pending = self._pending.pop(id(tensor), None)
        if id(tensor) in self._stale:
            self._stale_read = self._stale_read or self._caller
        elif pending is not None:
            self._add(pending.operation, pending.inputs, tensor, pending.path)
        if id(tensor) in self._stale or id(tensor) not in self._numbers:
            operation, number = self._memory.read(tensor, self._add_node)
            if operation is None:
                self._bind(tensor, number)
            else:
                self._add(operation, (number,), tensor)
        return self._numbers[id(tensor)]

    def _bind(self, tensor: torch.Tensor, number: int) -> None:
        """Note that a tensor holds a value."""
        self._numbers[id(tensor)] = number
        self._pending.pop(id(tensor), None)
        self._stale.discard(id(tensor))
        self._kept.append(tensor)
        self._memory.bind(tensor, number)

    def record(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Record a call of an operation that PyTorch has just dispatched."""
        with torch._C.DisableTorchFunction():
            self._record(func, args, kwargs, result)

    def _record(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        if self.paused:
            return
        if name in RANDOM:
            self.note_random()
        arguments = bind_arguments(func, args, kwargs)
        if name == "rsub":  # of x and y it is y - x
            arguments["self"], arguments["other"] = arguments["other"], arguments["self"]
        read = list(list_tensors(arguments))
        if name not in SHAPE_ONLY and name not in ("alias", "detach"):
            self._read.update(map(address, read))
        returned, written = list(list_tensors(result)), written_tensors(func, arguments)
        outputs = returned or written
        self._dispatched.update(map(id, outputs))
        self._kept += outputs
        lost = replaced_tensors(func, arguments)
        inputs = [x for x in read if self.is_value(x) and not any(x is other for other in lost)]
        if not inputs and not any(map(self.is_value, lost)):
            self._record_constant(name, arguments, read, outputs)
            if func._schema.is_mutable:
                self._note_change(outputs)
            return
        if name in VALUE_DEPENDENT or reads_sizes(name, arguments, self.is_value):
            self._note_read()
        if name in SHAPE_ONLY or not outputs:
            return
        numbers = tuple(self._number(x) for x in inputs)
        operation: Operation | None
        if not inputs:
            operation = constant_everywhere(name, outputs[0])
            self._add(operation, (0,), outputs[0])
        elif (name in IDENTITIES or is_whole_slice(name, arguments, outputs[0])) and outputs[
            0
        ].is_floating_point():
            operation = None
            self._bind(outputs[0], numbers[0])
        elif name in SPLITS:
            pieces = split_slices(name, arguments, outputs)
            operation = pieces[0][1]
            for out, piece in pieces:
                self._add(piece, numbers, out)
        elif name == "as_strided":
            seen, number = self._memory.read(outputs[0], self._add_node)
            self._add(operation := seen or Reshape(name), (number,), outputs[0])
        else:
            operation = self._translate(
                Call(name, arguments, outputs[0], self.is_value, self._weights.weight, func)
            )
            self._add(operation, numbers, outputs[0])
            for out in outputs[1:] if not sizes_only(name, arguments, self.is_value) else ():
                self._wait(out, FurtherOutput(operation), numbers)
        self._add_call(name, operation, inputs, outputs)
        if func._schema.is_mutable and torch.Tag.inplace_view not in func.tags:
            self._note_change(outputs[:1] if returned else outputs)
            for out in filter(self.is_value, written):
                path = self.runs.current.path
                self._memory.write(out, self._number(out), name, path, self._add_node)

    def _record_constant(
        self,
        name: str,
        arguments: dict[str, Any],
        read: list[torch.Tensor],
        outputs: list[torch.Tensor],
    ) -> None:
        """Record a call that reads no value: what it computes is a constant of the graph."""
        if name == "_local_scalar_dense":
            self._weight_read = self._weight_read or self._caller
        self._weights.note_view(name, arguments, outputs)
        self._weights.note_source(read, outputs)
        if read and outputs and name not in SHAPE_ONLY and name not in IDENTITIES:
            operation = self._translate(
                Call(name, arguments, outputs[0], is_tensor, self._weights.weight)
            )
            self._add_call(name, operation, read, outputs, constant=True)

    def _translate(self, call: Call) -> Operation:
        if "::" in call.name:
            return Opaque(call.name)
        try:
            return translate(call)
        except (
            AttributeError,
            IndexError,
            KeyError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:  # called in an unforeseen way
            return call.opaque(f"it is called in an unusual way ({error})")

    def note_call(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Note a function or method that the net called: some read values without an operation."""
        with torch._C.DisableTorchFunction():
            found = look_at_call(name, args, out, self.is_value, self._dispatched)
            for value, other in found.same:
                self._bind(other, self._number(value))
            if found.reads_weights:
                self._weight_read = self._weight_read or self._caller
            if found.reads_values:
                self._note_read()

    def record_function(
        self, name: str, operation: Operation, x: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Record a function that has not been dispatched, or whose parts have not been recorded."""
        if self.is_value(x):
            self._add(operation, (self._number(x),), out)
        self._add_call(name, operation, [x], [out])

    def _add(
        self,
        operation: Operation,
        inputs: tuple[int, ...],
        out: torch.Tensor,
        path: str | None = None,
    ) -> None:
        if path is None:
            path = self.runs.current.path
        self._bind(out, self._add_node(operation, inputs, tuple(out.shape), path))

    def _add_node(
        self, operation: Operation, inputs: tuple[int, ...], shape: tuple[int, ...], path: str
    ) -> int:
        """Add a node whose output has a shape, with all dimensions; return its number."""
        batched = len(shape) > 0 and shape[0] == len(self._images)
        run = self.runs.current
        layer, function = run.layer, self.function
        if path != run.path:  # a value of an earlier module, which is read only now
            layer = function = ""
        call = self.calls if function else 0
        node = Node(operation, inputs, shape[batched:], path, batched, layer, function, call)
        self._nodes.append(node)
        return len(self._nodes)

    def _add_call(
        self,
        name: str,
        operation: Operation | None,
        inputs: Sequence[torch.Tensor],
        outputs: Sequence[torch.Tensor],
        *,
        constant: bool = False,
    ) -> None:
        call = FunctionCall(
            name,
            operation,
            self._numbers.get(id(outputs[0])),
            tuple(inputs),
            tuple(outputs),
            tuple(tuple(x.shape) for x in inputs),
            tuple(outputs[0].shape),
            self._reader is not None,
            constant,
        )
        self.runs.current.steps.append(call)

    def _wait(self, tensor: torch.Tensor, operation: Operation, inputs: tuple[int, ...]) -> None:
        """Note a value that becomes a node if it is read."""
        self._pending[id(tensor)] = _Pending(operation, inputs, self.runs.current.path)
        self._kept.append(tensor)

    def note_random(self) -> None:
        """Note that the module that runs draws random numbers."""
        self._random = self._random or self._place

    def note_unseen(self) -> None:
        """Note that a part of the net runs where it is not recorded, as in another thread."""
        self._note_read()

    def _note_read(self) -> None:
        """Note that the net reads a value of a tensor."""
        if self._reader is None:
            self._reader, self._certain = self.runs.current, len(self._nodes)
            self._read_at = find_line(self.caller)

    def _note_change(self, outputs: list[torch.Tensor]) -> None:
        """Note that memory was written to: other views of it hold no known value any more."""
        for out in outputs:
            name = self._weights.name_of(out)
            if name and not name.endswith("num_batches_tracked"):
                self._changes = self._changes or self._caller
            self._stale.update(map(id, self._memory.sharing(out)))

    def _accounts_for(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._dispatched or bool(self._weights.name_of(tensor))

    def finish(self, returned: Any) -> Execution:
        """Return what the run showed.

        Args:
            returned: What the net returned.
        """
        root = self.runs.root
        self._end(root, returned)  # again, since the net's own hooks run after the tracer's
        output = first_tensor(returned)
        number = None
        if output is not None and self.is_value(output):
            number = self._number(output)
        elif output is not None and not self._accounts_for(output):
            self.note_unseen()
        graph = Graph(
            tuple(self._images.shape[1:]),
            tuple(self._nodes),
            number,
            self._name_of(self._reader) if self._reader else "",
            self._random,
            self._stale_read,
            self._changes,
            self._weight_read,
        )
        certain = len(self._nodes) if self._reader is None else self._certain
        read = frozenset(self._read)
        return Execution(graph, root, returned, self._reader, certain, read, self._read_at)
