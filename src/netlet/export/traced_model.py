"""A trained net together with its traced graph: what every export is generated from."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from netlet.analysis import cost
from netlet.budgets import ModelCost, Verdict
from netlet.data.batches import normalize
from netlet.display import Displayed
from netlet.errors import ExportError, check_argument, warn
from netlet.evaluation.evaluate import TRAIN_AGAIN
from netlet.experiments import TrainedNet
from netlet.export import reference
from netlet.export.build_graph import lower_graph, trace_evaluation
from netlet.export.fold import fold_graph
from netlet.export.inference_graph import FinalSoftmax, InferenceGraph
from netlet.export.input_words import describe_levels
from netlet.export.progress import OnProgress, ignore_progress
from netlet.files import safe_name
from netlet.graph import Graph, Tracer
from netlet.nets import weights_digest
from netlet.nets.copying import copy_to_cpu
from netlet.nets.outputs import count_tensors, extract_logits, name_logits
from netlet.text import dump_json, escape_controls, format_shape

_NOISE_IMAGES = 16
_TOLERANCE = 1e-3  # relative to the largest logit
_LEAST_PROBABILITY = 1e-30  # smaller ones count as this one


@dataclass(frozen=True)
class TracedModel(Displayed):
    """A trained net and its graph.

    A ``TrainedNet`` is a PyTorch module with its weights and preprocessing; a ``TracedModel`` adds
    the folded graph that replaces the module in every export.
    """

    source: TrainedNet
    graph: InferenceGraph  # folded; from gray levels 0 to 255 to logits
    cost: ModelCost  # of the net as trained, before folding
    digest: str  # of its weights
    traced: Graph  # of the net as its code has it, in evaluation mode

    @property
    def stem(self) -> str:
        """A file name without suffix, from the net's name."""
        return safe_name(self.source.name.rpartition(":")[2]) or "net"

    @property
    def verdict(self) -> Verdict | None:
        """The budget's verdict on the net's size; None without a budget."""
        budget = self.source.budget
        return budget.judge(self.cost) if budget else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; numbers if there are more or fewer logits than class names."""
        names, classes = self.source.class_names, self.graph.classes
        return names if len(names) == classes else tuple(map(str, range(classes)))

    @property
    def metadata(self) -> dict[str, str]:
        """What an export says about itself, as printable text; ``labels`` is a JSON list."""
        budget = {"budget": self.source.budget.name} if self.source.budget else {}
        softmax = self.graph.final_softmax
        levels = "gray levels" if self.source.shape[0] == 1 else "levels"
        values = {
            "net": Path(self.source.name).name,  # without the folder of a user's file
            **budget,
            "parameters": str(self.cost.parameters),
            "digest": self.digest,
            "labels": dump_json(self.labels),
            "input": f"{format_shape(self.source.shape)}, "
            f"{describe_levels(self.source.shape[0])}, not normalized",
            "normalization": f"{self.source.normalization} of {levels} 0 to 1, inside",
            "output": f"{self.graph.classes} logits"
            + (f", without the net's final {softmax}" if softmax else ""),
        }
        return {key: escape_controls(value) for key, value in values.items()}

    def _facts(self) -> Mapping[str, object]:
        return {
            "name": self.source.name,
            "layers": len(self.graph.layers),
            "parameters": self.cost.parameters,
            "classes": self.graph.classes,
            "digest": self.digest[:16],
        }


def trace_model(trained: TrainedNet, on_progress: OnProgress = ignore_progress) -> TracedModel:
    """Trace a trained net and check its graph on random images.

    Args:
        trained: The net.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: The net uses an operation that no export supports, behaves differently from one
            image to another, or has weights that are not finite.
    """
    check_argument(trained, TrainedNet)
    trained = dataclasses.replace(trained, net=copy_to_cpu(trained.net))
    _refuse_not_finite(trained)
    on_progress("tracing")
    traced = trace_evaluation(trained.net, trained.shape)
    name = type(trained.net).__name__
    graph = fold_graph(lower_graph(traced, name, trained.mean, trained.std))
    _check_graph(graph, trained)
    found = cost(trained.net, trained.shape)
    return TracedModel(trained, graph, found, weights_digest(trained.net), traced)


def _refuse_not_finite(trained: TrainedNet) -> None:
    """Refuse a net whose parameters or buffers are not finite.

    Raises:
        ExportError: One is not; a buffer of infinite values may be a mask, so no training made it.
    """
    parameters = dict(trained.net.named_parameters(remove_duplicate=False))
    for key, value in trained.net.state_dict().items():
        if bool(value.isfinite().all()):
            continue
        if key in parameters or bool(value.isnan().any()):
            raise ExportError(
                f"{trained.name}: {key} holds NaN or infinite values, so the training diverged; "
                "train it again with a lower learning rate"
            )
        raise ExportError(
            f"{trained.name}: the buffer {key} holds infinite values, which cannot be exported; "
            "use large finite ones for a mask, such as -1e9, or train it again"
        )


def _check_graph(graph: InferenceGraph, trained: TrainedNet) -> None:
    """Compare a graph with its net on random images.

    This shows what one traced run cannot, such as a path that depends on the values of an image.

    Raises:
        ExportError: The graph computes something else.
    """
    noise = torch.randint(
        256,
        (_NOISE_IMAGES, *graph.shape),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )
    noise[::2] *= (noise[::2, :, :1] > 127).to(torch.uint8)  # dark columns in every other image
    with torch.no_grad():
        returned = trained.net(normalize(noise, trained.recipe))
    outputs = extract_logits(returned)
    if not bool(outputs.isfinite().all()):
        where = _find_not_finite(trained, noise)
        raise ExportError(f"{trained.name}: returns NaN or infinite numbers{where}: {TRAIN_AGAIN}")
    if (number := count_tensors(returned)) > 1:
        text = (
            f"{trained.name}: returns {number} tensors; only {name_logits(returned)}, which is "
            "taken for the logits, is exported"
        )
        warn(text)
    expected = outputs_to_compare(outputs, graph.final_softmax)
    actual = reference.compute_logits(graph, noise)
    actual = logits_to_compare(actual, graph.final_softmax)
    limit = _TOLERANCE * expected.abs().max().clamp(min=1)
    if not bool(((expected - actual).abs() <= limit).all()):
        if _computes_in_half(trained, noise):
            raise ExportError(
                f"{trained.name}: cannot be exported, since it computes in 16 bits (as with "
                "torch.autocast in forward), and exports compute in float32; leave that out of "
                "forward: training uses bf16 by itself"
            )
        raise ExportError(
            f"{trained.name}: cannot be exported, since what it computes depends on the values of "
            "the images (as with an if in forward), or it changes a tensor in place that it reads "
            "again later; write it without such operations"
        )


def _computes_in_half(trained: TrainedNet, noise: torch.Tensor) -> bool:
    """Return whether a net computes in bfloat16 or float16."""
    run = Tracer(trained.net, normalize(noise, trained.recipe)).run()
    outputs = [tensor for call in run.root.calls() for tensor in call.outputs]
    return any(tensor.dtype in (torch.bfloat16, torch.float16) for tensor in outputs)


def _find_not_finite(trained: TrainedNet, images: torch.Tensor) -> str:
    """Return the first layer that makes numbers that are not finite from others that are.

    Args:
        trained: A net that returns such numbers.
        images: The images, uint8 ``N C H W``, for which it does.

    Returns:
        The words for a message; empty if it is no layer, but a function.
    """
    found: list[str] = []

    def look(name: str, layer: nn.Module, args: tuple[object, ...], out: object) -> None:
        tensors = [[one for one in some if isinstance(one, torch.Tensor)] for some in (args, [out])]
        before, after = (all(bool(one.isfinite().all()) for one in some) for some in tensors)
        if before and not after:
            found.append(f"{name} ({type(layer).__name__})")

    layers = [(name, one) for name, one in trained.net.named_modules() if name]
    hooks = [one.register_forward_hook(functools.partial(look, name)) for name, one in layers]
    try:
        with torch.no_grad():
            trained.net(normalize(images, trained.recipe))
    finally:
        for hook in hooks:
            hook.remove()
    return f", first in the layer {found[0]}" if found else ""


def outputs_to_compare(outputs: torch.Tensor, final_softmax: FinalSoftmax) -> torch.Tensor:
    """Return a net's outputs as log-probabilities if it ends in a softmax, else unchanged.

    Args:
        outputs: The outputs of the net, ``N K``.
        final_softmax: The softmax that the net ends in.
    """
    return outputs.clamp(min=_LEAST_PROBABILITY).log() if final_softmax == "softmax" else outputs


def logits_to_compare(logits: torch.Tensor, final_softmax: FinalSoftmax) -> torch.Tensor:
    """Return an export's logits in the form in which ``outputs_to_compare`` gives the net's.

    Args:
        logits: The logits of the export, ``N K``.
        final_softmax: The softmax that the net ends in.
    """
    if not final_softmax:
        return logits
    log_probabilities = logits.log_softmax(1)
    if final_softmax == "log_softmax":
        return log_probabilities
    # Small probabilities vanish in float32, their logarithms do not.
    return log_probabilities.clamp(min=math.log(_LEAST_PROBABILITY))
