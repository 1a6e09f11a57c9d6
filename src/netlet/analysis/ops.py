"""The result of tracing a net: its operations, and what follows from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from netlet.analysis.fields import Field
from netlet.analysis.hidden_weights import HiddenWeights
from netlet.analysis.windows import Window
from netlet.budgets import IN_TRAINING_ONLY, NEVER_RAN, NOT_ON_BLANK_IMAGES
from netlet.budgets.structure import Structure
from netlet.display import Displayed
from netlet.nets.registered import count_numbers, list_parameters


def name_layer(path: str, kind: str) -> str:
    """Return what notes call a module: ``layer 2 (MaxPool2d)``; ``(net)`` for the net itself.

    Args:
        path: As in ``named_modules()``.
        kind: The name of its class.
    """
    return f"layer {path} ({kind})" if path else "(net)"


@dataclass
class Op(Displayed):
    """One run of a layer, a function or a container.

    Attributes:
        path: The module's path as in ``named_modules()``; for a function, the module that called
            it.
        kind: The name of the class or function.
        depth: The depth of the module tree; 0 for the net itself.
        module: The module; None for a function.
        end_order: The position in the order in which operations finished.
        leaf: False for a container, that is, if other operations ran inside it.
        own_parameters: The number of parameters of its own that no earlier operation had.
        repeated: Whether the module ran before.
        tied: Whether it has parameters that another module had before.
        output: The output shape for one image, with a batch dimension of 1.
        macs: Multiply-adds for one image; None if they cannot be counted.
        field: The receptive field of the output.
        of_weights: Whether a module computes its output from weights alone: it is no feature map.
        functions: The functions called by a module that is not one of torch's layers.
        uncounted: Those of them whose multiply-adds are not known.
        windows: The windows that slid over a feature map.
    """

    path: str
    kind: str
    depth: int
    module: nn.Module | None
    end_order: int = 0
    leaf: bool = True
    own_parameters: int = 0
    repeated: bool = False
    tied: bool = False
    output: tuple[int, ...] = ()
    macs: int | None = 0
    field: Field = None
    of_weights: bool = False
    functions: list[str] = dataclasses.field(default_factory=list)
    uncounted: list[str] = dataclasses.field(default_factory=list)
    windows: list[Window] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """The name shown in tables."""
        return self.path or "(net)"

    def _facts(self) -> Mapping[str, object]:
        return {
            "path": self.path,
            "kind": self.kind,
            "output": self.output,
            "own_parameters": self.own_parameters,
            "macs": self.macs,
        }


@dataclass(frozen=True)
class IdleModule:
    """A module of which nothing ran on blank images in evaluation mode.

    Attributes:
        path: As in ``named_modules()``.
        kind: The name of its class.
        parameters: The number of parameters of it that nothing has read.
        in_training: Whether it runs in training mode.
    """

    path: str
    kind: str
    parameters: int
    in_training: bool = False


@dataclass(frozen=True)
class UnrunModule:
    """A module with parameters of its own that did not run.

    Attributes:
        path: As in ``named_modules()``; empty for the net.
        kind: The name of its class.
        parameters: Their number, without those that other rows have; None if the module is lazy,
            so that it has no shapes yet.
    """

    path: str
    kind: str
    parameters: int | None

    @property
    def name(self) -> str:
        """The name shown in tables."""
        return self.path or "(net)"


@dataclass
class Trace(Displayed):
    """What one run of a net showed.

    Attributes:
        net: The net.
        shape: The input shape ``C H W``.
        ops: The operations in the order in which they started; the first is the net itself.
        value_dependent: The name of the module that first read a value of a tensor, after the
            line of its code, or None. From there on, the path may depend on the image.
        called_by_parts: Modules that did not run although operations read their parameters.
        unused: Modules that never ran and none of whose parameters was read.
        activation_bytes: The peak of activation memory for one image, or None if unknown.
        forward_backward_bytes: The outputs of all operations and their gradients, for one image.
        hidden: Weights that the net read and that are not parameters of it.
        why_unknown: Why the receptive field of its output is unknown; empty if it is known, or if
            the output does not depend on the images.
        notes: Notes on slips in the net; ``write_notes`` adds all others.
        outputs: The number of logits; None if the net returns none.
        one_image: The shape of its output for a single image; None if that is ``1 K``.
        idle: Modules that the net built and did not run.
        warnings: Those that PyTorch raised, each with the name of the layer that ran.
        describe: Returns what the net consists of, for the rules of a budget.
        made: Names of parameters that the net makes anew for each evaluation. They count as what
            they are computed from.
        in_one_mode: Parameters that may be registered in training or in evaluation mode only, with
            their names.
    """

    net: nn.Module
    shape: tuple[int, ...]
    ops: list[Op]
    value_dependent: str | None
    called_by_parts: list[UnrunModule]
    unused: list[UnrunModule]
    activation_bytes: int | None
    forward_backward_bytes: int
    hidden: tuple[HiddenWeights, ...] = ()
    why_unknown: str = ""
    notes: tuple[str, ...] = ()
    outputs: int | None = None
    one_image: tuple[int, ...] | None = None
    idle: tuple[IdleModule, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    describe: Callable[[], Structure] | None = None
    made: frozenset[str] = frozenset()
    in_one_mode: Sequence[tuple[str, torch.Tensor]] = ()

    @property
    def parameters(self) -> int:
        """The number of weights: the net's parameters, and those that it hides."""
        return count_numbers(self.list_parameters()) + sum(w.numbers for w in self.hidden)

    def list_parameters(self) -> list[torch.Tensor]:
        """Return the net's own parameters, the same ones in training and in evaluation mode."""
        found = [(name, p) for name, p in list_parameters(self.net) if name not in self.made]
        known = {(name, count_numbers([p])) for name, p in found}
        # It may make a layer anew for each training, too.
        found += [
            (name, p) for name, p in self.in_one_mode if (name, count_numbers([p])) not in known
        ]
        return list({id(p): p for _, p in found}.values())

    @property
    def output(self) -> tuple[int, ...]:
        """The net's output shape for one image, with a batch dimension of 1."""
        return self.ops[0].output

    @property
    def field(self) -> Field:
        """The receptive field of the net's output."""
        return self.ops[0].field

    def leaves(self) -> list[Op]:
        """Return layers and functions, without containers, in the order in which they finished."""
        return sorted((op for op in self.ops if op.leaf), key=lambda op: op.end_order)

    def say_when_it_runs(self, module: UnrunModule) -> str:
        """Return whether a module that did not run in evaluation runs at all, in a few words."""
        above = [idle for idle in self.idle if f"{module.path}.".startswith(f"{idle.path}.")]
        if module.parameters is None:
            return NEVER_RAN
        if any(idle.in_training for idle in above):
            return IN_TRAINING_ONLY
        return NOT_ON_BLANK_IMAGES if self.value_dependent else NEVER_RAN

    def macs(self) -> int | None:
        """Return the multiply-adds for one image.

        None if they depend on the image or cannot be counted.
        """
        if self.value_dependent:
            return None
        counts = [op.macs for op in self.ops if op.leaf]
        return None if any(macs is None for macs in counts) else sum(macs or 0 for macs in counts)

    def _facts(self) -> Mapping[str, object]:
        return {
            "net": type(self.net).__name__,
            "shape": self.shape,
            "ops": len(self.ops),
            "parameters": self.parameters,
            "macs": self.macs(),
            "outputs": self.outputs,
        }
