"""From a batch to gradients: one interface, and the plain way, which every faster one is held against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from netlet.data import Dataset
from netlet.native import NativeStep, NotNative
from netlet.nets.outputs import logits_of
from netlet.recipes import Recipe
from netlet.training.chance import Chance
from netlet.training.flat import Flat
from netlet.training.on_cpu import faster_layers, keep_freed_memory


class Step(Protocol):
    """What the engine asks of a way to run a net."""

    kind: str  # for the record

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Leave the gradients of a batch's mean loss in the parameters' ``grad``.

        Args:
            images: float32 ``N C H W``.
            labels: int64 ``N``.
        """

    def read(self) -> tuple[list[float], int]:
        """The losses of the batches since the last reading, and how many of their images were right.

        Waits for the device.
        """


@contextmanager
def step_for(
    net: nn.Module, flat: Flat, data: Dataset, recipe: Recipe, precision: str, chance: Chance
) -> Iterator[Step]:
    """The fastest way there is to run a net where it lies.

    Args:
        net: Its dropout rates as they shall be.
        flat: The same net's tensors.
        data: Gives the shape of an image.
        recipe: Gives batch and label smoothing, and may ask for the plain way.
        precision: ``bf16`` or ``float32``.
        chance: What dropout draws from.
    """
    device = flat.floats[0].device
    if device.type != "cpu":
        yield EagerStep(net, flat, recipe, precision)
        return
    keep_freed_memory()
    if recipe.step == "auto":
        try:
            yield CompiledStep(net, data, recipe, precision, chance)
            return
        except NotNative:
            pass
    with faster_layers(net, chance.masks):
        yield EagerStep(net, flat, recipe, precision)


class EagerStep:
    """As PyTorch runs it."""

    kind = "eager"

    def __init__(self, net: nn.Module, flat: Flat, recipe: Recipe, precision: str) -> None:
        self._net, self._smoothing = net, recipe.label_smoothing
        self._long = [*flat.matrices, *flat.vectors]
        self._bf16 = precision == "bf16"
        self._losses: list[torch.Tensor] = []
        self._right: list[torch.Tensor] = []

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """See :class:`Step`."""
        with torch.autocast(images.device.type, torch.bfloat16) if self._bf16 else nullcontext():
            logits = logits_of(self._net(images))
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=self._smoothing)
        for parameter in self._long:
            assert parameter.grad is not None
            parameter.grad.zero_()
        loss.backward()
        self._losses.append(loss.detach())
        self._right.append((logits.detach().argmax(1) == labels).sum())

    def read(self) -> tuple[list[float], int]:
        """See :class:`Step`."""
        found = torch.stack(self._losses).tolist(), int(torch.stack(self._right).sum())
        self._losses.clear()
        self._right.clear()
        return found


class CompiledStep:
    """Compiled for the very net, on the CPU.

    Raises:
        NotNative: That cannot be done.
    """

    kind = "compiled"

    def __init__(self, net: nn.Module, data: Dataset, recipe: Recipe, precision: str, chance: Chance) -> None:
        # One more than a batch: a lone last image joins the batch before.
        self._step = NativeStep(net, data.shape, recipe.batch + 1, half=precision == "bf16")
        self._smoothing, self._chance = recipe.label_smoothing, chance
        self._losses: list[float] = []
        self._right = 0

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """See :class:`Step`."""
        seed = int(self._chance.masks.random_raw())
        loss, right = self._step.gradients(images, labels, self._smoothing, seed)
        self._losses.append(loss)
        self._right += right

    def read(self) -> tuple[list[float], int]:
        """See :class:`Step`."""
        found = self._losses, self._right
        self._losses, self._right = [], 0
        return found
