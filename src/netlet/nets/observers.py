"""Observers of ``torch.ao``, which prepare a net for quantization."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch import nn

from netlet.nets.registered import list_modules, own_buffers

_PACKAGE = "torch.ao.quantization"


def is_plain_observer(module: nn.Module) -> bool:
    """Return whether PyTorch defines a module that only looks at what it returns unchanged."""
    kind = type(module)
    if kind.__module__ != f"{_PACKAGE}.observer":
        return False
    return getattr(sys.modules[kind.__module__], kind.__name__, None) is kind


def take_sizes(
    net: nn.Module, wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the tensors that a net needs, with the sizes that its observers take from a file.

    Args:
        net: The net.
        wanted: Its state dict. An observer that has seen nothing has other sizes.
        found: What the file has.
    """
    resized = dict(wanted)
    for path, module in list_modules(net):
        if not any(base.__module__.startswith(_PACKAGE) for base in type(module).__mro__):
            continue
        for name, own in own_buffers(module):
            key = f"{path}.{name}" if path else name
            given = found.get(key)
            if key in wanted and given is not None and own.dim() <= 1 and given.dim() <= 1:
                resized[key] = given.to(own.dtype)
    return resized
