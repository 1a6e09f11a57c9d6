"""Notes on slips at a net's end: what acts on its logits, and how many there are.

A graph is followed back from its output, over what leaves the classes where they are, up to the
operation that computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from netlet.analysis.op_families import ACTIVATIONS
from netlet.analysis.ops import name_layer
from netlet.budgets import Budget, RuleResult
from netlet.graph import Graph, Node
from netlet.graph.graph import Shape
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Dropout,
    Elementwise,
    Operation,
    Permutation,
    Pooling,
    Reduction,
    Reshape,
    Softmax,
)


def write_end_notes(graph: Graph) -> list[str]:
    """Return what acts on a net's logits and should not, in the order from the output back."""
    if graph.output is None or graph.value_dependent:
        return []
    classes = count_outputs(graph.shape_of(graph.output))
    if classes is None:
        return []
    return [f"note: {text}" for text in _Walk(graph, classes).notes()]


def count_outputs(shape: Shape) -> int | None:
    """Return how many logits an output of this shape has, without ``N``; None if it has none."""
    return shape[0] if shape and prod(shape[1:]) == 1 else None


def write_class_notes(
    outputs: int | None, budget: Budget | None, image: Shape, classes: int | None = None
) -> list[str]:
    """Return a note if a net has more or fewer outputs than there are classes.

    Args:
        outputs: The outputs of the net; None if it returns no logits.
        budget: It may name a data set; without one, images of MNIST's size are taken for MNIST's.
        image: The shape of one image, ``C H W``.
        classes: The number of classes; None: that of the data set.
    """
    known = _find_classes(budget, image, classes)
    if known is None or outputs in (None, known[0]):
        return []
    noun = "output" if outputs == 1 else "outputs"
    return [f"note: the net has {outputs} {noun}, but {known[1]}; {_remedy(known[0])}"]


def check_outputs(
    outputs: int | None, budget: Budget, image: Shape, classes: int | None = None
) -> list[RuleResult]:
    """Return a rule that FAILs if a net has other outputs than the classes that it is scored on.

    Training refuses such a net. Where a budget asks for no accuracy, or names no data set, a note
    is enough.

    Args:
        outputs: As of :func:`write_class_notes`.
        budget: As there.
        image: As there.
        classes: As there.
    """
    known = _find_classes(budget, image, classes)
    if budget.target is None or (budget.dataset is None and classes is None):
        return []
    if known is None or outputs in (None, known[0]):
        return []
    expected, _ = known
    limit, found = f"exactly {expected}", str(outputs)
    return [RuleResult("outputs", limit, found, "-", "FAIL", (), _remedy(expected))]


def find_classes(budget: Budget, image: Shape) -> int | None:
    """Return the number of classes of the data set that a budget is for.

    It is None if the budget names no data set or one of the user's own, and for images of another
    size.

    Args:
        budget: The budget.
        image: The shape of one image, ``C H W``.
    """
    known = _find_classes(budget, image, None) if budget.dataset else None
    return None if known is None else known[0]


def _find_classes(
    budget: Budget | None, image: Shape, classes: int | None
) -> tuple[int, str] | None:
    """Return the number of classes, and how that is known."""
    if classes is not None:
        return classes, f"there are {classes} classes"
    from netlet.data.sources import MNIST, SOURCES  # its package takes a while to import

    source = SOURCES.get((budget.dataset if budget else None) or MNIST.name)
    if source is None or tuple(image[-2:]) != source.size:
        return None
    expected = len(source.class_names)
    return expected, f"{source.name} has {expected} classes"


def _remedy(classes: int) -> str:
    return f"give its last layer {classes} outputs"


@dataclass
class _Walk:
    """The way back from a net's output.

    Attributes:
        graph: The graph of the net.
        classes: The number of logits.
        pooled: Whether a pooling over the map has been passed.
    """

    graph: Graph
    classes: int
    pooled: bool = False

    def notes(self) -> list[str]:
        """Return a text for each slip."""
        found: list[str] = []
        follows = ""  # the function that is applied to the value
        later = ""  # the log_softmax that comes after
        value = self.graph.output or 0
        while value:
            node = self.graph.nodes[value - 1]
            if not node.batched or len(node.inputs) != 1:
                break
            operation = node.operation
            if _keeps_classes(operation):
                if not isinstance(operation, Reshape | Permutation):
                    before = self.graph.shape_of(node.inputs[0])
                    self.pooled |= prod(before[1:]) > prod(node.shape[1:])
            elif isinstance(operation, Softmax):
                ends = self._note_softmax(node, follows, later)
                later = name_node(node) if operation.function == "log_softmax" else ""
                # What acts on probabilities does not act on logits.
                found = ends if operation.function == "softmax" else found + ends
            elif isinstance(operation, Elementwise) and operation.function in ("log", "exp"):
                follows = operation.function
                value = node.inputs[0]
                continue
            elif node.shape[:1] != (self.classes,):
                break
            elif isinstance(operation, Dropout):
                found += self._note_dropout(node, operation)
            elif _is_activation(operation):
                # A ReLU of maps that are averaged, as in SqueezeNet, does no harm.
                if not self.pooled:
                    found.append(f"{name_node(node)} acts on the logits; leave it out")
            else:
                break
            follows = ""
            value = node.inputs[0]
        return found

    def _note_softmax(self, node: Node, follows: str, later: str) -> list[str]:
        operation = node.operation
        assert isinstance(operation, Softmax)
        found, name = list[str](), name_node(node)
        if operation.dim == 0:
            found.append(f"{name} normalizes over the images of a batch; use dim=1, the classes")
        elif node.shape[operation.dim - 1] == 1 < self.classes:
            found.append(f"{name} normalizes over a dimension of size 1; use dim=1, the classes")
        probabilities = operation.function == "softmax"
        if follows == "log":
            probabilities = False
        elif follows == "exp":
            probabilities = True
        if probabilities and later and not self.pooled:
            found.append(
                f"{name} comes before {later}, which already contains a softmax, so the net "
                f"learns slowly; leave {name} out"
            )
        elif probabilities and not self.pooled:
            ends, remedy = name, "leave the softmax out, or use log_softmax"
            if operation.function == "log_softmax":
                ends, remedy = f"exp of {name}", "leave exp out"
            found.append(
                f"the net ends in {ends}, but the cross-entropy of training expects logits, so "
                f"the net learns slowly; {remedy}"
            )
        return found

    def _note_dropout(self, node: Node, operation: Dropout) -> list[str]:
        if not operation.rate:
            return []
        what = "the maps that are pooled to the logits" if self.pooled else "the logits"
        return [
            f"{name_node(node)} is applied to {what}; remove it, or move it before the last "
            "layer with weights"
        ]


def name_node(node: Node) -> str:
    """Return what notes call a node: the layer that runs it, or the function of the net's code."""
    kind = node.layer or _name_operation(node.operation)
    return name_layer(node.path, kind) if node.path else kind


def describe_node(node: Node) -> str:
    """Return a node's operation and, unless it is in the net's own code, its module."""
    name = _name_operation(node.operation)
    return f"{node.path} ({name})" if node.path else name


def _name_operation(operation: Operation) -> str:
    name = operation.name
    if isinstance(operation, Activation) and (name, operation.parameters) == ("hardtanh", (0, 6)):
        return "relu6"
    return name


def _keeps_classes(operation: Operation) -> bool:
    """Return whether an operation only moves the logits, or pools their maps."""
    if isinstance(operation, Reduction):
        return 1 not in operation.dims and operation.function in ("mean", "sum", "amax", "max")
    return isinstance(operation, Reshape | Permutation | Pooling | AdaptivePooling)


def _is_activation(operation: Operation) -> bool:
    """Return whether an operation is an activation, and no clamp that only bounds large values."""
    if isinstance(operation, Elementwise):
        return operation.function in ACTIVATIONS
    if not isinstance(operation, Activation):
        return False
    if operation.function in ("clamp", "hardtanh"):
        low, high = operation.parameters
        return low >= 0 or high <= 1
    return True
