"""Registers the nets that the catalog of experiments writes in one line."""

from __future__ import annotations

from netlet.catalog import DEFINITIONS
from netlet.errors import NetError
from netlet.nets.notation import is_notation, parse_notation
from netlet.nets.registry import NETS, Builder, NetEntry

for _definition in DEFINITIONS:
    if is_notation(_definition.net):
        if _definition.name in NETS:
            raise NetError(f"net {_definition.name!r} is defined twice; rename one of them")
        NETS[_definition.name] = NetEntry(
            _definition.name, parse_notation(_definition.net).builder, "own", _definition.about
        )


def get_builder(name: str) -> Builder:
    """Return the builder of a registered net, so that ``netlet.nets.crest`` works.

    Raises:
        AttributeError: There is no net of that name.
    """
    if name in NETS:
        return NETS[name].builder
    raise AttributeError(f"module 'netlet.nets' has no attribute {name!r}")
