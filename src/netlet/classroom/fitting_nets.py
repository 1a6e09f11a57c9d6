"""Which nets of a submission its weights fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from netlet.classroom.code_uses import CodeUses
from netlet.classroom.working_folder import working_folder
from netlet.experiments import find_experiment
from netlet.nets import build, load_weights
from netlet.nets.outputs import extract_logits

_IMAGES = 8  # that tell apart nets which the same weights fit


class FittingNets:
    """The nets that some weights fit.

    Args:
        folder: The folder of the submission.
        weights: Their path there; None: they fit no net.
        shape: The shape of one image, ``C H W``.
        classes: The number of classes.
    """

    def __init__(
        self, folder: Path, weights: str | None, shape: tuple[int, ...], classes: int
    ) -> None:
        self._folder = folder
        self._weights = weights
        self._shape = shape
        self._classes = classes

    def list_fitting(self, addresses: Iterable[str]) -> list[str]:
        """Return those of some nets that the weights fit."""
        found = []
        for address in addresses if self._weights else ():
            with working_folder(self._folder, address), contextlib.suppress(Exception):
                self._load(address)
                found.append(address)
        return found

    def find_only(self, addresses: Iterable[str]) -> str | None:
        """Return the only one of some nets that the weights fit; None if they fit several.

        Nets with the same logits are one. No net is loaded by code that trains.
        """
        images = torch.rand((_IMAGES, *self._shape), generator=torch.Generator().manual_seed(0))
        found: list[tuple[str, torch.Tensor]] = []
        for address in addresses if self._weights else ():
            if CodeUses(address).trains():
                continue
            with working_folder(self._folder, address), contextlib.suppress(Exception):
                net = self._load(address).eval()
                with torch.no_grad():
                    logits = extract_logits(net(images))
                if logits.shape == (_IMAGES, self._classes):
                    found.append((address, logits))
        is_one = all(torch.equal(logits, found[0][1]) for _, logits in found)
        return found[0][0] if found and is_one else None

    def _load(self, address: str) -> nn.Module:
        net = build(find_experiment(address).net.builder, 0, self._shape, self._classes)
        load_weights(net, self._folder / str(self._weights), convert=True, leave_out=True)
        return net
