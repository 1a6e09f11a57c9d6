"""Notes on slips that show only with one image, or only with many: both change what is scored."""

from __future__ import annotations

import math

import torch
from torch import nn

from netlet.analysis.net_end import describe_node
from netlet.graph import Graph
from netlet.graph.operations import Dropout
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import SQUEEZE_REMEDY, extract_logits
from netlet.text import format_shape


def write_dropout_notes(graph: Graph) -> list[str]:
    """Return a note for each dropout that is active in evaluation, of the graph of such a run."""
    nodes = [graph.nodes[number - 1] for number in sorted(graph.needed())]
    names = [
        describe_node(node)
        for node in nodes
        if isinstance(node.operation, Dropout) and node.operation.active and node.operation.rate
    ]
    return [
        f"note: {name} is active in evaluation too, so results vary; pass training=self.training"
        for name in dict.fromkeys(names)
    ]


def write_one_image_notes(net: nn.Module, images: torch.Tensor, output: torch.Tensor) -> list[str]:
    """Return a note if a net's output has another number of dimensions for a single image.

    Args:
        net: The net, which is run in evaluation mode.
        images: A batch ``N C H W`` of more than one image.
        output: What the net returns for it.
    """
    if output.dim() != 2 or len(output) != len(images):
        return []
    with eval_mode(net), torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            with Isolation(strict=True):
                alone = extract_logits(net(images[:1]))
        except Exception:  # some nets run only on the batch that they were traced on
            return []
    expected = (1, output.shape[1])
    if alone.dim() == 2 or math.prod(alone.shape) != math.prod(expected):
        return []
    return [
        f"note: for a single image, the net returns {format_shape(alone.shape)} instead of "
        f"{format_shape(expected)}, which training and scoring refuse; {SQUEEZE_REMEDY}"
    ]
