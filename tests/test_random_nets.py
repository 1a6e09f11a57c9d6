"""Random nets: every export computes the same as the net, whatever its layers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from helpers import vector_widths
from torch import nn
from torch.nn import functional as F

from netlet.data.batches import normalize
from netlet.experiments import TrainedNet
from netlet.export import OnnxPredictor, build_onnx, int8_reference, reference, trace_model
from netlet.export.c_build import FAST, STRICT, library_predictor, load_library
from netlet.export.c_program import generate_program
from netlet.export.quantize import quantize_graph
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
    """Random layers of some kinds in a row, then a linear head."""

    def __init__(
        self,
        draw: random.Random,
        shape: tuple[int, int, int],
        classes: int,
        kinds: Sequence[Callable[[random.Random, int], nn.Module]],
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        x = torch.zeros(2, *shape)
        while len(self.layers) < draw.randint(3, 9):
            layer = draw.choice(kinds)(draw, x.shape[1])
            try:
                out = layer.eval()(x)
            except (RuntimeError, ValueError):  # the feature map is too small for this layer
                continue
            if out.numel() and out.shape[1] <= 64 and out[0].numel() < 30_000:
                self.layers.append(layer)
                x = out
        self.head = nn.Linear(x[0].numel(), classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
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
    """A residual branch, a product with it, or a concatenation."""

    def __init__(self, draw: random.Random, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), norm(draw, channels)
        self.mode = draw.choice(("sum", "product", "concatenation"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x))
        return (
            x + y
            if self.mode == "sum"
            else y * x
            if self.mode == "product"
            else torch.cat([x, F.relu(y)], 1)
        )


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, draw: random.Random, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 3, 1), nn.Conv2d(3, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Apply(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def wide_convolution(draw: random.Random, channels: int) -> nn.Module:
    groups = draw.choice((1, channels))
    sizes = [(draw.randint(1, 5), draw.randint(1, 5)), (draw.randint(1, 3), draw.randint(1, 3))]
    around, dilation = (draw.randint(0, 4), draw.randint(0, 4)), (1, draw.randint(1, 3))
    mode = draw.choice(("zeros", "reflect", "replicate", "circular"))
    out = groups * draw.choice((1, 2, 9)) if groups == 1 else channels
    return nn.Conv2d(channels, out, *sizes, around, dilation, groups, padding_mode=mode)


def transposed(draw: random.Random, channels: int) -> nn.Module:
    window, stride = (draw.randint(1, 4), draw.randint(1, 4)), (draw.randint(1, 3), 2)
    return nn.ConvTranspose2d(
        channels, 2 * channels, window, stride, (0, draw.randint(0, 1)), groups=channels
    )


def other_norm(draw: random.Random, channels: int) -> nn.Module:
    groups = draw.choice([n for n in range(1, channels + 1) if channels % n == 0])
    module = draw.choice((nn.GroupNorm(groups, channels), nn.InstanceNorm2d(channels, affine=True)))
    nn.init.uniform_(module.weight, -1, 1)
    nn.init.uniform_(module.bias, -1, 1)
    return module


def function(draw: random.Random, channels: int) -> nn.Module:
    modules = (nn.PReLU(channels, 0.3), nn.Mish(), nn.GELU(), nn.SELU(), nn.Softplus(), nn.Tanh())
    return draw.choice((*modules, Apply(torch.abs), Apply(lambda x: 1 - x), Apply(torch.square)))


def resampling(draw: random.Random, channels: int) -> nn.Module:
    size = (draw.randint(1, 14), draw.randint(1, 14))
    mode = draw.choice(("nearest", "bilinear", "bicubic", "area", "mean", "maximum"))
    if mode in ("mean", "maximum"):
        return (nn.AdaptiveAvgPool2d if mode == "mean" else nn.AdaptiveMaxPool2d)(size)
    return Apply(lambda x: F.interpolate(x, size=size, mode=mode))


def divided_mean(draw: random.Random, channels: int) -> nn.Module:
    return nn.AvgPool2d(3, 2, 1, ceil_mode=draw.random() < 0.5, divisor_override=5)


def move(draw: random.Random, channels: int) -> nn.Module:
    moves = [
        lambda x: x.flip(2),
        lambda x: x.roll(1, 3),
        lambda x: x[:, :, ::2],
        lambda x: x.transpose(2, 3),
        lambda x: F.pad(x, (1, 0, 2, 1), value=0.5),
        lambda x: F.pad(x, (-1, 2, 0, 1)),
    ]
    if channels % 2 == 0:
        moves += [nn.ChannelShuffle(2), lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)]
        moves.append(lambda x: F.glu(x, 1))
    return Apply(draw.choice(moves))


KINDS = {
    "few": (convolution, convolution, norm, Function, pooling, Branch, Gate),
    "many": (
        *(wide_convolution, wide_convolution, transposed, norm, other_norm, function, function),
        *(resampling, divided_mean, pooling, move, move, Branch, Gate),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "seed"), [*(("few", seed) for seed in range(60)), *(("many", s) for s in range(40))]
)
def test_every_export_of_a_random_net_computes_its_logits(kinds: str, seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    shape, classes = draw.choice(SHAPES), draw.randint(2, 12)
    net = RandomNet(draw, shape, classes, KINDS[kinds]).eval()
    model = trace_model(
        TrainedNet(
            "random", net, shape, tuple(map(str, range(classes))), 0.1307, 0.3081, None, None
        )
    )
    images = torch.randint(256, (24, *shape), dtype=torch.uint8)
    images[0], images[1] = 0, 255
    with torch.no_grad():
        expected = net(normalize(images, Recipe()))
    tolerance = 1e-4 * max(1.0, float(expected.abs().max()))
    # ONNX Runtime's norms are less exact for the first two images, whose maps are constant.
    first = 2 if kinds == "many" else 0
    for begin, actual in (
        (0, reference.compute_logits(model.graph, images)),
        (first, OnnxPredictor(build_onnx(model))(images)),
        (0, library_predictor(load_library(generate_program(model)), classes)(images)),
    ):
        torch.testing.assert_close(actual[begin:], expected[begin:], atol=tolerance, rtol=0)
    # Calibrated on darker images, so that feature maps saturate, too.
    quantized = quantize_graph(model.graph, (images * 0.4).to(torch.uint8))
    expected_int8 = int8_reference.compute_logits(quantized, images.numpy()).astype(
        np.float32
    ) * np.float32(quantized.logit_scale)
    program, widths = generate_program(model, quantized), vector_widths()
    for flags in (FAST, ("-O2", *widths[seed % len(widths)])):
        predict = library_predictor(load_library(program, (*STRICT, *flags)), classes)
        np.testing.assert_array_equal(predict(images).numpy(), expected_int8)
