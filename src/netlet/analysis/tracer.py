"""Record a running net: modules through hooks, everything else through PyTorch's dispatcher."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.analysis import aten_ops, op_names
from netlet.analysis.fields import Field, FieldMap, input_field
from netlet.analysis.memory import TensorUse
from netlet.analysis.ops import Op
from netlet.analysis.outside_values import BULK_READS
from netlet.analysis.provenance import Provenance
from netlet.analysis.window_ops import Effect
from netlet.nets.device_errors import describe_device_error
from netlet.nets.outputs import first_tensor
from netlet.nets.registered import count_numbers, list_modules, list_parameters, own_parameters
from netlet.text import format_shape

# Images in the traced batch. Two, since some nets squeeze away a batch dimension of one.
BATCH = 2
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Words that occur in PyTorch's messages about shapes, and words of other errors that mention sizes.
_SHAPE_WORDS = re.compile(r"shape|\bsizes?\b|dimension|\bdims?\b|channel|\d-?D\b|elements", re.I)
_OTHER_WORDS = re.compile(r"CUDA|cuDNN|cuBLAS|HIP|MPS|\bmemory\b|\bdevices?\b", re.I)


class Tracer(TorchDispatchMode):
    """A mode that records the operations of a net that runs within it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.net = net
        self.ops: list[Op] = []
        self.value_dependent: str | None = None
        self.uses: list[TensorUse] = []
        self.provenance = Provenance(net)
        self._paths = {module: path for path, module in list_modules(net)}
        self._stack: list[Op] = []  # the modules that are running, outermost first
        self._fields = FieldMap()
        self._counted: set[torch.Tensor] = set()
        self._ran: set[nn.Module] = set()
        self._finished = 0  # operations
        self._current = ""  # the module that started last, and its input shape

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Called by torch. Returning True would make it import its compiler, which takes a second,
        # only to exclude this mode from compilation, where it never occurs.
        return False

    def start(self, x: torch.Tensor) -> None:
        """Register the input of the net."""
        self._fields[x] = input_field(x.shape)
        self.provenance.start(x)
        self.uses.append(TensorUse([], [x]))

    @contextmanager
    def module_hooks(self) -> Iterator[None]:
        """Install hooks that record when modules start and finish."""
        # Global hooks, since scripted modules accept no hooks of their own.
        before = torch.nn.modules.module.register_module_forward_pre_hook(self._enter_module)
        after = torch.nn.modules.module.register_module_forward_hook(self._leave_module)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        inside = self._stack[-1].module if self._stack else None
        if module not in self._paths or (inside is not None and _is_atomic(inside)):
            return
        op = Op(self._paths[module], _class_name(module), len(self._stack), module)
        if self._stack:
            self._stack[-1].leaf = False
        self.ops.append(op)
        self._stack.append(op)
        shapes = [tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor)]
        self._current = (
            f"{op.name} ({op.kind}) with input {_format_shape(shapes[0][1:])}"
            if shapes
            else op.name
        )

    def _leave_module(self, module: nn.Module, args: Any, out: Any) -> None:
        if not self._stack or self._stack[-1].module is not module:
            return
        op = self._stack.pop()
        # Read here and not on entering, since lazy layers have their parameters only now.
        parameters = (
            [tensor for _, tensor in list_parameters(module)]
            if _is_atomic(module)
            else own_parameters(module)
        )
        op.repeated = module in self._ran
        op.own_parameters = count_numbers(p for p in parameters if p not in self._counted)
        op.tied = not op.repeated and any(p in self._counted for p in parameters)
        self._counted.update(parameters)
        self._ran.add(module)
        tensor = first_tensor(out)
        if tensor is not None:
            op.output = _shape_for_one(tensor)
            op.field = None if self.value_dependent else self._fields.get(tensor)
        self._finish(op)

    def _finish(self, op: Op) -> None:
        op.end_order = self._finished
        self._finished += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.provenance.observe(func, args, kwargs, out, self._caller)
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        inputs = [x for x in _iterate_tensors([args, kwargs]) if x in self._fields]
        if not inputs:
            return out
        if name in op_names.VALUE_DEPENDENT or (name == "index" and _has_mask(args)):
            self.value_dependent = self.value_dependent or self._caller
        outputs = list(_iterate_tensors(out))
        if outputs and name not in op_names.CONSTANT:
            if func.namespace == "aten":
                effect = aten_ops.analyze_op(name, args, kwargs, outputs[0], self._fields)
            else:
                effect = Effect(None, macs=None)
            self._record_tensors(name, effect, inputs, outputs)
            self._record_op(name, effect, outputs[0])
        if func._schema.is_mutable:
            for tensor in outputs:
                # Writing into a part of a tensor changes what the whole depends on.
                if tensor._base is not None:
                    self._fields[tensor._base] = None
        return out

    def _record_tensors(
        self, name: str, effect: Effect, inputs: list[torch.Tensor], outputs: list[torch.Tensor]
    ) -> None:
        for tensor in outputs:
            self._fields[tensor] = self._known_field(effect.field)
        in_place = name in op_names.ELEMENTWISE or "batch_norm" in name
        self.uses.append(TensorUse(inputs, outputs, in_place))

    def _known_field(self, field: Field) -> Field:
        return None if self.value_dependent else field

    def _record_op(self, name: str, effect: Effect, out: torch.Tensor) -> None:
        """Add an operation to the module that called it, or as a row of its own."""
        caller = self._stack[-1]
        macs = None if effect.macs is None else effect.macs // BATCH
        assert caller.module is not None
        if not _is_atomic(caller.module):
            caller.functions.append(_function_name(name))
        if self._is_one_row(caller.module):
            caller.macs = None if caller.macs is None or macs is None else caller.macs + macs
            if effect.window:
                caller.windows.append(effect.window)
            return
        if name in op_names.VIEWS and name not in ("view", "_unsafe_view", "reshape"):
            return
        kind = "reshape" if name in op_names.VIEWS else _function_name(name)
        op = self._add_function(kind, out, self._known_field(effect.field))
        op.macs = macs
        op.windows = [effect.window] if effect.window else []

    def _add_function(self, kind: str, out: torch.Tensor, field: Field) -> Op:
        caller = self._stack[-1]
        caller.leaf = False
        op = Op(caller.path, kind, len(self._stack), None, output=_shape_for_one(out), field=field)
        self.ops.append(op)
        self._finish(op)
        return op

    @property
    def _caller(self) -> str:
        """The name of the module that runs."""
        return self._stack[-1].name if self._stack else "(net)"

    def record_dropout(self, out: torch.Tensor) -> None:
        """Record a functional dropout, which dispatches no operation in evaluation mode."""
        caller = self._stack[-1]
        assert caller.module is not None
        if _is_atomic(caller.module):
            return
        caller.functions.append("dropout")
        if not self._is_one_row(caller.module):
            self._add_function("dropout", out, self._known_field(self._fields.get(out)))

    def note_bulk_read(self, tensor: torch.Tensor, method: str, out: Any) -> None:
        """Note that a net takes a tensor's values out of PyTorch, as ``x.numpy()`` does."""
        if self.provenance.note_bulk_read(tensor, method, self._caller) and hasattr(out, "flags"):
            out.flags.writeable = False  # it shares the tensor's memory

    def _is_one_row(self, module: nn.Module) -> bool:
        """Return whether a module's functions are summed in its row instead of having their own.

        True for torch's layers and for other modules without children, except the net itself.
        """
        return _is_atomic(module) or (
            module is not self.net and not any(True for _ in module.children())
        )

    def find_unused(self) -> list[tuple[str, int]]:
        """Return the modules with parameters that never ran, and their number of parameters."""
        found = []
        for path, module in list_modules(self.net):
            parameters = [p for p in own_parameters(module) if p not in self._counted]
            if parameters:
                found.append((path, count_numbers(parameters)))
                self._counted.update(parameters)
        return found

    def describe_error(self, error: Exception, shape: tuple[int, ...]) -> str:
        """Return a message for a net that failed to run: the layer, its input shape, the reason.

        If the reason is about shapes, the message also says how to change the input shape.
        """
        lines = str(error).strip().splitlines()
        device_error = describe_device_error(error)
        reason = device_error or (lines[0] if lines else type(error).__name__)
        message = f"{self._current or _class_name(self.net)}: {reason}"
        if device_error or not _is_shape_error(error):
            return message
        return (
            f"{message} (input {_format_shape(shape)}; set another with --input C,H,W in show and "
            "check, or repeat gray images with --channels 3 in train and evaluate)"
        )


class CallObserver(TorchFunctionMode):
    """A mode that reports to a tracer what dispatches no operation.

    These are functional dropouts, and calls that take values out of PyTorch.
    """

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if "dropout" in name:
            self._tracer.record_dropout(out)
        elif name in BULK_READS and args and isinstance(args[0], torch.Tensor):
            self._tracer.note_bulk_read(args[0], name, out)
        return out


def _class_name(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))


def _is_atomic(module: nn.Module) -> bool:
    """Return whether a module is shown as a whole: torch's own layers, and scripted modules."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    return type(module).__module__.startswith("torch.nn.modules") and not isinstance(
        module, _CONTAINERS
    )


def _is_shape_error(error: Exception) -> bool:
    text = str(error)
    return bool(_SHAPE_WORDS.search(text)) and not _OTHER_WORDS.search(text)


def _iterate_tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _iterate_tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _iterate_tensors(part)


def _shape_for_one(tensor: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return (1, *shape[1:]) if shape and shape[0] == BATCH else shape


def _has_mask(args: Any) -> bool:
    return any(index.dtype in (torch.bool, torch.uint8) for index in _iterate_tensors(args[1:]))


_FUNCTION_NAMES = {
    "convolution": "conv",
    "addmm": "linear",
    "mm": "linear",
    "bmm": "matmul",
    "baddbmm": "matmul",
    "max_pool2d_with_indices": "max_pool2d",
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_log_softmax": "log_softmax",
    "_softmax": "softmax",
    "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "constant_pad_nd": "pad",
}


def _function_name(name: str) -> str:
    return _FUNCTION_NAMES.get(name, name)


def _format_shape(shape: tuple[int, ...]) -> str:
    return format_shape(shape) if prod(shape) else "of no elements"
