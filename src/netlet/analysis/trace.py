"""Running a net once and writing down what it did: which layers and functions, on what, costing how much.

The net runs for real on two blank images, so that branches, functions, shared layers and lazy
layers are seen as they are. If the net reads a value back (to choose a path by it, say), receptive
fields and totals from there on are not known and not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from netlet.analysis.memory import peak_bytes
from netlet.analysis.ops import Trace
from netlet.analysis.tracer import BATCH, DropoutObserver, Tracer
from netlet.errors import NetError
from netlet.nets.eval_mode import eval_mode
from netlet.nets.outputs import first_tensor


def trace(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> Trace:
    """Run a net once, in evaluation mode, and write down what it did.

    Args:
        net: As it is; only lazy layers change: they take their shapes from this run.
        shape: Of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image, or gives no tensor; names the layer and the
            shape it got.
    """
    watcher = Tracer(net)
    x = torch.zeros(BATCH, *shape, device=_device(net))
    watcher.begin(x)
    with eval_mode(net), torch.random.fork_rng(devices=[]), torch.no_grad(), watcher.hooked():
        try:
            with DropoutObserver(watcher), watcher:
                out = net(x)
        except Exception as error:
            raise NetError(watcher.failure(error, tuple(shape))) from error
    if first_tensor(out) is None:
        raise NetError(
            f"{type(net).__name__}: gives a {type(out).__name__} without a tensor; it must give logits N K"
        )
    return Trace(
        net=net,
        shape=tuple(shape),
        steps=watcher.steps,
        value_dependent=watcher.value_dependent,
        unused=watcher.unused(),
        activation_bytes=None if watcher.value_dependent else peak_bytes(watcher.uses, BATCH),
    )


def _device(net: nn.Module) -> torch.device:
    return next((p.device for p in net.parameters()), torch.device("cpu"))
