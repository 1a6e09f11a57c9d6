"""Say where the weights come from that a training begins with."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from netlet.errors import warn
from netlet.nets.compiled_nets import unwrap
from netlet.nets.first_weights import (
    find_builder,
    find_seeds,
    find_seeds_of_parameters,
    was_loaded,
    was_trained,
)
from netlet.nets.registered import list_modules
from netlet.nets.weights import weights_digest
from netlet.training.trainable import trace_trainable


def make_lazy_weights(net: nn.Module, shape: tuple[int, ...]) -> None:
    """Let the lazy layers of a net make their weights, as it does when it first runs.

    Args:
        net: The net.
        shape: The shape of the images, ``C H W``.
    """
    lazy = [module for _, module in list_modules(net) if isinstance(module, LazyModuleMixin)]
    if any(module.has_uninitialized_params() for module in lazy):
        trace_trainable(net, shape)


def find_initial_weights(net: nn.Module, seed: int) -> str:
    """Return the digest of the weights of a net if a seed has not given it these.

    Args:
        net: The net to train.
        seed: The seed of the training.

    Returns:
        It; empty if ``netlet.build`` has made the weights in this process, with this seed.
    """
    net = unwrap(net)
    if seed in find_seeds(net):
        return ""
    try:
        return weights_digest(net)
    except (RuntimeError, AttributeError):  # they have no values: the training refuses the net
        return ""


def knows_initial_weights(net: nn.Module) -> bool:
    """Return whether netlet has built a net, or has given it its weights.

    Others may have random weights, which differ each time that the net is made.
    """
    net = unwrap(net)
    made = find_builder(net) is not None or bool(find_seeds(net))
    return made or was_trained(net) or was_loaded(net)


def note_initial_weights(net: nn.Module, seed: int) -> str:
    """Warn if a seed does not give a net the weights that it begins with.

    Returns:
        What :func:`find_initial_weights` does.
    """
    net = unwrap(net)
    seeds, cls = find_seeds(net), type(net)
    if seed in seeds:
        return ""
    kind = "builder" if cls.__module__.startswith("torch.") else ascii(cls.__name__)[1:-1]
    if was_trained(net):
        warn(
            "the net has been trained before, and a budget does not count those epochs; the record "
            "says that it began with given weights; to start from scratch, build the net again "
            f"with netlet.build({kind}, seed={seed})"
        )
        return find_initial_weights(net, seed)
    which = f"those of seed {min(seeds)}" if seeds else "not those of netlet.build"
    if seed in find_seeds_of_parameters(net):
        which = (
            f"those of seed {seed}, but its buffers have changed since, as the statistics of batch "
            "norm do when a net runs in training mode"
        )
    warn(
        f"the weights that the net begins with are {which}, so seed={seed} alone does not "
        f"reproduce this run; to reproduce it, build the net with netlet.build({kind}, "
        f"seed={seed}), or pass initial_weights_digest if the weights are from a file"
    )
    return find_initial_weights(net, seed)
