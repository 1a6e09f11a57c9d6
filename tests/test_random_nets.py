"""Random nets: whatever their layers, all that is written of them does what they do."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netlet.data.batches import normalized
from netlet.experiments import TrainedNet
from netlet.export import Runtime, integers, onnx_model, origin, reference
from netlet.export.c_program import c_program
from netlet.export.compiled_c import answers, loaded
from netlet.export.quantize import quantize
from netlet.recipes import Recipe

SHAPES = ((1, 28, 28), (3, 16, 20), (1, 1, 40), (2, 9, 5))
ACTIVATIONS = (
    F.relu,
    F.relu6,
    F.hardswish,
    F.hardsigmoid,
    lambda x: F.leaky_relu(x, 0.2),
    lambda x: x.clamp(-0.3, 0.8),
)


class RandomNet(nn.Module):
    """Some layers drawn one after the other, of those that C knows in float32, then a head."""

    def __init__(self, draw: random.Random, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        x = torch.zeros(2, *shape)
        while len(self.parts) < draw.randint(3, 9):
            part = draw.choice((convolution, convolution, norm, Function, pooling, Branch, Gate))(
                draw, x.shape[1]
            )
            try:
                given = part.eval()(x)
            except RuntimeError:  # the map has become too small for this one
                continue
            if given.numel() and given.shape[1] <= 64:
                self.parts.append(part)
                x = given
        self.head = nn.Linear(x[0].numel(), classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return self.head(x.flatten(1))


def convolution(draw: random.Random, channels: int) -> nn.Module:
    groups = draw.choice([n for n in range(1, channels + 1) if channels % n == 0])
    window, stride, dilation = (
        (draw.randint(1, 4), draw.randint(1, 4)),
        (draw.randint(1, 2), draw.randint(1, 3)),
        (draw.randint(1, 2), 1),
    )
    padding = (draw.randint(0, 2), draw.randint(0, 2))
    out = groups * draw.choice((1, 2, 3, 5))
    return nn.Conv2d(
        channels, out, window, stride, padding, dilation, groups, bias=draw.random() < 0.5
    )


def norm(draw: random.Random, channels: int) -> nn.Module:
    module = nn.BatchNorm2d(channels)
    nn.init.normal_(module.running_mean, 0, 0.5)
    nn.init.uniform_(module.running_var, 0.2, 3)
    nn.init.normal_(module.weight, 0.7, 0.6)
    nn.init.normal_(module.bias, 0, 0.5)
    return module


class Function(nn.Module):
    def __init__(self, draw: random.Random, channels: int) -> None:
        super().__init__()
        self.function = draw.choice(ACTIVATIONS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def pooling(draw: random.Random, channels: int) -> nn.Module:
    window = (draw.randint(1, 4), draw.randint(1, 3))
    stride, padding = (
        (draw.randint(1, 3), draw.randint(1, 2)),
        (draw.randint(0, window[0] // 2), draw.randint(0, window[1] // 2)),
    )
    if draw.random() < 0.5:
        return nn.MaxPool2d(window, stride, padding, ceil_mode=draw.random() < 0.5)
    counts = draw.random() < 0.5
    return nn.AvgPool2d(window, stride, padding, ceil_mode=not counts, count_include_pad=counts)


class Branch(nn.Module):
    """A residual branch, or one beside."""

    def __init__(self, draw: random.Random, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), norm(draw, channels)
        self.how = draw.choice(("sum", "product", "concatenation"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x))
        return (
            x + y
            if self.how == "sum"
            else y * x
            if self.how == "product"
            else torch.cat([x, F.relu(y)], 1)
        )


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, draw: random.Random, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 3, 1), nn.Conv2d(3, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_all_exports_of_a_random_net_do_what_it_does(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    shape, classes = draw.choice(SHAPES), draw.randint(2, 12)
    net = RandomNet(draw, shape, classes).eval()
    of = origin(
        TrainedNet(
            "random", net, shape, tuple(map(str, range(classes))), 0.1307, 0.3081, None, None
        )
    )
    images = torch.randint(256, (24, *shape), dtype=torch.uint8)
    images[0], images[1] = 0, 255
    with torch.no_grad():
        wanted = net(normalized(images, Recipe()))
    near = 1e-4 * max(1.0, float(wanted.abs().max()))
    for found in (
        reference.logits(of.graph, images),
        Runtime(onnx_model(of))(images),
        answers(loaded(c_program(of)), classes)(images),
    ):
        torch.testing.assert_close(found, wanted, atol=near, rtol=0)
    # Calibrated on darker images, so that maps are clamped, too.
    whole = quantize(of.graph, (images * 0.4).to(torch.uint8))
    expected = integers.logits(whole, images.numpy()).astype(np.float32) * np.float32(
        whole.logit_scale
    )
    np.testing.assert_array_equal(
        answers(loaded(c_program(of, whole)), classes)(images).numpy(), expected
    )
