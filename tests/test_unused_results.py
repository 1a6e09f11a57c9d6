"""Layers that run although the output does not depend on them are noted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from netlet import summary


class Forgetful(nn.Module):
    """Normalizes and activates, and forgets to assign the result."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm, self.relu = nn.BatchNorm2d(8), nn.ReLU()
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        self.norm(x)
        self.relu(x)
        return self.head(x.mean((2, 3)))


class Remembers(Forgetful):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.norm(self.conv(x))).mean((2, 3)))


class InPlace(Forgetful):
    """Needs no assignment, since the ReLU changes its input; uses it twice, once for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        self.relu(x)
        x = self.head(x.mean((2, 3)))
        self.relu(x.clone())
        return x


class TwoHeads(Forgetful):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.conv(x)
        return self.head(x.mean((2, 3))), self.norm(x)


class Switches(Forgetful):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        normed = self.norm(x)
        return self.head(self.relu(normed if normed.max() > 100 else x).mean((2, 3)))


def notes_of(net: nn.Module) -> list[str]:
    return [note for note in summary(net).notes if "does not depend" in note]


def test_layers_of_which_the_result_is_dropped_are_noted() -> None:
    assert notes_of(Forgetful()) == [
        "note: layer norm (BatchNorm2d) runs, but the output does not depend on it",
        "note: layer relu (ReLU) runs, but the output does not depend on it",
    ]


def test_what_a_net_returns_beside_its_logits_is_noted() -> None:
    class Named(TwoHeads):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            logits, features = super().forward(x)
            return {"features": features, "logits": logits}

    taken = "is taken for the logits, and the others are neither scored nor exported"
    assert f"note: the net returns 2 tensors; the first {taken}" in summary(TwoHeads()).notes
    assert f"note: the net returns 2 tensors; 'logits' {taken}" in summary(Named()).notes
    assert not [note for note in summary(Forgetful()).notes if "returns" in note]


def test_a_net_cannot_hide_its_layers() -> None:
    class Hides(Forgetful):
        def named_modules(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Module]]:
            return iter(())

    assert notes_of(Hides()) == notes_of(Forgetful())


@pytest.mark.parametrize("kind", [Remembers, InPlace, TwoHeads, Switches])
def test_layers_that_may_matter_are_not(kind: type[nn.Module]) -> None:
    assert not notes_of(kind())


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Flatten(2), nn.Flatten(1), nn.Linear(784, 10)),
        nn.Sequential(nn.Conv2d(1, 8, 28), nn.Identity(), nn.Dropout(), nn.Flatten()),
        nn.Sequential(
            nn.Flatten(0, 1), nn.TransformerEncoderLayer(28, 2, 8, batch_first=True), nn.Flatten()
        ),
    ],
)
def test_layers_in_a_row_are_not(net: nn.Module) -> None:
    assert not notes_of(net)
