"""Trace a net: run it once on blank images and record what it does.

Everything is seen as it is dispatched by PyTorch, below the net's Python code. So modules and
functions, branches, loops, shared layers and lazy layers give the same graph if they compute the
same. Dropout alone is recorded above the dispatcher, since it dispatches nothing in evaluation
mode.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch._ops import HigherOrderOperator
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.errors import NetError, first_line
from netlet.graph.argument_checks import VALIDATION, one_hot_of
from netlet.graph.call import (
    bind_arguments,
    find_circular_padding,
    find_complex_convolution,
    refuse_wrong_state,
    wrap_numbers,
)
from netlet.graph.execution import Execution, Observer
from netlet.graph.graph import Graph
from netlet.graph.held_settings import HeldSetting
from netlet.graph.host_generators import HostGenerators
from netlet.graph.module_runs import ModuleRun
from netlet.graph.operations import Dropout
from netlet.graph.raised_warnings import collect_warnings
from netlet.graph.recorder import Recorder
from netlet.graph.tensors import list_tensors
from netlet.nets.compiled_nets import unwrap, without_compiler
from netlet.text import format_shape

# Images in the traced batch. Two, since some nets squeeze away a batch dimension of one.
BATCH = 2
# So that layers of transformers call single operations instead of one for all of it.
_FAST_PATHS = HeldSetting(
    torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled, False
)
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


def trace_graph(net: nn.Module, shape: Sequence[int]) -> Graph:
    """Run a net once, in the mode that it is in, and return what it computes.

    Args:
        net: On the CPU. In training mode the run changes its running statistics, as every run does.
        shape: The shape of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image.
    """
    try:
        return Tracer(unwrap(net), torch.zeros(BATCH, *shape)).run().graph
    except Exception as error:
        reason = first_line(error)
        raise NetError(
            f"{type(net).__name__}: does not run on an image {format_shape(shape)} ({reason})"
        ) from error


class Tracer:
    """A run of a net that is recorded.

    Args:
        net: Any module.
        images: The batch to run it on, ``N C H W``.
        observers: What else watches the run.
    """

    def __init__(
        self, net: nn.Module, images: torch.Tensor, observers: Sequence[Observer] = ()
    ) -> None:
        self._net = net
        self._images = images
        self._recorder = Recorder(net, images)
        self._observers = tuple(observers)
        self._thread = threading.get_ident()

    @property
    def last_module(self) -> ModuleRun:
        """The run of a module that started last; if the net raises, the one that failed."""
        return self._recorder.runs.last

    def run(self) -> Execution:
        """Run the net, once, in the mode that it is in. It may raise any exception."""
        recorder, self._thread = self._recorder, threading.get_ident()
        self._generators = HostGenerators(self._net)
        recorder.caller = sys._getframe().f_code
        raised = collect_warnings(lambda: recorder.runs.current)
        with raised as found, torch.no_grad(), without_compiler(), ExitStack() as hooks:
            hooks.enter_context(VALIDATION.held())
            hooks.enter_context(_FAST_PATHS.held())
            # Global hooks, since a scripted module accepts none of its own.
            hooks.callback(register_module_forward_pre_hook(self._enter_module).remove)
            # Called also when a module raises, since the net may catch that.
            left = register_module_forward_hook(self._leave_module, always_call=True)
            hooks.callback(left.remove)
            functions = _FunctionMode(recorder, self._observers)
            with functions, _DispatchMode(recorder, self._observers):
                returned = self._net(self._images)
        self._look_for_draws(self._net)  # of its own hooks, which run after the tracer's
        return dataclasses.replace(recorder.finish(returned), warnings=tuple(found))

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        if threading.get_ident() == self._thread:
            self._look_for_draws(module)
            self._recorder.runs.enter(module, args)
        elif self._recorder.runs.has(module):
            self._recorder.note_unseen()

    def _leave_module(self, module: nn.Module, _: object, returned: Any) -> None:
        if threading.get_ident() == self._thread:
            self._look_for_draws(module)
            self._recorder.leave_module(module, returned)

    def _look_for_draws(self, module: nn.Module) -> None:
        # It takes time, and layers of PyTorch draw from no other generators than its own.
        of_pytorch = type(module).__module__.startswith("torch.") and module is not self._net
        if not of_pytorch and self._generators.have_moved():
            self._recorder.note_random()


class _DispatchMode(TorchDispatchMode):
    """Passes every operation to a recorder and to observers."""

    supports_higher_order_operators = True  # PyTorch reads this

    def __init__(self, recorder: Recorder, observers: tuple[Observer, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder
        self._observers = observers

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch calls this. True would import its compiler, which takes a second, to register a
        # mode that the compiler never sees.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return self._run_branches(func, args, kwargs)
        args = wrap_numbers(func, args)
        refuse_wrong_state(func, bind_arguments(func, args, kwargs))
        result = self._decompose(func, args, kwargs)
        if result is not NotImplemented:
            return result
        current = self._recorder.runs.current
        for observer in self._observers:
            observer.dispatching(func, args, kwargs, current)
        result = func(*args, **kwargs)
        self._refuse_nested((args, kwargs, result))
        for observer in self._observers:
            observer.dispatched(func, args, kwargs, result, current)
        self._recorder.record(func, args, kwargs, result)
        return result

    def _refuse_nested(self, values: Any) -> None:
        """Refuse tensors that have no shape, which nothing of netlet can describe.

        Raises:
            NetError: There is one.
        """
        if any(tensor.is_nested for tensor in list_tensors(values)):
            run = self._recorder.runs.current
            raise NetError(
                f"{run.path or run.kind}: computes with a nested tensor, whose parts differ in "
                "shape, and netlet follows only tensors of one shape; pad the parts and use a mask"
            )

    def _run_branches(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run the functions that an operation such as ``torch.cond`` is given, in this mode.

        Raises:
            NetError: It runs them in an unknown way.
        """
        name = func.name()
        with self:
            if name == "cond":
                predicate, yes, no, operands = args
                return (yes if predicate else no)(*operands)
            if name in ("wrap_with_set_grad_enabled", "wrap_with_autocast"):
                at = next(i for i, value in enumerate(args) if callable(value))
                return args[at](*args[at + 1 :])
        raise NetError(f"netlet cannot follow torch's {name}; write it as a loop in Python")

    def _decompose(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Call the operations that an operation consists of, in this mode, and return the result.

        In inference mode, PyTorch dispatches an operation such as ``linear`` as a whole.

        Returns:
            NotImplemented if it does not consist of others.
        """
        # Not func.decompose(), which prefers PyTorch's decompositions in Python if other code has
        # imported them, and these have other operations.
        known = func.namespace != "prim"  # the dispatcher has no entries for these
        if not known or not torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            return NotImplemented
        with self:
            return func._op_dk(_COMPOSITE, *args, **kwargs)


class WithoutDropout(TorchFunctionMode):
    """A mode in which dropout, also as a function, drops nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        function = _DROPOUTS.get(name.removesuffix("_"))
        if function is None:
            out = func(*args, **kwargs)
            self.note_call(name, args, out)
            return out
        x = args[0] if args else kwargs["input"]
        in_place = kwargs.get("inplace", False) or name.endswith("_")
        out = self.view(x) if not in_place else x
        rate = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
        active = args[2] if len(args) > 2 else kwargs.get("training", kwargs.get("train", True))
        self.note(Dropout(function, float(rate), bool(active)), x, out)
        return out

    def view(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor's values as another tensor."""
        return x.view(x.shape)

    def note(self, operation: Dropout, x: torch.Tensor, out: torch.Tensor) -> None:
        """Do something about a dropout that was called."""

    def note_call(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Do something about another function that was called."""


class _FunctionMode(WithoutDropout):
    """Passes every dropout to a recorder, and drops nothing; passes all else to observers."""

    def __init__(self, recorder: Recorder, observers: tuple[Observer, ...]) -> None:
        super().__init__()
        self._recorder = recorder
        self._observers = observers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        self._recorder.function = "" if name.startswith("_") else name  # not of x / y and the like
        self._recorder.calls += 1
        try:
            return self._call(func, types, args, kwargs)
        finally:
            self._recorder.function = ""

    def _call(self, func: Any, types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        one_hot = one_hot_of(getattr(func, "__name__", ""), args, kwargs)
        if one_hot is not None:
            return one_hot
        convolution = find_complex_convolution(func, args, kwargs)
        if convolution is not None:
            with self._unrecorded():
                out = func(*args, **kwargs)
                single = out.dim() < convolution[0].dim()
                batch = out.unsqueeze(0) if single else out
            self._recorder.record(torch.ops.aten.convolution.default, convolution, {}, batch)
            return batch.squeeze(0) if single else out
        padding = find_circular_padding(func, args, kwargs)
        if padding is None or not self._recorder.is_value(padding[0]):
            return super().__torch_function__(func, types, args, kwargs)
        # It writes parts of the map to other places, where the grid of the fields would end.
        x, operation = padding
        with self._unrecorded():
            out = func(*args, **kwargs)
        self._recorder.record_function("pad", operation, x, out)
        return out

    def view(self, x: torch.Tensor) -> torch.Tensor:
        with self._unrecorded():
            return super().view(x)

    @contextmanager
    def _unrecorded(self) -> Iterator[None]:
        """Record nothing within the block, which may raise what the net catches."""
        self._recorder.paused = True
        try:
            yield
        finally:
            self._recorder.paused = False

    def note(self, operation: Dropout, x: torch.Tensor, out: torch.Tensor) -> None:
        self._recorder.record_function("dropout", operation, x, out)

    def note_call(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        self._recorder.note_call(name, args, out)
        for observer in self._observers:
            observer.called(name, args, out, self._recorder.runs.current)


_DROPOUTS = {
    "dropout": "dropout",
    "dropout1d": "dropout1d",
    "dropout2d": "dropout2d",
    "dropout3d": "dropout3d",
    "feature_dropout": "dropout2d",
    "alpha_dropout": "alpha_dropout",
    "feature_alpha_dropout": "feature_alpha_dropout",
}
