"""Slips that show only with one image, or only with many: both change what is scored."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.fx import GraphModule

from netlet.analysis.net_end import name_node
from netlet.budgets import (
    FAILS_ALONE,
    ONE_IMAGE,
    RuleResult,
    describe_one_image,
    drops_the_batch,
    one_image_remedy,
)
from netlet.errors import NetletError
from netlet.graph import Graph, Node
from netlet.graph.operations import BatchNorm, Dropout
from netlet.nets.code_state import CodeState
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import extract_logits


def write_evaluation_notes(graph: Graph) -> list[str]:
    """Return notes on layers that do in evaluation what they should do in training only.

    Args:
        graph: Of a run in evaluation mode.
    """
    nodes = [graph.nodes[number - 1] for number in sorted(graph.needed())]
    slips = [(name_node(node), _find_slip(node)) for node in nodes]
    return [f"note: {name} {slip}" for name, slip in dict.fromkeys(slips) if slip]


def _find_slip(node: Node) -> str:
    operation = node.operation
    if isinstance(operation, Dropout) and operation.active and operation.rate:
        return (
            "is active in evaluation too, so results vary; create an nn.Dropout in __init__, or "
            "pass training=self.training to F.dropout"
        )
    # Instance norm is one, too, of the maps of each image: there, no dimension is the batch.
    if isinstance(operation, BatchNorm) and operation.by_batch and node.batched:
        return (
            "normalizes by the batch in evaluation too, so the scores of an image depend on the "
            "other images; create an nn.BatchNorm2d in __init__, with running statistics"
        )
    return ""


def find_one_image_output(
    net: nn.Module, images: torch.Tensor, output: torch.Tensor, code: CodeState
) -> tuple[int, ...] | None:
    """Return the shape of a net's output for a single image, if it is not that of a row.

    Args:
        net: The net, which is run in evaluation mode.
        images: A batch ``N C H W`` of more than one image.
        output: What the net returns for it.
        code: The functions that the net must leave as they are.

    Returns:
        The shape; None if the output is ``1 K``, as for several images, and ``FAILS_ALONE`` if the
        net raises an exception.
    """
    with eval_mode(net), torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            # What the net warns of is in the notes already, from the run on several images.
            with Isolation(strict=True, code=code), warnings.catch_warnings(action="ignore"):
                alone = extract_logits(net(images[:1]))
        except NetletError:  # the net changes something outside it, which is said elsewhere
            return None
        except Exception as error:
            # What torch.export wrote may run only on as many images as it was traced on.
            exported = isinstance(net, GraphModule) and "Guard failed" in str(error)
            return None if exported else FAILS_ALONE
    shape = tuple(alone.shape)
    if output.dim() != 2 or len(output) != len(images):
        return None if len(shape) == 2 and len(alone) == 1 else shape
    expected = (1, output.shape[1])
    return shape if shape != expected and math.prod(shape) == math.prod(expected) else None


def write_one_image_note(shape: Sequence[int]) -> str:
    """Return the note on a net that returns no row of logits for a single image.

    Args:
        shape: The shape of what it returns.
    """
    what = f"for a single image, the net returns {describe_one_image(shape)}"
    if drops_the_batch(shape) or tuple(shape) == FAILS_ALONE:
        return f"note: {what}, which training and scoring refuse; {one_image_remedy(shape)}"
    needed = "not the row of class scores that training and scoring need"
    return f"note: {what}, {needed}; to classify, {one_image_remedy(shape)}"


def drop_one_image_note(
    notes: Iterable[str], shape: Sequence[int] | None, rules: Iterable[RuleResult]
) -> tuple[str, ...]:
    """Return notes without that on a single image, if a rule of a verdict says the same.

    Args:
        notes: The notes on a net.
        shape: The shape of its output for a single image; None if that is a row.
        rules: The results of the verdict.
    """
    if shape is None or all(rule.rule != ONE_IMAGE for rule in rules):
        return tuple(notes)
    said = write_one_image_note(shape)
    return tuple(note for note in notes if note != said)
