"""Weights to somewhere useful: a graph of the net, and what is written from it, each held against the net."""

from netlet.ship.agreement import Agreement, agreement, images_to_compare
from netlet.ship.capture import capture
from netlet.ship.fold import folded
from netlet.ship.graph import Graph
from netlet.ship.origin import Origin, origin

__all__ = ["Agreement", "Graph", "Origin", "agreement", "capture", "folded", "images_to_compare", "origin"]
