"""Remember which nets still have the weights that a seed gave them."""

from __future__ import annotations

import weakref

from torch import nn

from netlet.nets.registered import list_parameters

# By the ids of nets: the net, its seed, and how often its parameters had been changed by then.
_seeds: dict[int, tuple[weakref.ref[nn.Module], int, int]] = {}


def remember_seed(net: nn.Module, seed: int) -> None:
    """Note that a seed determined the weights that a net has now."""
    key = id(net)
    gone = weakref.ref(net, lambda _: _seeds.pop(key, None))
    _seeds[key] = gone, seed, _count_changes(net)


def find_seed(net: nn.Module) -> int | None:
    """Return the seed that determined a net's weights; None if none did, or they have changed."""
    found = _seeds.get(id(net))
    if found is None or found[0]() is not net or found[2] != _count_changes(net):
        return None
    return found[1]


def forget_seed(net: nn.Module) -> None:
    """Note that a net has other weights now."""
    _seeds.pop(id(net), None)


def _count_changes(net: nn.Module) -> int:
    try:
        return sum(parameter._version for _, parameter in list_parameters(net))
    except RuntimeError:  # tensors of inference mode have no count
        return 0
