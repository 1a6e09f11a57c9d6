"""The interface that every backend implements: from a batch to gradients."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn


class Backend(Protocol):
    """A way to run a net's training steps."""

    name: str  # as it appears in records: "eager", "compiled" or "cuda_graph"
    # For PyTorch's operations between the steps; None leaves their number as it is.
    torch_threads: int | None

    def compute_gradients(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Write the gradients of a batch's mean loss to the ``grad`` of the parameters.

        Args:
            images: float32 ``N C H W``.
            labels: int64 ``N``.
        """

    def evaluation_net(self, net: nn.Module) -> nn.Module:
        """Return a module that computes the logits of ``net`` in evaluation mode, perhaps faster.

        It works in float32 and sees every change of the net's tensors, as long as they stay in the
        same memory.

        Args:
            net: A net of the same architecture as the backend's net.
        """

    def read_losses(self) -> tuple[list[float], int]:
        """Return the losses of all batches since the last call, and how many images were correct.

        Waits until the device has finished.
        """
