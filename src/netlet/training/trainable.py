"""Trace a net and refuse one that cannot be trained."""

from __future__ import annotations

from torch import nn

from netlet.analysis import Trace, trace
from netlet.analysis.precision import refuse_other_images
from netlet.errors import TrainingError, warn
from netlet.nets.compiled_nets import refuse_exported
from netlet.nets.registered import list_buffers, list_parameters


def trace_trainable(net: nn.Module, shape: tuple[int, ...]) -> Trace:
    """Return the trace of a net that is about to be trained.

    Args:
        net: A net from ``N C H W`` to logits or log-probabilities ``N K``.
        shape: The shape of one image, ``C H W``.

    Raises:
        TrainingError: A lazy layer never ran, nothing in the net can be trained, or it has no
            values.
        NetError: The net does not run on such images, or was exported and has one mode only.
    """
    refuse_exported(net)
    traced = trace(net, shape)
    refuse_other_images(net, shape)
    for idle in traced.unused:
        if idle.parameters is None:
            raise TrainingError(
                f"{idle.name} ({idle.kind}) never ran, so its parameters have no shapes and cannot "
                "be trained; use it in forward or remove it"
            )
    trainable = [parameter.requires_grad for parameter in net.parameters()]
    if not trainable:
        hidden = next((weights for weights in traced.hidden if weights.numbers), None)
        remedy = (
            f"{hidden.name} is not one, neither trained nor saved: {hidden.remedy}"
            if hidden and not hidden.saved
            else "add a layer with weights"
        )
        raise TrainingError(f"{type(net).__name__} has no parameters; {remedy}")
    if not any(trainable):
        raise TrainingError(
            f"{type(net).__name__} has no trainable parameters; set requires_grad=True for those "
            "that are to be trained"
        )
    if any(tensor.is_meta for _, tensor in (*list_parameters(net), *list_buffers(net))):
        raise TrainingError(
            f"{type(net).__name__} is on the device meta, where tensors have no values; build it "
            "on the CPU"
        )
    return traced


def warn_of_untrained(traced: Trace) -> None:
    """Warn if a net computes with numbers that training does not change and no file keeps."""
    hidden = [weights for weights in traced.hidden if weights.numbers and not weights.saved]
    if hidden:
        more = f" (and {len(hidden) - 1} more)" if hidden[1:] else ""
        warn(
            f"{hidden[0].name}{more}: not a parameter of the net, neither trained nor saved; "
            f"{hidden[0].remedy}"
        )
