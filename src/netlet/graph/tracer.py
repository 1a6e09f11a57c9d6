"""Trace a net: run it once on blank images and record its operations as a graph.

Everything is seen as it is dispatched by PyTorch, below the net's Python code. So modules and
functions, branches, loops, shared layers and lazy layers give the same graph if they compute the
same. Dropout alone is recorded above the dispatcher, since it dispatches nothing in evaluation
mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.errors import NetError
from netlet.graph.aten import split_slices, translate
from netlet.graph.aten_names import IDENTITIES, RANDOM, SHAPE_ONLY, SPLITS, VALUE_DEPENDENT
from netlet.graph.call import Call
from netlet.graph.graph import Graph, Node, Weight
from netlet.graph.operations import Dropout, Opaque, Operation
from netlet.nets.outputs import first_tensor
from netlet.nets.registered import list_buffers, list_modules, list_parameters
from netlet.text import format_shape

# Images in the traced batch. Two, since some nets squeeze away a batch dimension of one.
BATCH = 2


def trace_graph(net: nn.Module, shape: Sequence[int]) -> Graph:
    """Run a net once, in the mode that it is in, and return what it computes.

    Args:
        net: On the CPU. In training mode the run changes its running statistics, as every run does.
        shape: Of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image.
    """
    recorder = _Recorder(net)
    images = torch.zeros(BATCH, *shape)
    recorder.bind(images, 0)
    with torch.no_grad(), ExitStack() as hooks:
        # Global hooks, since a scripted module accepts none of its own.
        hooks.callback(register_module_forward_pre_hook(recorder.enter_module).remove)
        hooks.callback(register_module_forward_hook(recorder.leave_module).remove)
        try:
            with _DropoutMode(recorder), _DispatchMode(recorder):
                output = first_tensor(net(images))
        except Exception as error:
            raise NetError(
                f"{type(net).__name__}: does not run on an image {format_shape(shape)} ({error})"
            ) from error
    return recorder.finish(tuple(shape), output)


class _Recorder:
    """The nodes so far, and which tensor holds which value."""

    def __init__(self, net: nn.Module) -> None:
        self._nodes: list[Node] = []
        self._numbers: dict[int, int] = {}  # id of a tensor -> number of its value
        self._kept: list[Any] = []  # keeps tensors alive, so that no id is used again
        self._sharing: dict[int, list[torch.Tensor]] = {}  # storage -> values that lie in it
        self._stale: set[int] = set()  # ids of tensors whose memory changed through another view
        self._modules = {module: path for path, module in list_modules(net)}
        self._paths = [""]
        self._names: dict[int, str] = {}  # id of a registered tensor -> its first name
        for name, tensor in (*list_parameters(net), *list_buffers(net)):
            self._names.setdefault(id(tensor), name)
        self._net = net
        self._transposed: dict[int, torch.Tensor] = {}  # by id of its transpose
        self._value_dependent = self._random = self._stale_read = self._changes = ""
        self._weight_read = ""
        self.paused = False

    def enter_module(self, module: nn.Module, _: object) -> None:
        """Note that a module starts."""
        self._paths.append(self._modules.get(module, self._paths[-1]))

    def leave_module(self, *_: object) -> None:
        """Note that a module ends."""
        self._paths.pop()

    @property
    def _caller(self) -> str:
        return self._paths[-1] or type(self._net).__name__

    def is_value(self, tensor: Any) -> bool:
        """Return whether something is a tensor that depends on the images."""
        return isinstance(tensor, torch.Tensor) and id(tensor) in self._numbers

    def bind(self, tensor: torch.Tensor, number: int) -> None:
        """Note that a tensor holds a value."""
        self._numbers[id(tensor)] = number
        self._stale.discard(id(tensor))
        self._kept.append(tensor)
        storage = tensor.untyped_storage().data_ptr()
        sharing = self._sharing.setdefault(storage, [])
        if not any(other is tensor for other in sharing):
            sharing.append(tensor)

    def record(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Record a call of an operation that PyTorch has just dispatched."""
        name = func._schema.name.rpartition("::")[2].removesuffix("_")
        if self.paused:
            return
        if name in RANDOM:
            self._random = self._random or self._caller
        inputs = [x for x in _iterate_tensors([args, kwargs]) if self.is_value(x)]
        outputs = list(_iterate_tensors(result))
        if not inputs:
            if name == "_local_scalar_dense":
                self._weight_read = self._weight_read or self._caller
            self._note_transpose(name, args, outputs)
            if func._schema.is_mutable:
                self._note_change(outputs)
            return
        if any(id(x) in self._stale for x in inputs):
            self._stale_read = self._stale_read or self._caller
        if name in VALUE_DEPENDENT:
            self._value_dependent = self._value_dependent or self._caller
        if name in SHAPE_ONLY or not outputs:
            return
        if func.namespace != "aten":
            self._add(Opaque(func._schema.name), inputs, outputs[0])
        elif name in IDENTITIES:
            self.bind(outputs[0], self._numbers[id(inputs[0])])
        elif name in SPLITS:
            for out, piece in split_slices(name, inputs[0], args, kwargs, outputs):
                self._add(piece, inputs, out)
        else:
            call = Call(name, args, kwargs, outputs[0], self.is_value, self._weight)
            self._add(_translate(call), inputs, outputs[0])
        if func._schema.is_mutable:
            self._note_change(outputs[:1])

    def add_dropout(self, operation: Dropout, x: torch.Tensor, out: torch.Tensor) -> None:
        """Record dropout, which has not been dispatched."""
        self._add(operation, [x], out)

    def _add(self, operation: Operation, inputs: list[torch.Tensor], out: torch.Tensor) -> None:
        batched = out.dim() > 0 and len(out) == BATCH
        shape = tuple(out.shape[1:]) if batched else tuple(out.shape)
        numbers = tuple(self._numbers[id(x)] for x in inputs)
        self._nodes.append(Node(operation, numbers, shape, self._paths[-1], batched))
        self.bind(out, len(self._nodes))

    def _weight(self, tensor: torch.Tensor, transposed: bool) -> Weight:
        if transposed:
            original = self._transposed.get(id(tensor))
            tensor = tensor.t() if original is None else original
        name = self._names.get(id(tensor), "")
        # A constant that the net made itself may be written to later.
        return Weight(name, tensor if name else tensor.detach().clone())

    def _note_transpose(self, name: str, args: Any, outputs: list[torch.Tensor]) -> None:
        """Remember that a tensor is a registered one, transposed or as it is."""
        if not outputs or not args or not isinstance(args[0], torch.Tensor):
            return
        if name in ("t", "transpose") and args[0].dim() == 2:
            self._transposed[id(outputs[0])] = args[0]
            self._kept.append(outputs[0])
        elif name in ("alias", "detach") and id(args[0]) in self._names:
            self._names[id(outputs[0])] = self._names[id(args[0])]
            self._kept.append(outputs[0])

    def _note_change(self, outputs: list[torch.Tensor]) -> None:
        """Note that memory was written to: other views of it hold no known value any more."""
        for out in outputs:
            name = self._names.get(id(out), "")
            if name and not name.endswith("num_batches_tracked"):
                self._changes = self._changes or self._caller
            for other in self._sharing.get(out.untyped_storage().data_ptr(), ()):
                if other is not out:
                    self._stale.add(id(other))

    def finish(self, shape: tuple[int, ...], output: torch.Tensor | None) -> Graph:
        """Return the graph.

        Args:
            shape: Of one image.
            output: What the net returned.
        """
        number = None if output is None else self._numbers.get(id(output))
        if output is not None and id(output) in self._stale:
            self._stale_read = self._stale_read or self._caller
        return Graph(
            shape,
            tuple(self._nodes),
            number,
            self._value_dependent,
            self._random,
            self._stale_read,
            self._changes,
            self._weight_read,
        )


class _DispatchMode(TorchDispatchMode):
    """Passes every operation to a recorder."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch calls this. True would import its compiler, which takes a second, to register a
        # mode that the compiler never sees.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._recorder.record(func, args, kwargs, result)
        return result


class WithoutDropout(TorchFunctionMode):
    """A mode in which dropout, also as a function, drops nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").removesuffix("_")
        if name not in _DROPOUTS:
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        in_place = kwargs.get("inplace", False) or func.__name__.endswith("_")
        out = self.view(x) if not in_place else x
        rate = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
        active = args[2] if len(args) > 2 else kwargs.get("training", kwargs.get("train", True))
        self.note(Dropout(_DROPOUTS[name], float(rate), bool(active)), x, out)
        return out

    def view(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor's values as another tensor."""
        return x.view(x.shape)

    def note(self, operation: Dropout, x: torch.Tensor, out: torch.Tensor) -> None:
        """Do something about a dropout that was called."""


class _DropoutMode(WithoutDropout):
    """Passes every dropout to a recorder, and drops nothing."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def view(self, x: torch.Tensor) -> torch.Tensor:
        self._recorder.paused = True
        out = super().view(x)
        self._recorder.paused = False
        return out

    def note(self, operation: Dropout, x: torch.Tensor, out: torch.Tensor) -> None:
        if self._recorder.is_value(x):
            self._recorder.add_dropout(operation, x, out)


_DROPOUTS = {
    "dropout": "dropout",
    "dropout1d": "dropout1d",
    "dropout2d": "dropout2d",
    "dropout3d": "dropout3d",
    "feature_dropout": "dropout2d",
    "alpha_dropout": "alpha_dropout",
    "feature_alpha_dropout": "feature_alpha_dropout",
}


def _translate(call: Call) -> Operation:
    try:
        return translate(call)
    except (IndexError, KeyError, TypeError, ValueError) as error:  # an unforeseen way to call it
        return Opaque(call.name.strip("_"), f"it is called in an unusual way ({error})")


def _iterate_tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _iterate_tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _iterate_tensors(part)
