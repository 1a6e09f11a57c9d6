"""Write a net as plain PyTorch: a line of Python for each operation of its graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from netlet.display import Displayed
from netlet.errors import ExportError
from netlet.export import torch_operations
from netlet.export.torch_builder import WRITERS, SourceBuilder
from netlet.export.unsupported import RANDOM, READS_CHANGED_TENSOR, READS_VALUES, unsupported
from netlet.graph import Graph, Node, trace_graph
from netlet.graph.operations import Dropout, Opaque, Reshape, Softmax
from netlet.nets.eval_mode import eval_mode

Output = Literal["logits", "softmax", "log_softmax"]
READERS = (torch_operations,)  # they register their functions when they are imported


@dataclass(frozen=True)
class TorchSource(Displayed):
    """A net as the body of a function of PyTorch.

    Attributes:
        lines: Python statements that read the images ``x0`` (normalized, ``N C H W``) and the
            tensors ``w`` by name, and need ``torch`` and ``torch.nn.functional`` as ``F``.
        result: The name of the variable that holds the output, ``N K``.
        output: What the net returns.
        constants: Tensors that the lines read beside those of the net, by name.
    """

    lines: tuple[str, ...]
    result: str
    output: Output
    constants: dict[str, torch.Tensor] = field(repr=False)


def write_source(net: nn.Module, shape: Sequence[int]) -> TorchSource:
    """Return a net as plain PyTorch, in evaluation mode.

    Args:
        net: Any module. It runs in evaluation mode on the CPU and is left unchanged.
        shape: The shape of one image, ``C H W``.

    Raises:
        ExportError: The net uses an operation that cannot be written; the message names it.
        NetError: The net does not run on such an image.
    """
    name = type(net).__name__
    with eval_mode(net):
        graph = trace_graph(net, shape)
    _check_graph(graph, name)
    builder = SourceBuilder(name, frozenset(net.state_dict()), graph)
    lines = []
    for number in graph.needed():
        node = builder.node = graph.nodes[number - 1]
        expression = _write_node(builder, node)
        lines.append(f"x{number} = {expression}{_comment(node)}")
    assert graph.output is not None
    return TorchSource(
        tuple(lines), f"x{graph.output}", _find_output(graph), dict(builder.constants)
    )


def _check_graph(graph: Graph, name: str) -> None:
    for where, reason in (
        (graph.value_dependent, READS_VALUES),
        (graph.random, RANDOM),
        (graph.stale, READS_CHANGED_TENSOR),
        (graph.changes, ("writing to a parameter or buffer", "operations that change no weights")),
    ):
        if where:
            raise unsupported(where, *reason)
    if not graph.output or len(graph.nodes[graph.output - 1].shape) != 1:
        raise ExportError(
            f"{name}: its output is not logits of shape (N, K) computed from the image; return "
            "logits"
        )


def _write_node(builder: SourceBuilder, node: Node) -> str:
    operation = node.operation
    writer = WRITERS.get(type(operation))
    if writer is None or not node.batched:
        why = operation.why if isinstance(operation, Opaque) else ""
        builder.refuse(operation.name + (f" ({why})" if why else ""))
    return writer(builder, node, operation)


def _find_output(graph: Graph) -> Output:
    """Return what the net returns: what its last operation is, but for those that keep it."""
    assert graph.output is not None
    node = graph.nodes[graph.output - 1]
    while isinstance(node.operation, Reshape | Dropout) and node.inputs[0]:
        node = graph.nodes[node.inputs[0] - 1]
    operation = node.operation
    return operation.function if isinstance(operation, Softmax) else "logits"


def _comment(node: Node) -> str:
    """Return the module of a node as a comment; its name comes from somebody else."""
    path = re.sub(r"[^\w.-]", "_", node.path)
    return f"  # {path}" if path else ""
