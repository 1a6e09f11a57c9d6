"""Trace a net: run it once and record its layers and functions, with their shapes and costs.

The net runs on two blank images, so branches, functions, shared layers and lazy layers are recorded
as they really run. If the net reads a value of a tensor (to choose a path, say), receptive fields
and totals from there on are reported as unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from netlet.analysis.hidden_weights import HiddenWeights, find_hidden_weights
from netlet.analysis.memory import peak_bytes
from netlet.analysis.ops import Trace
from netlet.analysis.tracer import BATCH, CallObserver, Tracer
from netlet.errors import NetError
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import first_tensor
from netlet.nets.registered import list_parameters


def trace(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> Trace:
    """Run a net once in evaluation mode and record its operations.

    Args:
        net: Any module. It is left unchanged, except that lazy layers take their shapes from this
            run.
        shape: Of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image (with the layer and its input shape), or its
            output contains no tensor.
    """
    tracer = Tracer(net)
    x = torch.zeros(BATCH, *shape, device=_device(net))
    tracer.start(x)
    with eval_mode(net), torch.random.fork_rng(devices=[]), torch.no_grad(), tracer.module_hooks():
        try:
            with Isolation(strict=True), CallObserver(tracer), tracer:
                out = net(x)
        except NetError:
            raise
        except Exception as error:
            raise NetError(tracer.describe_error(error, tuple(shape))) from error
    if first_tensor(out) is None:
        raise NetError(
            f"{type(net).__name__}: returns a {type(out).__name__} without a tensor; "
            "it must return logits N K"
        )
    tracer.provenance.finish(first_tensor(out))
    return Trace(
        net=net,
        shape=tuple(shape),
        ops=tracer.ops,
        value_dependent=tracer.value_dependent,
        unused=tracer.find_unused(),
        hidden=max(
            find_hidden_weights(net, tracer.provenance),
            _find_hidden_by_other_images(net, shape),
            key=lambda hidden: (sum(weights.numbers for weights in hidden), len(hidden)),
        ),
        activation_bytes=None if tracer.value_dependent else peak_bytes(tracer.uses, BATCH),
    )


def _find_hidden_by_other_images(net: nn.Module, shape: Sequence[int]) -> tuple[HiddenWeights, ...]:
    """Return what a net hides from blank images: it runs on noise, in a batch of another size."""
    tracer = Tracer(net)
    with eval_mode(net), torch.random.fork_rng(devices=[]), torch.no_grad(), tracer.module_hooks():
        torch.manual_seed(0)
        x = torch.rand(BATCH + 1, *shape).to(_device(net))
        tracer.start(x)
        try:
            with Isolation(strict=True), CallObserver(tracer), tracer:
                tracer.provenance.finish(first_tensor(net(x)))
        except NetError:
            raise
        except Exception:  # some nets run only on the batch that they were traced on
            pass
    return find_hidden_weights(net, tracer.provenance)


def _device(net: nn.Module) -> torch.device:
    return next((p.device for _, p in list_parameters(net)), torch.device("cpu"))
