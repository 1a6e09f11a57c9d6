"""The interface that every backend implements: from a batch to gradients."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn


class Backend(Protocol):
    """What the engine asks of a way to run a net."""

    kind: str  # for the record

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Leave the gradients of a batch's mean loss in the parameters' ``grad``.

        Args:
            images: float32 ``N C H W``.
            labels: int64 ``N``.
        """

    def evaluation_net(self, net: nn.Module) -> nn.Module:
        """What gives the same scores as a net of the same kind in evaluation mode, in float32, perhaps sooner.

        It sees every change of the net's tensors, while they stay where they are.
        """

    def read(self) -> tuple[list[float], int]:
        """The losses of the batches since the last reading, and how many of their images were right.

        Waits for the device.
        """
