"""The nets that netlet knows by name: a net is one function under ``@net`` and is known by that function's name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from netlet.errors import NetError
from netlet.nets.modes import evaluating

Builder = Callable[..., nn.Module]
_B = TypeVar("_B", bound=Builder)


@dataclass(frozen=True)
class NetEntry:
    """A net by name: the function that builds it, and where it is from."""

    name: str
    builder: Builder
    source: str
    about: str  # the first line of the function's docstring


NETS: dict[str, NetEntry] = {}


def net(*, source: str) -> Callable[[_B], _B]:
    """Register a function that builds a net; its name and docstring are the net's.

    Args:
        source: Where the net is from: a document, a paper, or ``own``.

    Raises:
        NetError: The name is taken, or the function has no docstring or no ``classes`` parameter with a default.
    """

    def register(builder: _B) -> _B:
        name = builder.__name__
        if name in NETS:
            raise NetError(f"net {name!r} is defined twice; rename one of them")
        defaults: dict[str, Any] = dict(
            zip(reversed(builder.__code__.co_varnames[: builder.__code__.co_argcount]),
                reversed(builder.__defaults__ or ()), strict=False)
        )  # fmt: skip
        if not builder.__doc__ or "classes" not in defaults:
            raise NetError(f"net {name!r} needs a docstring and a parameter classes with a default")
        NETS[name] = NetEntry(name, builder, source, builder.__doc__.strip().splitlines()[0])
        return builder

    return register


def build(builder: Builder, seed: int | None = None, shape: Sequence[int] = (1, 28, 28)) -> nn.Module:
    """Build a net whose first weights depend on the seed alone.

    Args:
        builder: A function or class that needs no arguments.
        seed: If None, the weights depend on torch's own generator, as when the builder is called by hand.
        shape: Of one image, ``C H W``; a net with lazy layers gets their weights from a blank one, here and now.
    """
    if seed is None:
        return builder()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = builder()
        lazy = [module for module in net.modules() if isinstance(module, LazyModuleMixin)]
        if any(module.has_uninitialized_params() for module in lazy):
            # A net that cannot run is explained by whoever traces it, with the layer's name.
            with contextlib.suppress(Exception), evaluating(net), torch.no_grad():
                net(torch.zeros(2, *shape))
        return net
