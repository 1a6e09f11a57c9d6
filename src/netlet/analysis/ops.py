"""What one run of a net showed: its steps, and what follows from them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import nn

from netlet.analysis.fields import Field
from netlet.analysis.window_ops import Window


@dataclass
class Op:
    """A layer or function that ran once; a container if other steps ran inside it."""

    path: str  # as in named_modules(); of a function: the module it ran in
    kind: str  # the class's name, or the function's
    depth: int  # 0 for the net itself
    module: nn.Module | None  # None: a function
    order: int = 0  # by beginning
    done: int = 0  # by end
    leaf: bool = True
    own: int = 0  # parameters of its own, those counted before left out
    repeated: bool = False  # a module that ran before
    tied: bool = False  # holds parameters that another module brought
    output: tuple[int, ...] = ()  # shape for one image, the batch dimension being 1
    macs: int | None = 0  # multiply-adds of one image
    field: Field = None
    functions: list[str] = dataclasses.field(
        default_factory=list
    )  # what it called, if it is no layer of torch's
    windows: list[Window] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """What a table calls it."""
        return self.path or "(net)"


@dataclass
class Trace:
    """What one run of a net showed."""

    net: nn.Module
    shape: tuple[int, ...]  # of the input, without the batch
    steps: list[Op]
    value_dependent: str | None  # where the net first read a value back
    unused: list[tuple[str, int]]  # modules with parameters that never ran, and how many
    activation_bytes: int | None

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the net's output for one image, batch dimension included."""
        return self.steps[0].output

    @property
    def field(self) -> Field:
        """The receptive field of the net's output."""
        return self.steps[0].field

    def leaves(self) -> list[Op]:
        """What did the work: layers and functions, in the order in which they finished."""
        return sorted((step for step in self.steps if step.leaf), key=lambda step: step.done)

    def macs(self) -> int | None:
        """Multiply-adds of one image; None where they depend on the image or cannot be counted."""
        if self.value_dependent:
            return None
        found = [step.macs for step in self.steps if step.leaf]
        return None if any(macs is None for macs in found) else sum(macs or 0 for macs in found)
