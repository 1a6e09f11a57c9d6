"""How evaluation runs a net: in evaluation mode, on so many images at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from netlet.nets.compiled_nets import is_exported
from netlet.nets.registered import list_modules

EVALUATION_BATCH = 500  # small enough for the feature maps of a tiny net to stay in the cache


@contextmanager
def eval_mode(net: nn.Module) -> Iterator[None]:
    """Put all modules of a net into evaluation mode; restore each module's own mode at the end.

    A net may merge its weights in ``eval()`` and separate them again in ``train()``, so both are
    called.
    """
    # A frozen scripted module has no mode.
    modules = [module for _, module in list_modules(net) if hasattr(module, "training")]
    modes = [(module, module.training) for module in modules]
    switches = not is_exported(net)  # one that was exported runs as it did then
    trains = switches and getattr(net, "training", False)
    if switches:
        net.eval()
    try:
        yield
    finally:
        if trains:
            net.train()
        for module, mode in modes:
            module.training = mode
