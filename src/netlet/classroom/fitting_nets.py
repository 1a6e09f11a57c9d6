"""Which nets of a submission its weights fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from netlet.classroom.code_uses import CodeUses
from netlet.classroom.working_folder import working_folder
from netlet.experiments import find_experiment
from netlet.nets import build
from netlet.nets.outputs import extract_logits
from netlet.nets.weights import load_adapted

HAS_ALL = " has all tensors of "  # said of a net that is not graded
_IMAGES = 8  # that tell apart nets which the same weights fit


@dataclass(frozen=True)
class _Fit:
    """A net that some weights fit.

    Attributes:
        is_exact: Whether no tensors of the weights are left out.
        logits: Those for some images, ``N K``; None if it has no such logits.
    """

    is_exact: bool
    logits: torch.Tensor | None


class FittingNets:
    """The nets that some weights fit; each is built once.

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
        self._known: dict[str, _Fit | None] = {}

    def fits_exactly(self, address: str) -> bool:
        """Return whether a net has all tensors of the weights, and they have all of its own."""
        fit = self._find(address)
        return fit is not None and fit.is_exact

    def list_fitting(self, addresses: Iterable[str]) -> list[str]:
        """Return those of some nets that the weights fit.

        If some have all tensors of the weights, only these are returned.
        """
        fitting = [address for address in addresses if self._find(address)]
        return [*filter(self.fits_exactly, fitting)] or fitting

    def find_only(self, addresses: Iterable[str]) -> str | None:
        """Return the only one of some nets that the weights fit; None if they fit several.

        Nets with the same logits are one. No net is loaded by code that trains.
        """
        logits: dict[str, torch.Tensor] = {}
        for address in addresses:
            fit = None if CodeUses(address).trains() else self._find(address)
            if fit and fit.logits is not None:
                logits[address] = fit.logits
        fitting = self.list_fitting(logits)
        is_one = all(torch.equal(logits[one], logits[fitting[0]]) for one in fitting)
        return fitting[0] if fitting and is_one else None

    def _find(self, address: str) -> _Fit | None:
        """Return how the weights fit a net; None if they do not."""
        if not self._weights:
            return None
        if address not in self._known:
            self._known[address] = None
            with working_folder(self._folder, address), contextlib.suppress(Exception):
                self._known[address] = self._load(address, self._folder / self._weights)
        return self._known[address]

    def _load(self, address: str, weights: Path) -> _Fit:
        net = build(find_experiment(address).net.builder, 0, self._shape, self._classes)
        loaded = load_adapted(net, weights)
        return _Fit(not loaded.left_out, self._compute_logits(net))

    def _compute_logits(self, net: nn.Module) -> torch.Tensor | None:
        images = torch.rand((_IMAGES, *self._shape), generator=torch.Generator().manual_seed(0))
        with contextlib.suppress(Exception), torch.no_grad():
            logits = extract_logits(net.eval()(images))
            return logits if logits.shape == (_IMAGES, self._classes) else None
        return None
