"""Max and mean pooling with any window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch.nn import functional as F

from netlet.backends.cpu.parts.base import Code, Part, Step

Mode = Literal["max", "mean", "amax"]
_MODES: dict[Mode, int] = {"max": 0, "mean": 1, "amax": 2}


@dataclass(frozen=True, eq=False)
class Pool(Part):
    """A pooling.

    Attributes:
        mode: ``amax`` is ``max``, but equal elements share the gradient.
        size: Height and width of the input.
        window: Its size.
        stride: Downwards and to the right.
        padding: Rows above and columns left.
        dilation: Downwards and to the right.
        adaptive: Windows that divide the map as evenly as possible.
        ceil_mode: Whether a last window may reach beyond the padding.
        include_pad: Whether padding counts in the mean.
        divisor: The divisor of the sum; None: the number of elements.
    """

    mode: Mode = "max"
    size: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    adaptive: bool = False
    ceil_mode: bool = False
    include_pad: bool = True
    divisor: int | None = None

    sources: ClassVar[tuple[str, ...]] = ("maps", "pooling")

    @property
    def is_global_mean(self) -> bool:
        """Whether it is the mean of the whole map."""
        whole = self.window == self.size and self.padding == (0, 0) and self.divisor is None
        return self.mode == "mean" and whole and not self.adaptive

    def definitions(self, code: Code) -> str:
        """Return the pooling's literal."""
        values = [
            *(_MODES[self.mode], *self.size, self.shape.h, self.shape.w, self.shape.lanes),
            *(*self.window, *self.stride, *self.padding, *self.dilation),
            *(self.adaptive, self.include_pad, self.divisor or 0),
        ]
        text = ", ".join(str(int(value)) for value in values)
        return f"#define POOL_{code.number} ((Pool){{{text}}})"

    def forward(self, code: Code) -> str:
        """Return the pooling of one image."""
        return f"pool_forward(POOL_{code.number}, {code.read(0)}, {code.output});"

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        dx = f"{code.workspace}.scratch"
        return (
            f"pool_backward(POOL_{code.number}, {code.read(0)}, {code.gradient}, {dx});\n    "
            + code.pass_gradient(0, dx)
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output in PyTorch."""
        (x,) = inputs
        if self.mode == "amax":
            whole = [dim for dim in (2, 3) if self.window[dim - 2] == self.size[dim - 2]]
            return x.amax(whole, keepdim=True)
        size = (self.shape.h, self.shape.w)
        if self.adaptive:
            pool = F.adaptive_max_pool2d if self.mode == "max" else F.adaptive_avg_pool2d
            return pool(x, size)
        if self.mode == "max":
            return F.max_pool2d(
                x, self.window, self.stride, self.padding, self.dilation, self.ceil_mode
            )
        return F.avg_pool2d(
            x,
            self.window,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.include_pad,
            self.divisor,
        )
