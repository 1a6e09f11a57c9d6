"""The vocabulary: every operation that a graph can consist of.

Names and arguments are PyTorch's. An operation holds all of its arguments except the values that
it reads. What is outside the vocabulary is :class:`Opaque`. ``rare_operations`` has the rest of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netlet.graph.graph import Weight

Sizes = tuple[int, ...]
PoolMode = Literal["max", "mean"]


@dataclass(frozen=True)
class Operation:
    """The base of all operations."""

    @property
    def name(self) -> str:
        """What messages and the support matrix call it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class NamedOperation(Operation):
    """The base of operations that stand for several functions.

    Attributes:
        function: PyTorch's name of the function.
    """

    function: str

    @property
    def name(self) -> str:
        """The function."""
        return self.function


@dataclass(frozen=True)
class Convolution(Operation):
    """A cross-correlation with zero padding, of any rank; weight ``O I/groups K...``."""

    weight: Weight
    bias: Weight | None
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int
    transposed: bool = False

    @property
    def name(self) -> str:
        """``conv2d`` and so on."""
        return f"conv{'_transpose' * self.transposed}{len(self.stride)}d"


@dataclass(frozen=True)
class Linear(Operation):
    """``x @ weight.T + bias`` along the last dimension; weight ``O I``."""

    weight: Weight
    bias: Weight | None


@dataclass(frozen=True)
class BatchNorm(Operation):
    """Batch norm of channels, dimension 1.

    Attributes:
        weight: ``C``; None: 1.
        bias: ``C``; None: 0.
        mean: Running mean; None if there is none.
        var: Running variance; None if there is none.
        by_batch: Whether this run normalizes by the statistics of its batch.
        momentum: Share of the batch in the new running statistics.
        eps: Added to the variance.
    """

    weight: Weight | None
    bias: Weight | None
    mean: Weight | None
    var: Weight | None
    by_batch: bool
    momentum: float
    eps: float

    @property
    def name(self) -> str:
        """``batch_norm``."""
        return "batch_norm"


@dataclass(frozen=True)
class Activation(NamedOperation):
    """An element-wise function of one value.

    Attributes:
        function: ``relu``, ``clamp``, ``hardtanh``, ``leaky_relu``, ``elu``, ``gelu``,
            ``gelu_tanh``, ``silu``, ``sigmoid``, ``tanh``, ``hardswish``, ``hardsigmoid``,
            ``prelu``.
        parameters: Numbers that the function has: both bounds of ``clamp`` and ``hardtanh``
            (infinite where there is none), the slope of ``leaky_relu``, and of ``elu`` alpha, scale
            and input scale.
        weight: The slopes of ``prelu``.
    """

    parameters: tuple[float, ...] = ()
    weight: Weight | None = None


@dataclass(frozen=True)
class TensorClamp(Operation):
    """A clamp whose bounds are tensors.

    Attributes:
        low: The lower bound, one number or many; None if there is none.
        high: As ``low``.
    """

    low: Weight | None
    high: Weight | None

    @property
    def name(self) -> str:
        """``clamp``."""
        return "clamp"


@dataclass(frozen=True)
class Elementwise(NamedOperation):
    """Any other element-wise function of one or more values, such as ``exp``.

    Attributes:
        function: PyTorch's name.
        parameters: The exponent of ``pow`` if it is a number, beta and threshold of ``softplus``,
            alpha of ``celu``, and the threshold of ``threshold`` with the value below it.
    """

    parameters: tuple[float, ...] = ()


@dataclass(frozen=True)
class Arithmetic(NamedOperation):
    """``add``, ``sub``, ``mul`` or ``div`` of two values, or of a value and a constant.

    Attributes:
        function: One of the four.
        constant: None: of two values.
        constant_first: Whether the constant is the first operand, as in ``1 - x``.
        alpha: Factor of the second operand of ``add`` and ``sub``.
    """

    function: Literal["add", "sub", "mul", "div"]
    constant: Weight | float | None = None
    constant_first: bool = False
    alpha: float = 1.0


@dataclass(frozen=True)
class Pooling(Operation):
    """The maximum or mean of windows.

    Attributes:
        mode: Which of the two.
        window: Its size.
        stride: From one window to the next.
        padding: At both ends of each axis: minus infinity for the maximum, zero for the mean.
        dilation: From one element of a window to the next.
        ceil_mode: Whether a last window may reach beyond the padding.
        count_include_pad: Whether padding counts in the mean.
        divisor: The divisor of the sum, in place of the number of elements; None for the mean.
    """

    mode: PoolMode
    window: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None

    @property
    def name(self) -> str:
        """``max_pool2d`` or ``avg_pool2d`` and so on."""
        return f"{'max' if self.mode == 'max' else 'avg'}_pool{len(self.window)}d"


@dataclass(frozen=True)
class AdaptivePooling(Operation):
    """Pooling to a given size, with windows that may differ in size."""

    mode: PoolMode
    size: Sizes

    @property
    def name(self) -> str:
        """``adaptive_avg_pool2d`` and so on."""
        return f"adaptive_{'max' if self.mode == 'max' else 'avg'}_pool{len(self.size)}d"


@dataclass(frozen=True)
class Reduction(NamedOperation):
    """One value from all elements along some dimensions (0 is the batch).

    Attributes:
        function: ``mean``, ``sum``, ``amax`` and so on.
        dims: Sorted.
        keepdim: Whether they stay, with size 1.
    """

    dims: Sizes
    keepdim: bool


@dataclass(frozen=True)
class Dropout(NamedOperation):
    """Dropout.

    Attributes:
        function: ``dropout`` (of elements), ``dropout2d`` (of channels), ``alpha_dropout`` and so
            on.
        rate: 0 to 1.
        active: Whether this run drops anything.
    """

    rate: float
    active: bool


@dataclass(frozen=True)
class Concatenation(Operation):
    """Values joined along a dimension (0 is the batch)."""

    dim: int

    @property
    def name(self) -> str:
        """``cat``."""
        return "cat"


@dataclass(frozen=True)
class Reshape(NamedOperation):
    """The same elements in the same order, in another shape, by ``view``, ``squeeze`` and so on."""


@dataclass(frozen=True)
class Padding(Operation):
    """Constants around a value.

    Attributes:
        sizes: As for ``F.pad``: two numbers for each dimension, the last one first.
        value: The constant.
    """

    sizes: Sizes
    value: float

    @property
    def name(self) -> str:
        """``pad``."""
        return "pad"


@dataclass(frozen=True)
class Slice(NamedOperation):
    """Elements ``start``, ``start + step`` and so on along a dimension (0 is the batch).

    Attributes:
        function: ``slice``, ``select``, ``split`` and so on.
        dim: The dimension.
        start: The first element.
        step: From one element to the next.
        length: The number of elements.
        removed: Whether the dimension is removed.
    """

    dim: int
    start: int
    step: int
    length: int
    removed: bool = False


@dataclass(frozen=True)
class Permutation(NamedOperation):
    """Dimensions in another order, as by ``permute`` or ``transpose`` (0 is the batch)."""

    order: Sizes


@dataclass(frozen=True)
class Softmax(NamedOperation):
    """Softmax or log-softmax along a dimension (0 is the batch)."""

    function: Literal["softmax", "log_softmax"]
    dim: int


@dataclass(frozen=True)
class Opaque(NamedOperation):
    """An operation outside the vocabulary, or one of it called in an unusual way.

    Attributes:
        function: PyTorch's name.
        why: What is unusual; empty if the operation itself is unknown.
        like: What has the same cost and depends on the same elements, if that is known.
        multiply_adds: For all images together; None if they are unknown. Used if nothing is alike.
    """

    why: str = ""
    like: Operation | None = None
    multiply_adds: int | None = None
