"""A net as a program for the CPU: parts that read the images or earlier parts, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from netlet.backends.cpu.parts.base import IMAGE, MapShape, Part, Step
from netlet.backends.cpu.parts.maps import Dropout
from netlet.backends.cpu.parts.stage import Stage

Masks = Sequence[torch.Tensor | None]


@dataclass(frozen=True, eq=False)
class End:
    """How the logits are computed.

    Attributes:
        part: Number of the part whose output is read.
        shape: The shape of that output.
        averaged: Whether it is averaged over the map; else it is flattened.
        weight: The weight of the linear layer, ``K`` times the features; None: the features are the
            logits.
        bias: The bias of the linear layer.
        softmax: ``softmax`` or ``log_softmax`` if the net ends in one. The program leaves the
            latter out, since log-probabilities and logits have the same loss.
    """

    part: int
    shape: MapShape
    averaged: bool
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    softmax: str = ""

    @property
    def features(self) -> int:
        """Numbers that the linear layer reads, in memory."""
        return self.shape.lanes if self.averaged else self.shape.size

    @property
    def classes(self) -> int:
        """The number of logits."""
        return self.shape.channels if self.weight is None else len(self.weight)


@dataclass(frozen=True, eq=False)
class Program:
    """Parts in order, and the end.

    Attributes:
        shape: The shape of one image.
        parts: Each reads earlier ones only.
        end: How the logits are computed.
    """

    shape: MapShape
    parts: tuple[Part, ...]
    end: End

    @property
    def classes(self) -> int:
        """The number of logits."""
        return self.end.classes

    def readers(self, number: int) -> list[int]:
        """Return the parts that read a part, in order, without the end."""
        return [k for k, part in enumerate(self.parts) if number in part.inputs]

    def is_trained(self, number: int) -> bool:
        """Return whether the gradient of a part's output is needed by a parameter before it."""
        if number == IMAGE:
            return False
        part = self.parts[number]
        return bool(part.tensors.parameters) or any(map(self.is_trained, part.inputs))


def reference_logits(
    program: Program,
    images: torch.Tensor,
    *,
    half: bool,
    training: bool,
    masks: Masks = (),
    momentum: float | None = None,
) -> torch.Tensor:
    """Compute the logits ``N K`` in PyTorch, rounded to bfloat16 where the C code rounds.

    Autocast rounds at other places than the compiled code, and with random images most of a
    gradient cancels out, so the two differ by up to half of a gradient. With the rounding of the
    compiled code, PyTorch agrees with it to about a thousandth, and a wrong library cannot hide
    behind rounding.

    Args:
        program: With the parameters and buffers to use.
        images: ``N C H W``.
        half: Round as the compiled code does that reads bfloat16.
        training: Normalize by the batch, update the running statistics, and apply dropout.
        masks: For each part, as :func:`dropout_masks` returns them; without them nothing is
            dropped.
        momentum: The momentum of running statistics, in place of the net's.
    """

    def rounded(x: torch.Tensor, *, values: bool = False, gradient: bool = False) -> torch.Tensor:
        result: torch.Tensor = _Round.apply(x, values, gradient) if half else x  # type: ignore[no-untyped-call]
        return result

    outputs: list[torch.Tensor] = []
    for k, part in enumerate(program.parts):
        inputs = [images if number == IMAGE else outputs[number] for number in part.inputs]
        mask = masks[k] if training and masks else None
        output = part.reference(inputs, Step(training, half, mask, momentum, rounded))
        outputs.append(rounded(output, values=part.kept, gradient=True))
    end = program.end
    features = outputs[end.part].mean((2, 3)) if end.averaged else outputs[end.part].flatten(1)
    if end.weight is not None:
        features = F.linear(features, end.weight.flatten(1), end.bias)
    return features.softmax(1) if end.softmax == "softmax" else features


def dropout_masks(program: Program, n: int, seed: int) -> list[torch.Tensor | None]:
    """Return the masks that the compiled code draws: 1 where a value is kept, ``N C H W``.

    Args:
        program: Provides rates and shapes.
        n: Number of images.
        seed: The seed of the step.
    """
    return [
        _dropout_mask(part, n, seed + k) if part.dropout else None
        for k, part in enumerate(program.parts)
    ]


def _dropout_mask(part: Part, n: int, seed: int) -> torch.Tensor:
    """The same as ``random_lane_mask`` of activation.c, for all vectors of a batch."""
    h, w = (part.conv_h, part.conv_w) if isinstance(part, Stage) else (part.shape.h, part.shape.w)
    if isinstance(part, Dropout) and part.channelwise:
        h = w = 1
    blocks, vector = part.shape.blocks, part.shape.vector
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32 & 0xFFFFFFFF)
    counter = np.arange(n * h * w * blocks, dtype=np.uint32)
    r = np.arange(vector, dtype=np.uint32) * np.uint32(0x9E3779B9)
    r = r ^ ((counter + low) * np.uint32(0x85EBCA6B) + high)[:, None]
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        r ^= r >> np.uint32(shift)
        r *= np.uint32(factor)
    r ^= r >> np.uint32(16)
    keep = r >= np.uint32(float(np.float32(part.dropout)) * 4294967296.0)
    mask = torch.from_numpy(keep.astype(np.float32)).view(n, h, w, blocks * vector)
    return mask[..., : part.shape.channels].permute(0, 3, 1, 2)


class _Round(torch.autograd.Function):
    """Round to bfloat16: the values, the gradient, or both."""

    @staticmethod
    def forward(ctx, x, values, gradient):  # type: ignore[no-untyped-def]
        ctx.gradient = gradient
        return x.bfloat16().float() if values else x.view_as(x)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return (grad.bfloat16().float() if ctx.gradient else grad), None, None
