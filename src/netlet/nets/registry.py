"""The nets that netlet knows by name: a net is one function under ``@net`` and is known by that function's name."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from netlet.errors import NetError
from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.eval_mode import eval_mode

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
        NetError: The name is taken, or the function has no docstring or no ``classes`` and
            ``shape`` with defaults.
    """

    def register(builder: _B) -> _B:
        name = builder.__name__
        if name in NETS:
            raise NetError(f"net {name!r} is defined twice; rename one of them")
        optional = {
            p.name
            for p in inspect.signature(builder).parameters.values()
            if p.default is not p.empty
        }
        if not builder.__doc__ or not {"classes", "shape"} <= optional:
            raise NetError(
                f"net {name!r} needs a docstring and parameters classes and shape with defaults"
            )
        NETS[name] = NetEntry(name, builder, source, builder.__doc__.strip().splitlines()[0])
        return builder

    return register


def build(
    builder: Builder,
    seed: int | None = None,
    shape: Sequence[int] = MNIST_SHAPE,
    classes: int | None = None,
) -> nn.Module:
    """Build a net; what its builder draws from torch's generator, its first weights, depends on the seed alone.

    Args:
        builder: A function or class that needs no arguments. It is given the shape, or its
            channels, and the classes if it has parameters for them, by the names that people use
            (``in_channels``, ``num_classes``, ...).
        seed: If None, the weights depend on torch's own generator, as when the builder is called by
            hand.
        shape: Of one image, ``C H W``; a net with lazy layers gets their weights from a blank one,
            here and now.
        classes: ``K``; if None, the builder's own default.
    """
    settings = _settings(builder, shape, classes)
    if seed is None:
        return builder(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = builder(**settings)
        lazy = [module for module in net.modules() if isinstance(module, LazyModuleMixin)]
        if any(module.has_uninitialized_params() for module in lazy):
            # A net that cannot run is explained by whoever traces it, with the layer's name.
            with contextlib.suppress(Exception), eval_mode(net), torch.no_grad():
                net(torch.zeros(2, *shape))
        return net


def recognize_parameter(name: str) -> str | None:
    """What a builder's parameter of this name stands for: ``classes``, ``channels``, ``shape``, or nothing known."""
    return next((meaning for meaning, names in _SAID_AS.items() if name in names), None)


_SAID_AS = {
    # Only what cannot be meant otherwise: "channels" is often the width of a hidden layer.
    "classes": ("classes", "num_classes", "n_classes", "nb_classes"),
    "channels": ("in_channels", "in_chans"),
    "shape": ("shape",),
}


def _settings(builder: Builder, shape: Sequence[int], classes: int | None) -> dict[str, Any]:
    try:
        parameters = inspect.signature(builder).parameters
    except (TypeError, ValueError):  # some callables of C have none
        return {}
    known = {"classes": classes, "channels": shape[0], "shape": tuple(shape)}
    settings = {}
    for name, parameter in parameters.items():
        value = known.get(recognize_parameter(name) or "")
        if value is None and parameter.default is parameter.empty and recognize_parameter(name) == "classes":
            value = 10  # as everywhere where nothing else is said
        if value is not None:
            settings[name] = value
    return settings
