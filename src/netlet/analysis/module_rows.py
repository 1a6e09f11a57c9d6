"""The layers and functions of a run, as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from netlet.analysis.field_rules import Effect
from netlet.analysis.fields import Field
from netlet.analysis.image_counts import count_calls
from netlet.analysis.ops import Op, UnrunModule, name_layer
from netlet.analysis.windows import include_padding
from netlet.graph import BATCH, Execution, FunctionCall, ModuleRun
from netlet.graph.aten_names import VIEWS
from netlet.graph.rare_operations import EdgePadding
from netlet.graph.tensors import address
from netlet.nets.registered import count_numbers, list_parameters, own_parameters
from netlet.nets.sources import locate_line

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Functions that a table calls by another name than PyTorch's dispatcher.
_NAMES = {
    "convolution": "conv",
    "_convolution": "conv",
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
    "_cdist_forward": "cdist",
    "_euclidean_dist": "cdist",
    "_fft_c2c": "fft",
    "_fft_c2r": "irfft",
    "_fft_r2c": "fft",
}
_ROW_NAMES = dict.fromkeys(("view", "_unsafe_view", "reshape"), "reshape")
# Functions that only look at a value in another way have no row.
_WITHOUT_ROW = VIEWS - set(_ROW_NAMES) - {"imag", "lift_fresh", "real"}


def is_atomic(module: nn.Module) -> bool:
    """Return whether a module is shown as a whole: torch's own layers, and scripted modules."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    return type(module).__module__.startswith("torch.nn.modules") and not isinstance(
        module, _CONTAINERS
    )


def shown_run(run: ModuleRun) -> ModuleRun:
    """Return the run that a run is shown as: the one of an atomic module that it is a part of."""
    shown, above = run, run.parent
    while above is not None:
        if is_atomic(above.module):
            shown = above
        above = above.parent
    return shown


def shown_name(run: ModuleRun) -> str:
    """Return the name of a run in tables."""
    return shown_run(run).path or "(net)"


def name_run(run: ModuleRun) -> str:
    """Return what notes call the layer of a run."""
    shown = shown_run(run)
    return name_layer(shown.path, shown.kind)


def name_reader(run: ModuleRun, read_at: tuple[str, int] | None) -> str:
    """Return the layer of a run that read a value of a tensor, after the line of its code.

    Args:
        run: The run.
        read_at: The file and the line; None if they are not known.
    """
    name = name_run(run)
    if read_at is None:
        return name
    filename, line = read_at
    file = Path(filename)
    # A notebook's kernel compiles each cell as a file with a number as its name.
    known = file.suffix == ".py" and not file.stem.isdigit()
    where = locate_line(filename, line) or (
        f"{file.name}, line {line}" if known else f"line {line}"
    )
    return f"{where}: {name}"


@dataclass(frozen=True)
class Rows:
    """The layers and functions of a run.

    Attributes:
        ops: In the order in which they started; the first is the net.
        called_by_parts: Modules that did not run although operations read their parameters, as in
            ``F.linear(x, layer.weight)``.
        unused: Modules that never ran and none of whose parameters was read.
    """

    ops: list[Op]
    called_by_parts: list[UnrunModule]
    unused: list[UnrunModule]


def list_rows(
    execution: Execution,
    larger: Execution | None,
    effects: list[Effect],
    modules: Mapping[str, nn.Module],
    made: Mapping[torch.Tensor, torch.Tensor | None] = MappingProxyType({}),
) -> Rows:
    """Return the layers and functions of a run.

    Args:
        execution: The run.
        larger: A run of the same net on one image more; None if it does not run on that.
        effects: For each value of the run's graph.
        modules: Those of the net by path, as they were registered when it ran.
        made: Parameters that do not count, since the net has made them for this run, each with the
            one that counts in its place, if any.
    """
    writer = _Writer(execution, larger, effects, made)
    writer.add_run(execution.root, 0)
    read, unused = writer.find_idle(modules, execution.read)
    return Rows(writer.ops, read, unused)


class _Writer:
    """Writes the rows of a run in order."""

    def __init__(
        self,
        execution: Execution,
        larger: Execution | None,
        effects: list[Effect],
        made: Mapping[torch.Tensor, torch.Tensor | None],
    ) -> None:
        self.ops: list[Op] = []
        self._net = execution.root.module
        self._effects = effects
        self._macs = count_calls(execution, larger)
        self._counted: set[torch.Tensor] = set()
        self._made = made
        self._ran: set[nn.Module] = set()
        self._finished = 0  # operations

    def add_run(self, run: ModuleRun, depth: int) -> Op:
        """Add a module and all that ran in it."""
        module = run.module
        op = Op(run.path, run.kind, depth, module)
        self.ops.append(op)
        last: FunctionCall | None = None
        for step in run.calls() if is_atomic(module) else run.steps:
            if isinstance(step, ModuleRun):
                op.leaf = False
                self.add_run(step, depth + 1)
            else:
                self._add_call(op, step, last if is_atomic(module) else None)
                last = step
        self._count_parameters(op, module)
        if run.output is not None:
            op.of_weights = _is_of_weights(run)
            op.output = (1, *run.output) if op.of_weights else _shape_for_one(run.output)
            op.field = self._field(run.value, after_read=run.after_read)
        self._finish(op)
        return op

    def _add_call(self, caller: Op, call: FunctionCall, last: FunctionCall | None) -> None:
        """Add a function to the module that called it, or as a row of its own.

        Args:
            caller: The module.
            call: The function.
            last: The function that the same layer of torch called before; None if there is none.
        """
        assert caller.module is not None
        macs = self._macs[call]
        if call.constant and macs == 0:
            return
        name = _NAMES.get(call.function, call.function)
        if call.constant and name == "linear":
            name = "matmul"  # a product of weights is not a dense layer
        if not is_atomic(caller.module):
            caller.functions.append(name)
        window = None
        if call.operation is not None and call.value is not None:
            window = self._effects[call.value].window
            if window and last and isinstance(last.operation, EdgePadding):
                window = include_padding(window, last.operation.sizes)
        if self._is_one_row(caller.module):
            if macs is None and not is_atomic(caller.module):
                caller.uncounted.append(name)
            caller.macs = None if caller.macs is None or macs is None else caller.macs + macs
            if window:
                caller.windows.append(window)
            return
        if call.function in _WITHOUT_ROW:
            return
        caller.leaf = False
        kind = _ROW_NAMES.get(name, name)
        op = Op(caller.path, kind, caller.depth + 1, None, macs=macs)
        op.output = _shape_for_one(call.output_shape)
        if call.constant and call.output_shape[:1] != (BATCH,):
            op.output = (1, *call.output_shape)
        op.field = self._field(call.value, after_read=call.after_read)
        op.windows = [window] if window else []
        self.ops.append(op)
        self._finish(op)

    def _field(self, value: int | None, *, after_read: bool) -> Field:
        return None if value is None or after_read else self._effects[value].field

    def _is_one_row(self, module: nn.Module) -> bool:
        """Return whether a module's functions are summed in its row instead of having their own.

        True for torch's layers and for other modules without children, except the net itself.
        """
        return is_atomic(module) or (
            module is not self._net and not any(True for _ in module.children())
        )

    def _count_parameters(self, op: Op, module: nn.Module) -> None:
        parameters = (
            [tensor for _, tensor in list_parameters(module)]
            if is_atomic(module)
            else own_parameters(module)
        )
        parameters = self._drop_made(parameters)
        op.repeated = module in self._ran
        op.own_parameters = count_numbers(p for p in parameters if p not in self._counted)
        op.tied = not op.repeated and any(p in self._counted for p in parameters)
        self._counted.update(parameters)
        self._ran.add(module)

    def _drop_made(self, parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        counting = (self._made.get(p, p) for p in parameters)
        return [p for p in counting if p is not None]

    def _finish(self, op: Op) -> None:
        op.end_order = self._finished
        self._finished += 1

    def find_idle(
        self, modules: Mapping[str, nn.Module], read: Set[int | None]
    ) -> tuple[list[UnrunModule], list[UnrunModule]]:
        """Return the modules with parameters that no row has.

        Args:
            modules: All of the net by path.
            read: Addresses of all tensors that were read.

        Returns:
            Those of which an operation has read a parameter, and the others.
        """
        used: list[UnrunModule] = []
        unused: list[UnrunModule] = []
        for path, module in modules.items():
            parameters = self._drop_made(own_parameters(module))
            parameters = [p for p in parameters if p not in self._counted]
            if not parameters:
                continue
            lazy = any(nn.parameter.is_lazy(p) for p in parameters)
            numbers = None if lazy else count_numbers(parameters)
            addresses = {address(p) for p in own_parameters(module)} - {None}
            (used if addresses & read else unused).append(
                UnrunModule(path, type(module).__name__, numbers)
            )
            self._counted.update(parameters)
        return used, unused


def _is_of_weights(run: ModuleRun) -> bool:
    """Return whether a module computes its output from weights alone, as a parametrization."""
    return run.value is None and not run.after_read and all(call.constant for call in run.calls())


def _shape_for_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape for one image, with a batch dimension of 1."""
    if not shape or shape[0] in (1, BATCH):
        return (1, *shape[1:]) if shape else shape
    # The first dimension holds something else as well, such as the channels of all images.
    images, left = divmod(shape[0], BATCH)
    return (1, *(shape if left else (images, *shape[1:])))
