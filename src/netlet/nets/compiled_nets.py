"""Nets that PyTorch has compiled or exported, and the nets that they were made of."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from netlet.errors import NetError
from netlet.nets.registered import list_attributes, list_modules

_WRAPPED = "_orig_mod"  # where torch.compile keeps the module
_MODES = ("train", "eval")


def unwrap(net: Any) -> Any:
    """Return the net that ``torch.compile`` has wrapped, or the module of an exported program.

    Args:
        net: Anything. What is neither of the two is returned as it is.
    """
    export = sys.modules.get("torch.export")  # imported if there is an exported program
    if export is not None and isinstance(net, export.ExportedProgram):
        return net.module()
    while _is_compiled(net):
        net = getattr(net, _WRAPPED)
    return net


def unwrap_all(net: Any) -> Any:
    """Return what :func:`unwrap` returns, with all modules in it unwrapped.

    Args:
        net: It is changed, so it has to be in no other hands.
    """
    net = unwrap(net)
    if "torch._dynamo" not in sys.modules or not isinstance(net, nn.Module):
        return net
    for _, module in list_modules(net):
        if getattr(module, "_compiled_call_impl", None) is not None:  # by module.compile()
            module._compiled_call_impl = None
        for name, child in list(module._modules.items()):
            if _is_compiled(child):
                module._modules[name] = unwrap_all(child)
    return net


def _is_compiled(net: object) -> bool:
    dynamo = sys.modules.get("torch._dynamo")
    return dynamo is not None and isinstance(net, dynamo.OptimizedModule)


def is_exported(net: nn.Module) -> bool:
    """Return whether a net is the module of an exported program, which has one mode only."""
    return isinstance(net, torch.fx.GraphModule) and all(
        name in list_attributes(net) for name in _MODES
    )


def refuse_exported(net: nn.Module) -> None:
    """Raise a NetError if a net cannot be put into training mode, since it was exported."""
    if is_exported(net):
        raise NetError(
            "an exported program cannot be trained, since its dropout and batch norm run as they "
            "did when it was exported; name the class that it was exported from"
        )


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Run the original code of compiled modules and functions within the block."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def prepare_compiler() -> None:
    """Let PyTorch's compiler change PyTorch's modules now, as it does before it first compiles."""
    guard = sys.modules.get("torch._dynamo.mutation_guard")
    if guard is not None:
        guard.install_generation_tagging_init()
