"""The graph of a net that is trained, if one graph can stand for every call and mode."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from netlet.backends.cpu.errors import UnsupportedNetError
from netlet.errors import NetError
from netlet.graph import Graph, Node, trace_graph
from netlet.graph.operations import BatchNorm, Dropout, Operation
from netlet.nets.copying import copy_net
from netlet.nets.registered import list_modules


def trace_training(net: nn.Module, shape: Sequence[int]) -> Graph:
    """Return the graph of a net in training mode, if it is the same in every call and mode.

    Raises:
        UnsupportedNetError: It is not, or the net does more than its graph shows.
    """
    name = type(net).__name__
    _refuse_hooks(net)
    twin = copy_net(net).train()  # a copy, since running the forward may change the net
    if not all(module.training for module in twin.modules()):
        raise UnsupportedNetError(f"{name} keeps layers in evaluation mode")
    before = [_simple_attributes(module) for module in twin.modules()]
    try:
        with torch.random.fork_rng(devices=[]):
            graph, again = trace_graph(twin, shape), trace_graph(twin, shape)
            changed = before != [_simple_attributes(module) for module in twin.modules()]
            evaluation = trace_graph(twin.eval(), shape)
    except NetError as error:
        raise UnsupportedNetError(str(error)) from error
    modules = dict(list_modules(twin))
    for path in filter(None, (graph.stale, graph.changes)):
        layer = modules.get(path)
        if type(layer).__module__.startswith("torch.nn.modules."):
            # How it works inside is nothing that the user has written.
            raise UnsupportedNetError(f"{path} ({type(layer).__name__}) is not supported")
    for marked, what in (
        (graph.value_dependent, "reads a tensor's value, which may choose the path of an image"),
        (graph.random or again.random or evaluation.random, "draws random numbers"),
        (graph.stale, "reads a tensor that has been written to through another one"),
        (graph.changes, "writes to a tensor of the net"),
        (graph.weight_read, "reads a weight as a number, which training changes"),
    ):
        if marked:
            raise UnsupportedNetError(f"{marked} {what}")
    if changed or repr(graph.nodes) != repr(again.nodes):
        raise UnsupportedNetError(f"{name} changes its attributes in the forward pass")
    if any(_drops(node) for node in evaluation.nodes):
        raise UnsupportedNetError(f"{name} drops values in evaluation mode")
    if any(_normalizes_by_batch(node) for node in evaluation.nodes):
        raise UnsupportedNetError(f"{name} normalizes by the batch in evaluation mode")
    if _as_in_both_modes(graph) != _as_in_both_modes(evaluation):
        raise UnsupportedNetError(f"{name} computes something else in evaluation mode")
    if graph.output is None:
        raise UnsupportedNetError("the net does not return what it computes from the images")
    return graph


def _refuse_hooks(net: nn.Module) -> None:
    for path, module in list_modules(net):
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
        where = path or type(net).__name__
        for hook in hooks:
            if isinstance(hook, BasePruningMethod):
                call = f"prune.remove({where}, {hook._tensor_name!r})"
                raise UnsupportedNetError(f"{where} is pruned by a hook, until {call}")
        if hooks or module._backward_hooks:
            raise UnsupportedNetError(f"{where} has hooks")


def _drops(node: Node) -> bool:
    return isinstance(node.operation, Dropout) and node.operation.active


def _normalizes_by_batch(node: Node) -> bool:
    operation = node.operation
    return isinstance(operation, BatchNorm) and operation.by_batch and operation.mean is not None


def _as_in_both_modes(graph: Graph) -> str:
    """Return a text that is the same for training and evaluation, if the net computes the same."""

    def neutral(operation: Operation) -> Operation:
        if isinstance(operation, Dropout):
            return dataclasses.replace(operation, active=False)
        if isinstance(operation, BatchNorm) and operation.mean is not None:
            return dataclasses.replace(operation, by_batch=False, momentum=0.0)
        return operation

    nodes = [(neutral(n.operation), n.inputs, n.shape) for n in graph.nodes]
    return f"{nodes} {graph.output}"


def _simple_attributes(module: nn.Module) -> dict[str, object]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str | None)
    }
