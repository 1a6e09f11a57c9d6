"""The tracer: runs a net once and turns each ATen operation into a layer of a graph.

Tracing sees through the net's Python code (branches, loops, functions, shared layers). One run
cannot show that a net chooses a path by the values of an image. A net that reads such values back
is refused here; for the others, every export is compared with the net on many images.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.errors import ExportError, NetError
from netlet.export.graph import Graph
from netlet.export.graph_builder import BATCH, GraphBuilder
from netlet.export.operations import PASS_THROUGH, add_operation
from netlet.export.unsupported import RANDOM_OPERATIONS, SUPPORTED
from netlet.nets.eval_mode import eval_mode
from netlet.nets.outputs import extract_logits
from netlet.text import format_shape


def trace_graph(net: nn.Module, shape: Sequence[int], mean: float, std: float) -> Graph:
    """Trace a net into a graph from gray levels 0 to 255 to logits, input normalization included.

    A softmax or log-softmax at the end is left out: log-probabilities differ from logits by a
    constant for each image.

    Args:
        net: Any module. It runs in evaluation mode on the CPU and is left unchanged.
        shape: Of one image, ``C H W``.
        mean: Of gray levels 0 to 1, as in training; subtracted from the input.
        std: Of gray levels 0 to 1; the input is divided by it.

    Raises:
        ExportError: The net uses an operation that no export supports; the message names the layer,
            the operation and an alternative.
        NetError: The net does not run on such an image.
    """
    builder = GraphBuilder(type(net).__name__, tuple(shape))
    image = torch.zeros(BATCH, *shape)
    builder.bind(image, 0)
    builder.add_scale(0, image, 1 / (255 * std), -mean / std, name="input")
    paths = {module: path for path, module in net.named_modules()}

    def enter(module: nn.Module, _: object) -> None:
        builder.paths.append(paths.get(module, builder.paths[-1]))

    def leave(*_: object) -> None:
        builder.paths.pop()

    with eval_mode(net), torch.no_grad(), ExitStack() as hooks:
        # Global hooks, since a scripted module accepts none of its own.
        hooks.callback(register_module_forward_pre_hook(enter).remove)
        hooks.callback(register_module_forward_hook(leave).remove)
        try:
            with _TraceMode(builder):
                out = net(image)
        except ExportError:
            raise
        except Exception as error:
            raise NetError(
                f"{type(net).__name__}: does not run on an image {format_shape(shape)} ({error})"
            ) from error
        return builder.build(extract_logits(out))


class _TraceMode(TorchDispatchMode):
    """Adds every operation on tensors that depend on the image to a graph."""

    def __init__(self, builder: GraphBuilder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._builder = builder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch calls this. True would import its compiler, which takes a second, to register a
        # mode that the compiler never sees.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and add it to the graph."""
        builder, kwargs = self._builder, kwargs or {}
        name = func.overloadpacket.__name__.rstrip("_")
        read = [tensor for tensor in _find_tensors((args, kwargs)) if tensor in builder]
        if name not in PASS_THROUGH and any(id(tensor) in builder.softmaxes for tensor in read):
            raise builder.unsupported(
                "softmax before the net's end", "logits, with the softmax last or in the loss"
            )
        if name in RANDOM_OPERATIONS:
            raise builder.unsupported(
                "dropout or another random operation in evaluation mode",
                "F.dropout(x, training=self.training)",
            )
        out = func(*args, **kwargs)
        if read:
            first = out[0] if isinstance(out, tuple | list) else out
            try:
                add_operation(builder, name, args, kwargs, first)
            except ExportError:
                raise
            except Exception as error:  # an unforeseen way of calling an operation
                raise builder.unsupported(
                    f"{name}, as it is called here ({error}),", SUPPORTED
                ) from error
        return out


def _find_tensors(values: Any) -> list[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    if not isinstance(values, tuple | list):
        return []
    return [tensor for value in values for tensor in _find_tensors(value)]
