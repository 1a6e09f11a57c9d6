"""Nets by the names of the catalog's experiments, those in one line included."""

from __future__ import annotations

from netlet.catalog import DEFINITIONS
from netlet.errors import NetError
from netlet.nets.notation import is_notation, parse_notation
from netlet.nets.registry import NETS, Builder, NetEntry
from netlet.nets.user_code import find_net

for _definition in DEFINITIONS:
    if is_notation(_definition.net):
        if _definition.name in NETS:
            raise NetError(f"net {_definition.name!r} is defined twice; rename one of them")
        NETS[_definition.name] = NetEntry(
            _definition.name, parse_notation(_definition.net).builder, "own", _definition.about
        )
# Name of an experiment -> name of its net. One in one line is registered under the experiment's.
_NETS = {one.name: one.name if is_notation(one.net) else one.net for one in DEFINITIONS}


def get_builder(name: str) -> Builder:
    """Return the builder of a registered net, so that ``netlet.nets.crest`` works.

    Raises:
        AttributeError: There is no net of that name.
    """
    if name in NETS:
        return NETS[name].builder
    raise AttributeError(f"module 'netlet.nets' has no attribute {name!r}")


def find_experiments_net(name: str) -> NetEntry | None:
    """Return the net of an experiment of the catalog, or None if there is no such experiment."""
    return NETS[_NETS[name]] if name in _NETS else None


def find_net_by_name(name: str, *, trusted: bool = True) -> NetEntry:
    """Return the net of an experiment, or the net of this name.

    Args:
        name: The name of an experiment, or of a net as :func:`netlet.nets.find_net` takes it.
        trusted: Whether the user named it; see :func:`netlet.nets.find_net`.

    Raises:
        NetError: There is no such net, or it is code that is not trusted.
    """
    return find_experiments_net(name) or find_net(name, trusted=trusted)
