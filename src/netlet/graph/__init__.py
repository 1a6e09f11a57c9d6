"""One graph for every reader: what a net computes, traced once."""

from netlet.graph.graph import Graph, Node, Weight
from netlet.graph.tracer import WithoutDropout, trace_graph

__all__ = ["Graph", "Node", "Weight", "WithoutDropout", "trace_graph"]
