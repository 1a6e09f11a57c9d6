"""The interfaces of a training step: a backend turns a batch into gradients, an update follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import nn

from netlet.backends.flat_parameters import FlatParameters
from netlet.backends.loss import SoftTarget


class Update(Protocol):
    """What follows the gradients in a training step: it moves the weights and their average.

    What changes from step to step is apart from the arithmetic, so that the arithmetic can be
    recorded once and replayed.
    """

    @property
    def parameters(self) -> FlatParameters:
        """The tensors of the net."""

    @property
    def numbers(self) -> int:
        """How many numbers a step has."""

    def advance(self, lr: float, step: int) -> tuple[str, tuple[float, ...]]:
        """Count a step.

        Args:
            lr: The learning rate.
            step: The step, counted from 0 over the whole training.

        Returns:
            The kind of the step, empty for the usual one, and its numbers. Steps of a kind run the
            same operations.
        """

    def apply(self, kind: str, numbers: Sequence[float | torch.Tensor]) -> None:
        """Move weights and average.

        Args:
            kind: From :meth:`advance`.
            numbers: From :meth:`advance`, or the same as scalar tensors on the device.
        """

    def tensors(self) -> list[torch.Tensor]:
        """Return everything that a step writes, but for the gradients."""


class Step(NamedTuple):
    """A training step: a batch and how far to move."""

    images: torch.Tensor  # float32 N C H W
    labels: torch.Tensor  # int64 N
    lr: float  # the learning rate
    number: int  # from 0 over the whole training
    soft: SoftTarget | None = None  # what a teacher says of the images


class Backend(Protocol):
    """A way to run a net's training steps."""

    name: str  # as it appears in records: "eager", "compiled" or "cuda_graph"
    # For PyTorch's operations between the steps; None leaves their number as it is.
    torch_threads: int | None

    def compute_gradients(
        self, images: torch.Tensor, labels: torch.Tensor, soft: SoftTarget | None = None
    ) -> None:
        """Write the gradients of a batch's mean loss to the ``grad`` of the parameters.

        Args:
            images: float32 ``N C H W``.
            labels: int64 ``N``.
            soft: What a teacher says of the images, if the recipe has one.
        """

    def train(self, steps: Iterable[Step], update: Update) -> None:
        """Run training steps: compute the gradients of each batch and move the weights.

        Args:
            steps: A few of them; they may be made one by one.
            update: Moves the weights of the backend's net.
        """
        for step in steps:
            self.compute_gradients(step.images, step.labels, step.soft)
            update.apply(*update.advance(step.lr, step.number))

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
