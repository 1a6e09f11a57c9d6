"""Say where the weights come from that a training begins with."""

from __future__ import annotations

import warnings

from torch import nn

from netlet.errors import NetletWarning
from netlet.nets.compiled_nets import unwrap
from netlet.nets.first_weights import find_builder, find_origin, was_loaded, was_trained
from netlet.nets.weights import weights_digest


def find_initial_weights(net: nn.Module, seed: int) -> str:
    """Return the digest of weights that a net has from another seed, a training or a file.

    Args:
        net: The net to train.
        seed: The seed of the training.

    Returns:
        It; empty for weights of the seed. A net that netlet has not built may have those, too.
    """
    net = unwrap(net)
    origin = find_origin(net)
    if origin and origin.seed == seed:
        return ""
    given = find_builder(net) or was_trained(net) or was_loaded(net)
    return weights_digest(net) if given else ""


def note_initial_weights(net: nn.Module, seed: int) -> str:
    """Warn if a seed does not give a net the weights that it begins with.

    Returns:
        What :func:`find_initial_weights` does.
    """
    net = unwrap(net)
    origin, cls = find_origin(net), type(net)
    if origin and origin.seed == seed:
        return ""
    kind = "builder" if cls.__module__.startswith("torch.") else ascii(cls.__name__)[1:-1]
    if was_trained(net):
        warnings.warn(
            "the net has been trained before, and a budget does not count those epochs; the record "
            "says that it began with given weights; to start from scratch, build the net again "
            f"with netlet.build({kind}, seed={seed})",
            NetletWarning,
            stacklevel=3,
        )
        return find_initial_weights(net, seed)
    which = f"those of seed {origin.seed}" if origin else "not those of netlet.build"
    warnings.warn(
        f"the weights that the net begins with are {which}, so seed={seed} alone does not "
        f"reproduce this run; to reproduce it, build the net with netlet.build({kind}, "
        f"seed={seed}), or pass initial_weights_digest if the weights are from a file",
        NetletWarning,
        stacklevel=3,
    )
    return find_initial_weights(net, seed)
