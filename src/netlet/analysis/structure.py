"""What a net consists of, in the words of a budget's rules, read off its traced graph."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import nn

from netlet.analysis.field_rules import Effect, follow_fields, full_shape
from netlet.analysis.fields import field_size
from netlet.analysis.map_axes import follow_axes
from netlet.analysis.module_rows import is_atomic, name_reader
from netlet.analysis.net_end import describe_node
from netlet.analysis.op_families import Membership, describe_dense, find_families
from netlet.budgets.families import (
    ANY_ACTIVATION,
    ANY_NORM,
    BIAS,
    CONVOLUTION,
    CONVOLUTION_BIAS,
    DROPOUT,
    LAYER,
    LINEAR_BIAS,
    POOLING,
    TO_ONE_PLACE,
)
from netlet.budgets.structure import Element, Layout, Structure
from netlet.graph import Execution, Graph, ModuleRun, Node, Weight
from netlet.graph.operations import Arithmetic, BatchNorm, Reduction, Reshape
from netlet.nets.registered import list_modules

# Layers of torch.nn that consist of several operations, of which none counts by itself.
_WHOLE: dict[str, tuple[str, ...]] = {
    "LocalResponseNorm": (ANY_NORM,),
    "RMSNorm": (ANY_NORM,),
    "CrossMapLRN2d": (ANY_NORM,),
    **{f"LPPool{dims}d": (POOLING,) for dims in (1, 2, 3)},
    **dict.fromkeys(("LogSigmoid", "Softsign", "Tanhshrink"), (ANY_ACTIVATION,)),
    "Softmin": ("Softmax",),
}
Kinds = tuple[tuple[str, tuple[str, ...]], ...]
_GLOBAL = {"mean": ("GAP", "AvgPool"), "max": ("GMP", "MaxPool")}


def describe_structure(
    net: nn.Module,
    graph: Graph,
    effects: list[Effect],
    kinds: Kinds,
    training: Execution | None,
    unknown: str = "",
) -> Structure:
    """Return what a net consists of.

    Args:
        net: The net.
        graph: The graph of its run in evaluation mode.
        effects: The receptive fields of that run's values.
        kinds: The classes of the modules that ran then, as :func:`list_kinds` returns them.
        training: Its run in training mode; None if it does not run so.
        unknown: Why it may consist of something else on other images; empty if it may not.
    """
    modules = dict(list_modules(net))
    scored = _Reader(graph, effects, modules)
    if training is None:
        return Structure(scored.layout(), None, unknown, kinds)
    if training.reader is not None and not unknown:
        name = name_reader(training.reader, training.read_at)
        unknown = f"{name} reads a tensor's value in training and may choose a path by it"
    graph = _without_batch_statistics(training.graph)
    trained = _Reader(graph, follow_fields(graph, training.certain), modules)
    evaluation = scored.layout(with_dropout=False)
    same = evaluation == trained.layout(with_dropout=False)
    kinds = list_kinds(training.root)
    return Structure(trained.layout(), None if same else evaluation, unknown, kinds)


def _without_batch_statistics(graph: Graph) -> Graph:
    """Return a graph whose batch norms do not make an element depend on the whole batch.

    Those without running statistics, which do so in evaluation, too, stay as they are.
    """
    nodes = [
        replace(node, operation=replace(node.operation, by_batch=False))
        if isinstance(node.operation, BatchNorm)
        and node.operation.mean is not None
        and not _is_instance_norm(node)
        else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


def _is_instance_norm(node: Node) -> bool:
    """Return whether a batch norm works on one image whose channels are those of all images.

    That is how PyTorch computes instance norm, which reads a whole map in evaluation, too.
    """
    return not node.batched and node.shape[:1] == (1,)


def list_kinds(root: ModuleRun) -> Kinds:
    """Return for each class of modules the names of those that ran, once each."""
    found: dict[str, dict[str, None]] = {}
    left = [root]
    while left:
        run = left.pop()
        for kind in _classes(run.module):
            found.setdefault(kind, {})[run.path or "(net)"] = None
        left += [step for step in reversed(run.steps) if isinstance(step, ModuleRun)]
    return tuple((kind, tuple(names)) for kind, names in sorted(found.items()))


def _classes(module: nn.Module) -> list[str]:
    """Return the class of a module and the layers of torch.nn that it is a kind of."""
    layers = [
        base.__name__
        for base in type(module).__mro__
        if base.__module__.startswith("torch.nn.modules")
    ]
    names = dict.fromkeys([type(module).__name__, *layers])
    return [name for name in names if not name.startswith("_") and name != "Module"]


class _Reader:
    """Reads the elements off a graph.

    Args:
        graph: The graph of the net.
        effects: The receptive fields of its values.
        modules: The net's modules by path.
    """

    def __init__(
        self, graph: Graph, effects: list[Effect], modules: Mapping[str, nn.Module]
    ) -> None:
        self._graph, self._effects, self._modules = graph, effects, modules
        self._needed = graph.needed()
        self._axes = follow_axes(graph)

    def layout(self, *, with_dropout: bool = True) -> Layout:
        """Return the elements.

        Args:
            with_dropout: Whether dropout is among them.
        """
        elements: list[Element] = []
        # For each value, the places of the elements that it is read from.
        places: dict[int, tuple[int, ...]] = {0: ()}
        for at, number in enumerate(self._needed):
            node = self._graph.nodes[number - 1]
            sources = [places[value] for value in node.inputs]
            inputs = tuple(dict.fromkeys(place for source in sources for place in source))
            member = self._membership(number, node, at, inputs, elements)
            is_dropout = any(name == DROPOUT for name, _ in member.near)
            is_dropout |= DROPOUT in member.families
            if (is_dropout and not with_dropout) or member == Membership():
                places[number] = inputs
                continue
            axes = self._axes[number]
            source = axes.origin if axes.pooled else (node.inputs or (0,))[0]
            places[number] = (len(elements),)
            elements.append(
                Element(
                    self._name(node),
                    member.families,
                    inputs,
                    field_size(self._effects[source].field),
                    member.kernel,
                    member.weights,
                    member.near,
                    member.unsure,
                )
            )
        output = self._graph.output
        field = None if output is None else field_size(self._effects[output].field)
        return Layout(tuple(elements), places.get(output or 0, ()), field)

    def _name(self, node: Node) -> str:
        module = self._modules.get(node.path)
        return node.path if module is not None and is_atomic(module) else describe_node(node)

    def _membership(
        self,
        number: int,
        node: Node,
        at: int,
        inputs: tuple[int, ...],
        elements: list[Element],
    ) -> Membership:
        """Return what a node is; an empty membership if rules never ask for it."""
        module = self._modules.get(node.path)
        atomic = module is not None and is_atomic(module)
        classes = _classes(module) if module is not None and atomic else []
        for kind in classes:
            if kind in _WHOLE:
                after = self._needed[at + 1 :][:1]
                if after and self._graph.nodes[after[0] - 1].path == node.path:
                    return Membership()  # its last operation stands for all of it
                return Membership((*_WHOLE[kind], *(f"nn.{name}" for name in classes)))
        member = self._pooling(number, node)
        if member is None:
            over_images = bool(node.inputs) and self._axes[node.inputs[0]].over_images
            rank = len(full_shape(self._graph, number))
            member = find_families(node, rank, over_images=over_images)
        if self._joins_values(number, node):
            member = Membership(("residual connection",))
        if weight := self._sums_products(node):
            member = describe_dense(weight)
        if _adds_weight(node) and inputs and all(LAYER in elements[i].families for i in inputs):
            biases = _name_biases([elements[i] for i in inputs])
            member = replace(member, families=(*member.families, *biases))
        if self._flattens(number, node):
            member = replace(member, families=(*member.families, "Flatten"))
        if POOLING in member.families and self._axes[number].places == 1:
            kept = tuple(name for name in member.families if name != POOLING)
            member = replace(member, families=(*kept, TO_ONE_PLACE))
        if member.families and classes:
            families = (*member.families, *(f"nn.{name}" for name in classes))
            member = replace(member, families=tuple(dict.fromkeys(families)))
        return member

    def _pooling(self, number: int, node: Node) -> Membership | None:
        """Return what a pooling is; None if a node is none, or one of windows."""
        axes = self._axes[number]
        reduces = isinstance(node.operation, Reduction)
        if axes.pooled:
            families = _GLOBAL[axes.mode or "mean"]
            if self._leads_to_output(number):
                return Membership(families)
            why = "its result only scales or shifts a larger map"
            return Membership((*families[1:], TO_ONE_PLACE), near=((families[0], why),))
        if not axes.near:
            return None
        mode = getattr(node.operation, "mode", axes.mode) or axes.mode
        near = (("GMP" if mode == "max" else "GAP", axes.near),)
        if reduces or not node.inputs:
            return Membership(near=near)
        member = find_families(node, len(full_shape(self._graph, number)), over_images=False)
        return replace(member, near=(*member.near, *near))

    def _leads_to_output(self, number: int) -> bool:
        """Return whether the output reads a value other than to scale or shift a larger map.

        Squeeze-and-excite multiplies a map by weights that it computes from the map's mean.
        """
        graph = self._graph
        reached, alone = {number}, {number}  # computed from it; from nothing else
        for later in self._needed:
            read = graph.nodes[later - 1].inputs
            if later <= number or reached.isdisjoint(read):
                continue
            if alone.issuperset(read):
                alone.add(later)
            elif self._is_map(later) and any(map(self._is_map, {*read} - alone)):
                continue
            reached.add(later)
        return graph.output in reached

    def _is_map(self, value: int) -> bool:
        """Return whether a value is a map larger than 1x1, and not one that is laid out flat."""
        return len(full_shape(self._graph, value)) > 2 and self._axes[value].places > 1

    def _joins_values(self, number: int, node: Node) -> bool:
        """Return whether a node is a residual connection: a sum of two values of one shape.

        A value and its own mean may have one shape, too, if it has a single place. The sum of two
        pooled values that scales a map is none, either.
        """
        operation, read = node.operation, node.inputs
        if not isinstance(operation, Arithmetic) or operation.function != "add":
            return False
        if len(set(read)) < 2 or not (self._is_map(number) or self._leads_to_output(number)):
            return False
        shape = full_shape(self._graph, number)
        return all(full_shape(self._graph, value) == shape for value in read) and not any(
            self._reduces(one, other) for one, other in (read, read[::-1])
        )

    def _sums_products(self, node: Node) -> Weight | None:
        """Return the weight matrix if a node sums the products of features with its rows.

        Other products with a weight scale a value: they have as many elements as before, or are
        summed over places at which the value does not differ.
        """
        operation = node.operation
        if not isinstance(operation, Reduction) or operation.function not in ("sum", "mean"):
            return None
        product = self._graph.nodes[node.inputs[0] - 1] if any(node.inputs) else node
        if not isinstance(product.operation, Arithmetic) or product.operation.function != "mul":
            return None
        weight = product.operation.constant
        if not isinstance(weight, Weight) or not (weight.name or weight.source):
            return None
        after = full_shape(self._graph, node.inputs[0])
        read = full_shape(self._graph, product.inputs[0])
        read = (1,) * (len(after) - len(read)) + read
        larger = math.prod(after) > math.prod(read)
        return weight if larger and any(read[dim] > 1 for dim in operation.dims) else None

    def _reduces(self, value: int, other: int) -> bool:
        """Return whether a value is a reduction of another one."""
        node = self._graph.nodes[value - 1] if value else None
        return node is not None and isinstance(node.operation, Reduction) and other in node.inputs

    def _flattens(self, number: int, node: Node) -> bool:
        if not isinstance(node.operation, Reshape) or not node.inputs:
            return False
        before, after = self._axes[node.inputs[0]], full_shape(self._graph, number)
        return before.places > 1 and len(before.dims) > 2 and len(after) == 2 and node.batched


def _adds_weight(node: Node) -> bool:
    """Return whether a node adds a weight of the net's to a value."""
    operation = node.operation
    if not isinstance(operation, Arithmetic) or operation.function not in ("add", "sub"):
        return False
    constant = operation.constant
    return bool(getattr(constant, "name", "") or getattr(constant, "source", ""))


def _name_biases(layers: Iterable[Element]) -> list[str]:
    """Return the families of a weight that is added to the results of layers."""
    kinds = ((CONVOLUTION, CONVOLUTION_BIAS), ("Linear", LINEAR_BIAS))
    of_layers = {family for layer in layers for family in layer.families}
    return [BIAS, *(bias for kind, bias in kinds if kind in of_layers)]
