"""Watching a net run: modules through hooks, everything else through the operations that PyTorch dispatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.analysis import aten_ops
from netlet.analysis.fields import Field, FieldMap, input_field
from netlet.analysis.memory import TensorUse
from netlet.analysis.ops import Op
from netlet.analysis.window_ops import Effect
from netlet.nets.outputs import first_tensor

# Images in the run: two, since some nets squeeze away a batch of one.
BATCH = 2
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Tracer(TorchDispatchMode):
    """Writes down the steps of a net while it runs within this mode."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.net = net
        self.steps: list[Op] = []
        self.value_dependent: str | None = None
        self._paths = {module: path for path, module in net.named_modules()}
        self._stack: list[Op] = []
        self._known = FieldMap()
        self._counted: set[nn.Parameter] = set()
        self._ran: set[nn.Module] = set()
        self._ended = 0
        self._doing = ""
        self.uses: list[TensorUse] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Asked by torch; yes would import its compiler, a second's work, to tell it of a mode that
        # it never meets.
        return False

    def begin(self, x: torch.Tensor) -> None:
        """The run begins with this input."""
        self._known[x] = input_field(x.shape)
        self.uses.append(TensorUse([], [x]))

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Within it, the modules of the net report when they run."""
        # Hooks for all modules alike: a scripted one takes none of its own.
        before = torch.nn.modules.module.register_module_forward_pre_hook(self._enter)
        after = torch.nn.modules.module.register_module_forward_hook(self._leave)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        inside = self._stack[-1].module if self._stack else None
        if module not in self._paths or (inside is not None and _atomic(inside)):
            return
        step = Op(
            self._paths[module], _kind(module), len(self._stack), module, order=len(self.steps)
        )
        if self._stack:
            self._stack[-1].leaf = False
        self.steps.append(step)
        self._stack.append(step)
        shapes = [tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor)]
        self._doing = f"{step.name} ({step.kind}) got {_by(shapes[0][1:])}" if shapes else step.name

    def _leave(self, module: nn.Module, args: Any, out: Any) -> None:
        if not self._stack or self._stack[-1].module is not module:
            return
        step = self._stack.pop()
        # Here, not on entering: a lazy layer has its parameters only now.
        parameters = list(module.parameters(recurse=_atomic(module)))
        step.repeated = module in self._ran
        step.own = sum(p.numel() for p in parameters if p not in self._counted)
        step.tied = not step.repeated and any(p in self._counted for p in parameters)
        self._counted.update(parameters)
        self._ran.add(module)
        tensor = first_tensor(out)
        if tensor is not None:
            step.output = _for_one(tensor)
            step.field = None if self.value_dependent else self._known.get(tensor)
        self._end(step)

    def _end(self, step: Op) -> None:
        step.done = self._ended
        self._ended += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        inputs = [x for x in _tensors([args, kwargs]) if x in self._known]
        if not inputs:
            return out
        if name in aten_ops.VALUE_DEPENDENT or (name == "index" and _by_mask(args)):
            self.value_dependent = self.value_dependent or self._stack[-1].name
        outputs = list(_tensors(out))
        if outputs:
            self._note(name, func.namespace, args, kwargs, inputs, outputs)
        if func._schema.is_mutable:
            for tensor in outputs:
                # Writing into a part of a tensor changes what the whole depends on.
                if tensor._base is not None:
                    self._known[tensor._base] = None
        return out

    def _note(
        self,
        name: str,
        namespace: str,
        args: Any,
        kwargs: Any,
        inputs: list[torch.Tensor],
        outputs: list[torch.Tensor],
    ) -> None:
        if name in aten_ops.CONSTANT:
            return
        if namespace == "aten":
            effect = aten_ops.analyze_op(name, args, kwargs, outputs[0], self._known)
        else:
            effect = Effect(None, macs=None)
        reached = None if self.value_dependent else effect.field
        for tensor in outputs:
            self._known[tensor] = reached
        in_place = name in aten_ops.ELEMENTWISE or "batch_norm" in name
        self.uses.append(TensorUse(inputs, outputs, in_place))
        self._account(name, effect, reached, outputs[0])

    def _account(self, name: str, effect: Effect, reached: Field, out: torch.Tensor) -> None:
        holder = self._stack[-1]
        macs = None if effect.macs is None else effect.macs // BATCH
        assert holder.module is not None
        if not _atomic(holder.module):
            holder.functions.append(_function_name(name))
        if self._is_one_row(holder.module):
            holder.macs = None if holder.macs is None or macs is None else holder.macs + macs
            if effect.window:
                holder.windows.append(effect.window)
            return
        if name in aten_ops.VIEWS and name not in ("view", "_unsafe_view", "reshape"):
            return
        step = self._function(
            "reshape" if name in aten_ops.VIEWS else _function_name(name), out, reached
        )
        step.macs = macs
        step.windows = [effect.window] if effect.window else []

    def _function(self, kind: str, out: torch.Tensor, reached: Field) -> Op:
        holder = self._stack[-1]
        holder.leaf = False
        step = Op(
            holder.path, kind, len(self._stack), None, order=len(self.steps), output=_for_one(out)
        )
        step.field = reached
        self.steps.append(step)
        self._end(step)
        return step

    def dropped(self, out: torch.Tensor) -> None:
        """A functional dropout ran; in evaluation mode it leaves no operation to dispatch."""
        holder = self._stack[-1]
        assert holder.module is not None
        if _atomic(holder.module):
            return
        holder.functions.append("dropout")
        if not self._is_one_row(holder.module):
            self._function("dropout", out, None if self.value_dependent else self._known.get(out))

    def _is_one_row(self, module: nn.Module) -> bool:
        """Whether its functions are summed up in its row: torch's layers, others' small ones, not the net itself."""
        return _atomic(module) or (
            module is not self.net and not any(True for _ in module.children())
        )

    def unused(self) -> list[tuple[str, int]]:
        """Modules with parameters that never ran, and how many parameters."""
        found = []
        for path, module in self.net.named_modules():
            parameters = [p for p in module.parameters(recurse=False) if p not in self._counted]
            if parameters:
                found.append((path, sum(p.numel() for p in parameters)))
                self._counted.update(parameters)
        return found

    def failure(self, error: Exception, shape: tuple[int, ...]) -> str:
        """What to tell a person whose net broke: the layer, what it got, why."""
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        return (
            f"{self._doing or _kind(self.net)}: {reason} (input {_by(shape)}; show and check take another with "
            "--input C,H,W, train and evaluate repeat gray images with --channels 3)"
        )


class DropoutObserver(TorchFunctionMode):
    """Tells a watcher of functional dropouts, which dispatch nothing in evaluation mode."""

    def __init__(self, watcher: Tracer) -> None:
        super().__init__()
        self._watcher = watcher

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if "dropout" in getattr(func, "__name__", ""):
            self._watcher.dropped(out)
        return out


def _kind(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))


def _atomic(module: nn.Module) -> bool:
    """Whether what happens inside is its own affair: torch's own layers, even those with parts, and scripted nets."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    return type(module).__module__.startswith("torch.nn.modules") and not isinstance(
        module, _CONTAINERS
    )


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _for_one(tensor: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return (1, *shape[1:]) if shape and shape[0] == BATCH else shape


def _by_mask(args: Any) -> bool:
    return any(index.dtype in (torch.bool, torch.uint8) for index in _tensors(args[1:]))


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


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) if prod(shape) else "nothing"
