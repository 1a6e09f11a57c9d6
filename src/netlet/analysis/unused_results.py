"""Notes on what a net computes although no prediction depends on it."""

from __future__ import annotations

import torch
from torch import nn

from netlet.analysis.ops import name_layer
from netlet.graph import Graph
from netlet.nets.outputs import count_tensors, name_logits
from netlet.nets.registered import list_modules

TAKEN = " is taken for the logits"  # of the note on a net that returns more


def write_returned_note(returned: object) -> list[str]:
    """Return a note if a net returns more than the logits.

    Args:
        returned: What the net returns.
    """
    number = count_tensors(returned)
    if number < 2:
        return []
    return [
        f"note: the net returns {number} tensors; {name_logits(returned)}{TAKEN}, and the others "
        "are neither scored nor exported"
    ]


def write_unused_result_notes(net: nn.Module, graph: Graph, returned: object) -> list[str]:
    """Return a note for each layer of which no result reaches the output.

    Args:
        net: The net.
        graph: The graph of the net. If it may take another path for another image, or computes
            gradients, for which it needs the weights of such layers, there are no notes.
        returned: What the net returns. If it is more than one tensor, there are no notes, since the
            graph shows only what the first one depends on.
    """
    if graph.value_dependent or graph.output is None or not isinstance(returned, torch.Tensor):
        return []
    nodes = [graph.nodes[number - 1] for number in graph.needed()]
    if any(node.operation.name.endswith("_backward") for node in nodes):
        return []
    needed = {node.path for node in nodes}
    unused = {node.path for node in graph.nodes} - needed
    return [
        f"note: {name_layer(path, type(module).__name__)} runs, but the output does not depend "
        "on it"
        for path, module in list_modules(net)
        if path in unused and len(list_modules(module)) == 1
    ]
