"""One graph for every reader: what a net computes, traced once."""

from netlet.graph.execution import Execution, Observer
from netlet.graph.graph import Graph, Node, Weight
from netlet.graph.module_runs import FunctionCall, ModuleRun
from netlet.graph.tracer import BATCH, Tracer, WithoutDropout, trace_graph

__all__ = [
    "BATCH",
    "Execution",
    "FunctionCall",
    "Graph",
    "ModuleRun",
    "Node",
    "Observer",
    "Tracer",
    "Weight",
    "WithoutDropout",
    "trace_graph",
]
