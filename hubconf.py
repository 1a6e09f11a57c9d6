"""Nets with trained weights for ``torch.hub.load``; docs/hubs.md has examples.

A checkout or a copy in the cache of ``torch.hub`` is enough: netlet need not be installed.
"""

from __future__ import annotations

import sys
from pathlib import Path as _Path  # torch.hub lists every function and class without underscore
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

# What torch.hub looks for before it imports this file: netlet's dependencies by their module names.
dependencies = [
    "filelock",
    "numpy",
    "PIL",
    "platformdirs",
    "pydantic",
    "requests",
    "safetensors",
    "scipy",
    "torch",
    "tqdm",
    "typer",
    "typing_extensions",
    "urllib3",
]

# These sources, and not another netlet that may be installed. They stay on the path, since netlet
# imports its parts when they are first used.
sys.path.insert(0, str(_Path(__file__).parent / "src"))

from netlet import nets as _nets  # noqa: E402
from netlet.nets.pretrained import with_input_format as _with_input_format  # noqa: E402


def _make_entry(name: str) -> Callable[..., nn.Module]:
    """Return the function that ``torch.hub`` calls for a net."""
    builder = _nets.find_net(name).builder

    def entry(pretrained: bool = True, *, gray_levels: bool = False, seed: int = 0) -> nn.Module:
        if pretrained:
            return _nets.load(name, gray_levels=gray_levels)
        untrained = _nets.InputFormat.of_mnist(gray_levels=gray_levels)
        return _with_input_format(_nets.build(builder, seed), untrained)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"""{_nets.find_net(name).about}

    The attribute ``input_format`` of the result says what it takes.

    Args:
        pretrained: Whether the net has its trained weights, or else initial ones.
        gray_levels: Whether the net takes gray levels and normalizes them itself; otherwise it
            takes normalized images.
        seed: The seed of initial weights.
    """
    return entry


for _name in _nets.list_shipped_weights():
    globals()[_name] = _make_entry(_name)
