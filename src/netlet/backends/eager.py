"""The eager backend: PyTorch's own forward and backward pass, the reference for all others."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn

from netlet.backends.backend import Backend
from netlet.backends.flat_parameters import FlatParameters
from netlet.backends.loss import SoftTarget, batch_loss
from netlet.errors import TrainingError, first_line
from netlet.nets.outputs import extract_logits
from netlet.recipes import Recipe

_NAME_OF_BF16 = "BFloat16"
_NO_BF16 = "{}: does not run in bf16 ({}); use precision=float32 (--set precision=float32)"


class EagerBackend(Backend):
    """Runs training steps in PyTorch's eager mode.

    Args:
        net: The net to train.
        parameters: The same net's tensors.
        recipe: Provides the label smoothing.
        precision: ``bf16`` (with autocast) or ``float32``.
        fallback: Why a faster backend was wanted, but is not available.
    """

    name: str = "eager"
    torch_threads: int | None = None

    def __init__(
        self,
        net: nn.Module,
        parameters: FlatParameters,
        recipe: Recipe,
        precision: str,
        fallback: Exception | None = None,
    ) -> None:
        self.fallback = fallback
        self._net, self._smoothing = net, recipe.label_smoothing
        self._gradients = [group.gradient for group in parameters.groups]
        self._bf16 = precision == "bf16"
        self._losses: list[torch.Tensor] = []
        self._correct: list[torch.Tensor] = []

    def compute_gradients(
        self, images: torch.Tensor, labels: torch.Tensor, soft: SoftTarget | None = None
    ) -> None:
        """See :class:`~netlet.backends.Backend`."""
        logits, loss = self._forward(images, labels, soft)
        for gradient in self._gradients:
            gradient.zero_()
        loss.backward()
        self._losses.append(loss.detach())
        self._correct.append((logits.detach().argmax(1) == labels).sum())

    def _forward(
        self, images: torch.Tensor, labels: torch.Tensor, soft: SoftTarget | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and mean loss of a batch."""
        with torch.autocast(images.device.type, torch.bfloat16) if self._bf16 else nullcontext():
            try:
                logits = extract_logits(self._net(images))
            except RuntimeError as error:
                if self._bf16 and _NAME_OF_BF16 in str(error):
                    raise TrainingError(
                        _NO_BF16.format(type(self._net).__name__, first_line(error))
                    ) from error
                raise
            return logits, batch_loss(logits.float(), labels, self._smoothing, soft)

    def evaluation_net(self, net: nn.Module) -> nn.Module:
        """See :class:`~netlet.backends.Backend`."""
        return net

    def read_losses(self) -> tuple[list[float], int]:
        """See :class:`~netlet.backends.Backend`."""
        losses, correct = torch.stack(self._losses).tolist(), int(torch.stack(self._correct).sum())
        self._losses.clear()
        self._correct.clear()
        return losses, correct
