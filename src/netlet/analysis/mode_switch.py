"""Watch a net change to evaluation mode, in which some nets compute weights and keep them.

A block with several branches may merge their kernels in ``train(False)``, and convolve with the
merged kernel until ``train(True)`` drops it. What such a kernel is computed from shows only there.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.analysis.provenance import Provenance
from netlet.graph.call import bind_arguments
from netlet.graph.tensors import address, list_tensors
from netlet.nets.compiled_nets import is_exported
from netlet.nets.registered import list_modules

_PLACE = "(net)"


def enter_evaluation(net: nn.Module, provenance: Provenance) -> frozenset[int | None]:
    """Put a net in evaluation mode into training mode and back, if it has code for that.

    Args:
        net: In evaluation mode.
        provenance: Of the run that follows; it follows what the net computes here.

    Returns:
        The addresses of all tensors that were read.
    """
    if is_exported(net) or not any(map(_has_own_switch, (m for _, m in list_modules(net)))):
        return frozenset()
    with _SwitchMode(provenance) as mode:
        net.train()
        net.eval()
    return frozenset(mode.read)


def _has_own_switch(module: nn.Module) -> bool:
    own = type(module)
    return own.train is not nn.Module.train or own.eval is not nn.Module.eval


class _SwitchMode(TorchDispatchMode):
    """Shows all operations to a provenance.

    Attributes:
        read: Addresses of all tensors that they read.
    """

    def __init__(self, provenance: Provenance) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: set[int | None] = set()
        self._provenance = provenance

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # PyTorch calls this; True would import its compiler, which takes a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._provenance.prepare(func, args, kwargs, _PLACE)
        out = func(*args, **kwargs)
        self._provenance.observe(func, args, kwargs, out, _PLACE)
        self.read.update(map(address, list_tensors(bind_arguments(func, args, kwargs))))
        return out
