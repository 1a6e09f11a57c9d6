"""Nets that other people publish, for comparisons: PyTorch's example, LeNet-5 and two of 20k."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class PyTorchExample(nn.Module):
    """The layers of PyTorch's own MNIST example."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(9216, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
            nn.LogSoftmax(dim=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities."""
        return self.classifier(self.features(x))


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, as in ResNet."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map after the shortcut is added."""
        return self.relu(self.body(x) + self.shortcut(x))


class Residual(nn.Module):
    """Three residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.stage1 = ResidualBlock(16, 16)
        self.stage2 = ResidualBlock(16, 16)
        self.stage3 = ResidualBlock(16, 24)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = self.pool(self.stage1(self.stem(x)))
        x = self.pool(self.stage2(x))
        return self.head(self.stage3(x))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, convolve each channel, project, and add the input."""

    def __init__(self, inputs: int, outputs: int, expansion: int = 3, stride: int = 1) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the projected map, with the input added where the shapes allow it."""
        return x + self.layers(x) if self.residual else self.layers(x)


class Mobile(nn.Module):
    """Five inverted residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            InvertedResidual(16, 16, 2),
            InvertedResidual(16, 24, 3, stride=2),
            InvertedResidual(24, 24, 3),
            InvertedResidual(24, 24, 3),
            InvertedResidual(24, 32, 3),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = self.features(x)
        return self.classifier(torch.flatten(x, 1))


def pytorch_example() -> nn.Module:
    """Build PyTorch's MNIST example: 1,199,882 parameters."""
    return PyTorchExample()


def residual_20k() -> nn.Module:
    """Build a residual net: 18,938 parameters."""
    return Residual()


def mobile_20k() -> nn.Module:
    """Build a net like MobileNetV2: 18,482 parameters."""
    return Mobile()


def lenet5() -> nn.Module:
    """Build LeNet-5: 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )


NETS: dict[str, Callable[[], nn.Module]] = {
    builder.__name__: builder for builder in (pytorch_example, residual_20k, mobile_20k, lenet5)
}
