"""From a batch to gradients: one interface, and the plain way, which every faster one is held against."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F

from netlet.backends.flat_parameters import FlatParameters
from netlet.nets.outputs import extract_logits
from netlet.recipes import Recipe


class EagerBackend:
    """As PyTorch runs it."""

    kind: str = "eager"

    def __init__(self, net: nn.Module, flat: FlatParameters, recipe: Recipe, precision: str) -> None:
        self._net, self._smoothing = net, recipe.label_smoothing
        self._gradients = [trained.gradient for trained in flat.trained]
        self._bf16 = precision == "bf16"
        self._losses: list[torch.Tensor] = []
        self._right: list[torch.Tensor] = []

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """See :class:`~netlet.backends.Backend`."""
        loss, right = self.run(images, labels)
        self._losses.append(loss)
        self._right.append(right)

    def run(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, its results given at once: the mean loss and how many were right, on the device."""
        with torch.autocast(images.device.type, torch.bfloat16) if self._bf16 else nullcontext():
            logits = extract_logits(self._net(images))
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=self._smoothing)
        for gradient in self._gradients:
            gradient.zero_()
        loss.backward()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def evaluation_net(self, net: nn.Module) -> nn.Module:
        """See :class:`~netlet.backends.Backend`."""
        return net

    def read(self) -> tuple[list[float], int]:
        """See :class:`~netlet.backends.Backend`."""
        found = torch.stack(self._losses).tolist(), int(torch.stack(self._right).sum())
        self._losses.clear()
        self._right.clear()
        return found
