"""What all parts of a compiled program have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch

# Numbers in a vector register of the processor, and how many registers can hold sums. Compilers
# split wider vectors, and then keep them in memory.
LANES, REGISTERS = {"AVX512": (16, 30), "AVX2": (8, 13)}.get(
    torch.backends.cpu.get_cpu_capability(), (4, 13)
)
IMAGE = -1  # in place of a part's number: the images themselves


@dataclass(frozen=True)
class MapShape:
    """Channels, height and width of a feature map; a vector of ``K`` numbers is ``K 1 1``.

    ``vector`` is how many channels the C code computes at once.
    """

    channels: int
    h: int = 1
    w: int = 1
    vector: int = LANES

    @property
    def blocks(self) -> int:
        """Vectors that hold the channels of a pixel."""
        return -(-self.channels // self.vector)

    @property
    def lanes(self) -> int:
        """The channels, rounded up to full vectors."""
        return self.blocks * self.vector

    @property
    def size(self) -> int:
        """Numbers that the map takes in memory."""
        return self.h * self.w * self.lanes

    def literal(self) -> str:
        """Return it as a ``Map`` of maps.c."""
        return f"((Map){{{self.h}, {self.w}, {self.lanes}, {self.channels}}})"


@dataclass(frozen=True, eq=False)
class Tensors:
    """The tensors of the net that a part reads and trains; None for one that it does not have."""

    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    gamma: torch.Tensor | None = None
    beta: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    var: torch.Tensor | None = None
    epsilon: float = 0.0
    momentum: float = 0.0

    @property
    def parameters(self) -> list[torch.Tensor]:
        """Those that are trained."""
        found = (self.weight, self.bias, self.gamma, self.beta)
        return [tensor for tensor in found if tensor is not None]


@dataclass(frozen=True)
class Code:
    """What a part needs to write itself down as C.

    Attributes:
        number: The number of the part.
        half: Whether convolutions read bfloat16.
        registers: Vector registers that can hold sums.
        inputs: The parts that it reads.
        adds: For each input, whether the part adds its gradient to that of others.
        wanted: For each input, whether anything needs its gradient.
    """

    number: int
    half: bool
    registers: int
    inputs: tuple[Part | None, ...]
    adds: tuple[bool, ...]
    wanted: tuple[bool, ...]
    numbers: tuple[int, ...]

    def read(self, position: int) -> str:
        """Return the C expression of an input, of the image in ``slot``."""
        return f"input_{self.numbers[position]}(net, arena, thread, slot, training)"

    @property
    def output(self) -> str:
        """The C expression of the part's kept output."""
        part_size = f"SIZE_{self.number}"
        return f"(arena->v[{self.number}] + (size_t)slot * {part_size})"

    @property
    def gradient(self) -> str:
        """The C expression of the gradient of the part's output."""
        return f"(arena->g[{self.number}] + (size_t)slot * SIZE_{self.number})"

    @property
    def workspace(self) -> str:
        """The C expression of the thread's memory for the part."""
        return f"arena->workspace[thread][{self.number}]"

    def pass_gradient(self, position: int, dx: str) -> str:
        """Return C that adds a gradient to that of an input, if anything needs it."""
        if not self.wanted[position]:
            return ""
        j = self.numbers[position]
        to = f"arena->g[{j}] + (size_t)slot * SIZE_{j}"
        return f"add_gradient({dx}, {to}, SIZE_{j}, {int(self.adds[position])});"


@dataclass(frozen=True)
class Step:
    """What a part needs to compute itself in PyTorch, in the way that the C code does.

    Attributes:
        training: Normalize by the batch and drop.
        half: Whether convolutions read bfloat16.
        mask: The mask of dropout: 1 where a value is kept; None: nothing is dropped.
        momentum: The momentum of running statistics, in place of the net's.
        rounded: Rounds to bfloat16, if ``half``: the values, the gradient, or both.
    """

    training: bool
    half: bool
    mask: torch.Tensor | None
    momentum: float | None
    rounded: Callable[..., torch.Tensor]


@dataclass(frozen=True, eq=False)
class Part(ABC):
    """One part of a program.

    Attributes:
        inputs: Numbers of the parts that it reads, or :data:`IMAGE`.
        shape: The shape of its output.
        tensors: The net's tensors that it uses.
        dropout: Its rate of dropout.
    """

    inputs: tuple[int, ...]
    shape: MapShape
    tensors: Tensors = field(default_factory=Tensors)
    dropout: float = 0.0

    # Whether the output is stored; that of a stage is computed when it is read.
    kept: ClassVar[bool] = True
    # The C files that the part needs besides those that every program has.
    sources: ClassVar[tuple[str, ...]] = ("maps",)

    @property
    def norm_values(self) -> int:
        """How many values of a channel one image adds to a batch norm; 0: it has none."""
        return 0

    def masks(self) -> int:
        """Return the vectors of dropout masks for one image."""
        return 0

    def scratch(self, code: Code) -> int:
        """Return the float numbers that the backward pass needs."""
        return sum(part.shape.size for part in code.inputs if part is not None)

    def definitions(self, code: Code) -> str:
        """Return C definitions before all functions."""
        return ""

    @abstractmethod
    def forward(self, code: Code) -> str:
        """Return the C statements of the forward pass of the image in ``slot``."""

    @abstractmethod
    def backward(self, code: Code) -> str:
        """Return the C statements of the backward pass of the image in ``slot``."""

    def norm_gradient_sums(self, code: Code) -> str:
        """Return the C statement that adds one image to the sums of batch norm's gradient."""
        return ""

    @abstractmethod
    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output ``N C H W`` in PyTorch."""


def normalize(tensors: Tensors, y: torch.Tensor, exact: torch.Tensor, step: Step) -> torch.Tensor:
    """Return a batch norm; in training, update the running statistics.

    Args:
        tensors: Its tensors.
        y: The values to normalize, ``N C H W``.
        exact: The same before rounding, which the statistics are of.
        step: How to compute it.
    """
    if step.training:
        var, mean = torch.var_mean(exact.double(), (0, 2, 3), correction=0)
        count = exact.numel() // exact.shape[1]
        if tensors.mean is not None and tensors.var is not None:
            momentum = tensors.momentum if step.momentum is None else step.momentum
            tensors.mean.add_(momentum * (mean.float() - tensors.mean))
            unbiased = (var * count / (count - 1)).float()
            tensors.var.add_(momentum * (unbiased - tensors.var))
    else:
        assert tensors.mean is not None
        assert tensors.var is not None
        mean, var = tensors.mean.double(), tensors.var.double()
    inv_std = (var + tensors.epsilon).rsqrt().float()
    gamma = torch.ones_like(inv_std) if tensors.gamma is None else tensors.gamma
    beta = torch.zeros_like(inv_std) if tensors.beta is None else tensors.beta
    return _Norm.apply(y, mean.float(), inv_std, gamma, beta, step.training)  # type: ignore[no-untyped-call,no-any-return]


def per_channel(values: torch.Tensor) -> torch.Tensor:
    """Return values of channels in the shape that is multiplied with ``N C H W``."""
    return values.view(1, -1, 1, 1)


class _Norm(torch.autograd.Function):
    """Batch norm whose statistics may be those of values before rounding."""

    @staticmethod
    def forward(ctx, y, mean, inv_std, gamma, beta, training):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(y, mean, inv_std, gamma)
        ctx.training = training
        scale = inv_std * gamma
        return y * per_channel(scale) + per_channel(beta - mean * scale)

    @staticmethod
    def backward(ctx, dz):  # type: ignore[no-untyped-def]
        y, mean, inv_std, gamma = ctx.saved_tensors
        normalized = (y - per_channel(mean)) * per_channel(inv_std)
        d_beta, d_gamma = dz.sum((0, 2, 3)), (dz * normalized).sum((0, 2, 3))
        count = dz.numel() // dz.shape[1]
        dy = per_channel(inv_std * gamma) * (
            dz - per_channel(d_beta / count) - normalized * per_channel(d_gamma / count)
        )
        return dy, None, None, d_gamma, d_beta, None
