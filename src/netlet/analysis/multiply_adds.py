"""Count the multiply-adds of an operation, with one function for each that has any.

The count of an operation without a function here is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from netlet.analysis.no_multiply_adds import NO_MULTIPLY_ADDS
from netlet.graph import Weight
from netlet.graph.operations import (
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenation,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Padding,
    Permutation,
    Pooling,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    TensorClamp,
)
from netlet.graph.rare_operations import (
    Attention,
    EdgePadding,
    FurtherOutput,
    GatedHalf,
    Interpolation,
    MatrixProduct,
    OtherNorm,
    Rearrangement,
    Scan,
    Sorting,
    Stack,
)

Shape = tuple[int, ...]
Count = Callable[[Any, Sequence[Shape], Shape], int | None]
COUNTS: dict[type[Operation], Count] = {}


def count_multiply_adds(operation: Operation, inputs: Sequence[Shape], output: Shape) -> int | None:
    """Return the multiply-adds of an operation; None if they are unknown.

    Args:
        operation: The operation.
        inputs: Shapes of the values that it reads, with all dimensions.
        output: Shape of its output, with all dimensions.
    """
    count = COUNTS.get(type(operation))
    return None if count is None else count(operation, inputs, output)


def _counts(*kinds: type[Operation]) -> Callable[[Count], Count]:
    def register(function: Count) -> Count:
        COUNTS.update(dict.fromkeys(kinds, function))
        return function

    return register


@_counts(
    Activation,
    AdaptivePooling,
    Arithmetic,
    BatchNorm,
    Concatenation,
    Dropout,
    EdgePadding,
    Elementwise,
    FurtherOutput,
    GatedHalf,
    Interpolation,
    OtherNorm,
    Padding,
    Permutation,
    Pooling,
    Rearrangement,
    Reduction,
    Reshape,
    Scan,
    Slice,
    Softmax,
    Sorting,
    Stack,
    TensorClamp,
)
def _count_none(operation: Operation, inputs: Sequence[Shape], output: Shape) -> int:
    return 0


@_counts(Convolution)
def _count_convolution(operation: Convolution, inputs: Sequence[Shape], output: Shape) -> int:
    # One for each element of the output and weight of its channel; if it is transposed, of the
    # input.
    positions = inputs[0] if operation.transposed else output
    return prod(positions) // positions[1] * operation.weight.tensor.numel()


@_counts(Linear)
def _count_linear(operation: Linear, inputs: Sequence[Shape], output: Shape) -> int:
    return prod(output) * inputs[0][-1]


@_counts(MatrixProduct)
def _count_matrix_product(operation: MatrixProduct, inputs: Sequence[Shape], output: Shape) -> int:
    first, _ = operand_shapes(operation.operands, inputs)[-2:]
    return prod(output) * first[-1]


@_counts(Attention)
def _count_attention(operation: Attention, inputs: Sequence[Shape], output: Shape) -> int:
    query, key, _ = operand_shapes(operation.operands, inputs)
    return (prod(query) + prod(output)) * key[-2]


@_counts(Opaque)
def _count_opaque(operation: Opaque, inputs: Sequence[Shape], output: Shape) -> int | None:
    like = operation.like
    if like is not None and type(like) in COUNTS:
        return count_multiply_adds(like, inputs, output)
    if operation.multiply_adds is None and operation.function in NO_MULTIPLY_ADDS:
        return 0
    return operation.multiply_adds


def operand_shapes(operands: Sequence[Weight | None], inputs: Sequence[Shape]) -> list[Shape]:
    """Return the shapes of operands, of which some are values and some constants."""
    values = iter(inputs)
    return [next(values) if w is None else tuple(w.tensor.shape) for w in operands]
