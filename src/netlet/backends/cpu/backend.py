"""The compiled CPU backend."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from netlet.backends.backend import Backend
from netlet.backends.cpu import CompilationError, CompiledStep
from netlet.backends.loss import SoftTarget
from netlet.data import Dataset
from netlet.errors import warn
from netlet.recipes import Recipe

_EVALUATION_BATCH = 512
# The check of a step against PyTorch takes about 400 KB for each image of its batch.
_LARGEST_BATCH = 8_192


class CompiledBackend(Backend):
    """Runs training steps with a :class:`~netlet.backends.cpu.CompiledStep`.

    Args:
        net: The net to train, with its final dropout rates.
        data: Provides the shape of an image.
        recipe: Provides batch size, label smoothing, and whether there is a teacher.
        precision: ``bf16`` or ``float32``.
        dropout_rng: The source of dropout seeds.

    Raises:
        CompilationError: The net cannot be compiled, or its batches are too large for the check.
    """

    name = "compiled"
    # After each of its operations, PyTorch's other threads spin for a while, on the processors that
    # the threads of the next step need.
    torch_threads: int | None = 1

    def __init__(
        self,
        net: nn.Module,
        data: Dataset,
        recipe: Recipe,
        precision: str,
        dropout_rng: np.random.BitGenerator,
    ) -> None:
        # One image more than a batch, since a single last image joins the batch before.
        images = min(recipe.batch_size + 1, len(data.train))
        if images > _LARGEST_BATCH:
            raise CompilationError(
                f"its batches have more than the {_LARGEST_BATCH:,} images that compiled code is "
                "checked with"
            )
        self._threads = torch.get_num_threads()
        self._step = CompiledStep(
            net,
            data.shape,
            images,
            half=precision == "bf16",
            threads=self._threads,
            with_teacher=bool(recipe.teacher),
        )
        self._shape = data.shape
        self._smoothing, self._dropout_rng = recipe.label_smoothing, dropout_rng
        self._losses: list[float] = []
        self._correct = 0
        self._warned = False

    def compute_gradients(
        self, images: torch.Tensor, labels: torch.Tensor, soft: SoftTarget | None = None
    ) -> None:
        """See :class:`~netlet.backends.Backend`."""
        seed = int(self._dropout_rng.random_raw())
        loss, correct = self._step.compute_gradients(images, labels, self._smoothing, seed, soft)
        self._losses.append(loss)
        self._correct += correct

    def evaluation_net(self, net: nn.Module) -> nn.Module:
        """See :class:`~netlet.backends.Backend`."""
        try:
            step = CompiledStep(
                net,
                self._shape,
                _EVALUATION_BATCH,
                half=False,
                training=False,
                threads=self._threads,
            )
            return _CompiledNet(step)
        except CompilationError as reason:
            if not self._warned:
                self._warned = True
                warn(f"evaluation falls back to eager mode: {reason}")
            return net

    def read_losses(self) -> tuple[list[float], int]:
        """See :class:`~netlet.backends.Backend`."""
        losses, correct = self._losses, self._correct
        self._losses, self._correct = [], 0
        return losses, correct


class _CompiledNet(nn.Module):
    """A module that computes logits with the compiled backend."""

    def __init__(self, step: CompiledStep) -> None:
        super().__init__()
        self._step = step

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [
                self._step.compute_logits(part.contiguous())
                for part in images.split(self._step.images)
            ]
        )
