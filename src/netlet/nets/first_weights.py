"""Remember how nets got their weights: from a seed, by a training, or from a file."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from netlet.nets.registered import list_buffers, list_parameters
from netlet.nets.tensor_bytes import tensor_bytes


class Origin(NamedTuple):
    """How a net was built.

    Attributes:
        seed: The seed that determined its weights.
        rebuild: Returns the same net with the weights that another seed gives it; None if its
            builder makes no new net at each call, or might keep the net alive.
        shape: The shape of the images that its builder was told, or told the channels of; None if
            it takes neither.
        name: The name of its builder; empty if that has none.
        in_catalog: Whether it is a net of the catalog, which has this name there.
    """

    seed: int
    rebuild: Callable[[int], nn.Module] | None
    shape: tuple[int, ...] | None = None
    name: str = ""
    in_catalog: bool = False


# By the ids of nets: the net, its origin, and the digest of its state by then.
_origins: dict[int, tuple[weakref.ref[nn.Module], Origin, str]] = {}
_trained: dict[int, weakref.ref[nn.Module]] = {}  # by the ids of nets
# By digests, by which copies are known: of the state of nets, and of their parameters alone.
_seeds: dict[str, set[int]] = {}
_seeds_of_parameters: dict[str, set[int]] = {}
_trained_weights: set[str] = set()
_loaded_weights: set[str] = set()


def remember_origin(net: nn.Module, origin: Origin) -> None:
    """Note how a net was built that has the weights of its seed now."""
    key, digest = id(net), _digest_state(net)
    gone = weakref.ref(net, lambda _: _origins.pop(key, None))
    _origins[key] = gone, origin, digest
    name = type(net).__qualname__
    _seeds.setdefault(f"{name} {digest}", set()).add(origin.seed)
    own = f"{name} {_digest_parameters(net)}"
    _seeds_of_parameters.setdefault(own, set()).add(origin.seed)


def find_origin(net: nn.Module) -> Origin | None:
    """Return how a net was built; None if no seed gave it its weights, or they have changed."""
    found = _origins.get(id(net))
    if found is None or found[0]() is not net or _is_trained(net):
        return None
    return found[1] if found[2] == _digest_state(net) else None


def find_seeds(net: nn.Module) -> set[int]:
    """Return the seeds that have given a net, or the one it is a copy of, the weights it has.

    Those that netlet has built nets with in this process. A net that netlet has trained has none,
    nor has one whose buffers have changed since.
    """
    if _is_trained(net):
        return set()
    return _seeds.get(f"{type(net).__qualname__} {_digest_state(net)}", set())


def find_seeds_of_parameters(net: nn.Module) -> set[int]:
    """Return the seeds that have given a net the parameters it has, whatever its buffers are."""
    if _is_trained(net):
        return set()
    return _seeds_of_parameters.get(f"{type(net).__qualname__} {_digest_parameters(net)}", set())


def find_builder(net: nn.Module) -> Origin | None:
    """Return how netlet has built a net, even if its weights have changed since."""
    found = _origins.get(id(net))
    return found[1] if found is not None and found[0]() is net else None


def find_catalog_name(net: nn.Module) -> str:
    """Return the name of a net of the catalog, whatever its weights are.

    Empty for other nets, and for one whose layers have been changed.
    """
    built = find_builder(net)
    if built is None or not built.in_catalog or built.rebuild is None:
        return ""
    return built.name if repr(built.rebuild(built.seed)) == repr(net) else ""


def is_built_for_others(net: nn.Module, shape: Sequence[int]) -> bool:
    """Return whether a net was built for images of another shape, and could be built for these.

    Args:
        net: The net; if netlet has trained it, nothing is known about it.
        shape: The shape of the images, ``C H W``.
    """
    built = find_builder(net)
    return built is not None and not _is_trained(net) and built.shape not in (None, tuple(shape))


def remember_training(net: nn.Module) -> None:
    """Note that a net has been trained, so its weights are no longer those of a seed."""
    key = id(net)
    _trained[key] = weakref.ref(net, lambda _: _trained.pop(key, None))
    built = find_builder(net)
    if built and not built.in_catalog:  # it is not built again, and its builder may hold it
        gone, _, digest = _origins[key]
        _origins[key] = gone, built._replace(rebuild=None), digest
    _trained_weights.add(_digest_parameters(net))


def remember_loading(net: nn.Module) -> None:
    """Note that a net has weights from a file."""
    _loaded_weights.add(_digest_parameters(net))


def was_trained(net: nn.Module) -> bool:
    """Return whether netlet has trained a net in this process, or the net that it is a copy of."""
    is_copy = find_builder(net) is None and _digest_parameters(net) in _trained_weights
    return is_copy or _is_trained(net)


def was_loaded(net: nn.Module) -> bool:
    """Return whether netlet has loaded the weights of a net from a file in this process."""
    return _digest_parameters(net) in _loaded_weights


def _is_trained(net: nn.Module) -> bool:
    found = _trained.get(id(net))
    return found is not None and found() is net


def _digest_parameters(net: nn.Module) -> str:
    """Return the digest of the values, since a parameter can be changed without a trace."""
    return _digest(list_parameters(net))


def _digest_state(net: nn.Module) -> str:
    """Return the digest of the values of parameters and buffers."""
    return _digest([*list_parameters(net), *list_buffers(net)])


def _digest(tensors: Sequence[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} ".encode())
        if not is_lazy(tensor):
            digest.update(_read_values(tensor.detach()))
    return digest.hexdigest()


def _read_values(tensor: torch.Tensor) -> bytes:
    """Return the shape and the values; of a tensor without such, its layout."""
    try:
        values = tensor if tensor.layout == torch.strided else tensor.to_dense()
        return f"{tuple(tensor.shape)} ".encode() + tensor_bytes(values)
    except (RuntimeError, TypeError):  # it is nested or quantized, or on the device meta
        return str(tensor.layout).encode()
