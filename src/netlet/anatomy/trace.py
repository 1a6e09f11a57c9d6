"""Running a net once and writing down what it did: which layers and functions, on what, costing how much.

The net runs for real on two blank images, so that branches, functions, shared layers and lazy layers are seen as they
are. Modules are seen through hooks, everything else through the operations that PyTorch dispatches. If the net reads a
value back (to choose a path by it, say), receptive fields and totals from there on are not known and not guessed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.anatomy import operations
from netlet.anatomy.fields import Field, FieldMap, of_input
from netlet.anatomy.operations import Window
from netlet.errors import NetError

# Two, since some nets squeeze away a batch of one.
_BATCH = 2
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass
class Step:
    """A layer or function that ran once; a container if other steps ran inside it."""

    path: str  # as in named_modules(); of a function: the module it ran in
    kind: str  # the class's name, or the function's
    depth: int  # 0 for the net itself
    module: nn.Module | None  # None: a function
    order: int = 0  # by beginning
    done: int = 0  # by end
    leaf: bool = True
    own: int = 0  # parameters of its own, those counted before left out
    repeated: bool = False  # a module that ran before
    tied: bool = False  # holds parameters that another module brought
    output: tuple[int, ...] = ()  # shape for one image, the batch dimension being 1
    macs: int | None = 0  # multiply-adds of one image
    field: Field = None
    functions: list[str] = dataclasses.field(default_factory=list)  # what it called, if it is no layer of torch's
    windows: list[Window] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """What a table calls it."""
        return self.path or "(net)"


@dataclass
class Trace:
    """What one run of a net showed."""

    net: nn.Module
    shape: tuple[int, ...]  # of the input, without the batch
    steps: list[Step]
    value_dependent: str | None  # where the net first read a value back
    unused: list[tuple[str, int]]  # modules with parameters that never ran, and how many
    activation_bytes: int | None

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the net's output for one image, batch dimension included."""
        return self.steps[0].output

    @property
    def field(self) -> Field:
        """The receptive field of the net's output."""
        return self.steps[0].field

    def leaves(self) -> list[Step]:
        """What did the work: layers and functions, in the order in which they finished."""
        return sorted((step for step in self.steps if step.leaf), key=lambda step: step.done)

    def macs(self) -> int | None:
        """Multiply-adds of one image; None where they depend on the image or cannot be counted."""
        if self.value_dependent:
            return None
        found = [step.macs for step in self.steps if step.leaf]
        return None if any(macs is None for macs in found) else sum(macs or 0 for macs in found)


def trace(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> Trace:
    """Run a net once, in evaluation mode, and write down what it did.

    Args:
        net: As it is; only lazy layers change: they take their shapes from this run.
        shape: Of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image, or gives no tensor; names the layer and the shape it got.
    """
    recorder = _Recorder(net)
    x = torch.zeros(_BATCH, *shape, device=_device(net))
    recorder.begin(x)
    with _evaluating(net), torch.random.fork_rng(devices=[]), torch.no_grad(), recorder.hooked():
        try:
            with _Dropouts(recorder), recorder:
                out = net(x)
        except Exception as error:
            raise NetError(recorder.failure(error, tuple(shape))) from error
    if _first_tensor(out) is None:
        raise NetError(f"{type(net).__name__}: gives a {type(out).__name__} without a tensor; it must give logits N K")
    return Trace(
        net=net,
        shape=tuple(shape),
        steps=recorder.steps,
        value_dependent=recorder.value_dependent,
        unused=recorder.unused(),
        activation_bytes=None if recorder.value_dependent else recorder.peak_bytes(),
    )


class _Recorder(TorchDispatchMode):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.steps: list[Step] = []
        self.value_dependent: str | None = None
        self._paths = {module: path for path, module in net.named_modules()}
        self._stack: list[Step] = []
        self._known = FieldMap()
        self._counted: set[nn.Parameter] = set()
        self._ran: set[nn.Module] = set()
        self._ended = 0
        self._doing = ""
        self._uses: list[tuple[bool, list[torch.Tensor], list[torch.Tensor]]] = []

    def begin(self, x: torch.Tensor) -> None:
        self._known[x] = of_input(x.shape)
        self._uses.append((False, [], [x]))

    @contextmanager
    def hooked(self) -> Iterator[None]:
        handles = []
        for module in self.net.modules():
            if not any(_atomic(parent) for parent in self._parents(module)):
                handles.append(module.register_forward_pre_hook(self._enter))
                handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _parents(self, module: nn.Module) -> Iterable[nn.Module]:
        path = self._paths[module]
        while path:
            path = path.rpartition(".")[0]
            yield self.net.get_submodule(path)

    def _enter(self, module: nn.Module, args: Any) -> None:
        step = Step(self._paths[module], _kind(module), len(self._stack), module, order=len(self.steps))
        if self._stack:
            self._stack[-1].leaf = False
        self.steps.append(step)
        self._stack.append(step)
        shapes = [tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor)]
        self._doing = f"{step.name} ({step.kind}) got {_by(shapes[0][1:])}" if shapes else step.name

    def _leave(self, module: nn.Module, args: Any, out: Any) -> None:
        step = self._stack.pop()
        # Here, not on entering: a lazy layer has its parameters only now.
        parameters = list(module.parameters(recurse=_atomic(module)))
        step.repeated = module in self._ran
        step.own = sum(p.numel() for p in parameters if p not in self._counted)
        step.tied = not step.repeated and any(p in self._counted for p in parameters)
        self._counted.update(parameters)
        self._ran.add(module)
        tensor = _first_tensor(out)
        if tensor is not None:
            step.output = _for_one(tensor)
            step.field = None if self.value_dependent else self._known.of(tensor)
        self._end(step)

    def _end(self, step: Step) -> None:
        step.done = self._ended
        self._ended += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        inputs = [x for x in _tensors([args, kwargs]) if x in self._known]
        if not inputs:
            return out
        if name in operations.VALUE_DEPENDENT or (name == "index" and _by_mask(args)):
            self.value_dependent = self.value_dependent or self._stack[-1].name
        outputs = list(_tensors(out))
        if outputs:
            self._note(name, func.namespace, args, kwargs, inputs, outputs)
        return out

    def _note(
        self, name: str, namespace: str, args: Any, kwargs: Any, inputs: list[torch.Tensor], outputs: list[torch.Tensor]
    ) -> None:
        if name in operations.CONSTANT:
            return
        if namespace == "aten":
            effect = operations.effect(name, args, kwargs, outputs[0], self._known)
        else:
            effect = operations.Effect(None, macs=None)
        reached = None if self.value_dependent else effect.field
        for tensor in outputs:
            # Writing into a part of a tensor changes what the whole depends on.
            if tensor._base is not None and tensor in self._known and tensor._base in self._known:
                self._known[tensor._base] = None
            self._known[tensor] = reached
        in_place = name in operations.ELEMENTWISE or "batch_norm" in name
        self._uses.append((in_place, inputs, outputs))
        self._account(name, effect, reached, outputs[0])

    def _account(self, name: str, effect: operations.Effect, reached: Field, out: torch.Tensor) -> None:
        holder = self._stack[-1]
        macs = None if effect.macs is None else effect.macs // _BATCH
        assert holder.module is not None
        if not _atomic(holder.module):
            holder.functions.append(_function_name(name))
        if self._is_one_row(holder.module):
            holder.macs = None if holder.macs is None or macs is None else holder.macs + macs
            if effect.window:
                holder.windows.append(effect.window)
            return
        if name in operations.VIEWS and name not in ("view", "_unsafe_view", "reshape"):
            return
        step = self._function("reshape" if name in operations.VIEWS else _function_name(name), out, reached)
        step.macs = macs
        step.windows = [effect.window] if effect.window else []

    def _function(self, kind: str, out: torch.Tensor, reached: Field) -> Step:
        holder = self._stack[-1]
        holder.leaf = False
        step = Step(holder.path, kind, len(self._stack), None, order=len(self.steps), output=_for_one(out))
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
            self._function("dropout", out, None if self.value_dependent else self._known.of(out))

    def _is_one_row(self, module: nn.Module) -> bool:
        """Whether its functions are summed up in its row: torch's layers, and small ones of others (not the net itself)."""
        return _atomic(module) or (module is not self.net and not any(True for _ in module.children()))

    def unused(self) -> list[tuple[str, int]]:
        found = []
        for path, module in self.net.named_modules():
            parameters = [p for p in module.parameters(recurse=False) if p not in self._counted]
            if parameters:
                found.append((path, sum(p.numel() for p in parameters)))
                self._counted.update(parameters)
        return found

    def peak_bytes(self) -> int:
        """Most bytes alive at once: a tensor lives from the operation that makes it to the last that reads it.

        Views share their memory; an element-wise operation writes over its input where nobody needs that again.
        """
        last: dict[int, int] = {}
        size: dict[int, int] = {}
        for at, (_, inputs, outputs) in enumerate(self._uses):
            for tensor in [*inputs, *outputs]:
                last[_memory(tensor)] = at
            for tensor in outputs:
                bytes_ = tensor.numel() * tensor.element_size() // _BATCH
                size[_memory(tensor)] = max(bytes_, size.get(_memory(tensor), 0))
        alive: set[int] = set()
        peak = 0
        for at, (in_place, inputs, outputs) in enumerate(self._uses):
            made = _memory(outputs[0])  # further outputs (indices, saved statistics) serve training only
            dying = {m for m in map(_memory, inputs) if last[m] == at and m != made}
            if in_place and any(size[m] == size[made] for m in dying):
                alive -= dying
                dying = set()
            alive.add(made)
            peak = max(peak, sum(size[m] for m in alive))
            alive -= dying
        return peak

    def failure(self, error: Exception, shape: tuple[int, ...]) -> str:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        return (
            f"{self._doing or _kind(self.net)}: {reason} (input {_by(shape)}; another size is given with --input C,H,W)"
        )


class _Dropouts(TorchFunctionMode):
    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if "dropout" in getattr(func, "__name__", ""):
            self._recorder.dropped(out)
        return out


def _kind(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))


def _atomic(module: nn.Module) -> bool:
    """Whether what happens inside is its own affair: torch's own layers, even those with parts, and scripted nets."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    return type(module).__module__.startswith("torch.nn.modules") and not isinstance(module, _CONTAINERS)


def _device(net: nn.Module) -> torch.device:
    return next((p.device for p in net.parameters()), torch.device("cpu"))


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _first_tensor(value: Any) -> torch.Tensor | None:
    return next(_tensors(value), None)


def _for_one(tensor: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return (1, *shape[1:]) if shape and shape[0] == _BATCH else shape


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _by_mask(args: Any) -> bool:
    return any(index.dtype in (torch.bool, torch.uint8) for index in _tensors(args[1:]))


_FUNCTION_NAMES = {
    "convolution": "conv", "addmm": "linear", "mm": "linear", "bmm": "matmul", "baddbmm": "matmul",
    "max_pool2d_with_indices": "max_pool2d", "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_log_softmax": "log_softmax", "_softmax": "softmax", "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm", "native_group_norm": "group_norm", "constant_pad_nd": "pad",
}  # fmt: skip


def _function_name(name: str) -> str:
    return _FUNCTION_NAMES.get(name, name)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) if prod(shape) else "nothing"
