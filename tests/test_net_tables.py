"""The tables that a record stores of a net agree, whatever the net computes.

A record whose tables contradict each other is refused as damaged, so a net for which they do would
be trained and then lost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

import netlet
from netlet.analysis import (
    cost_from_trace,
    receptive_field_from_trace,
    summary_from_trace,
    trace,
)
from netlet.data import Dataset
from netlet.recipes import Recipe
from netlet.records import to_json_value
from netlet.records.net_contradictions import contradictions_of_net
from netlet.training import Recorder, fit


class Of(nn.Module):
    """A layer of a function."""

    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.compute(x)


class Own(nn.Module):
    """A layer with a weight of its own, and operations beside its convolution."""

    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.compute = compute
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.compute(F.conv2d(x, self.weight))


def stem(**options: object) -> nn.Conv2d:
    return nn.Conv2d(1, 8, **{"kernel_size": 3, **options})  # type: ignore[arg-type]


def conv(**options: object) -> nn.Conv2d:
    return nn.Conv2d(8, 8, **{"kernel_size": 3, **options})  # type: ignore[arg-type]


# Between a convolution and what slides over its map of 26x26 in steps.
BETWEEN: dict[str, Callable[[], nn.Module]] = {
    "group norm": lambda: nn.GroupNorm(2, 8),
    "instance norm": lambda: nn.InstanceNorm2d(8),
    "layer norm": lambda: nn.LayerNorm([8, 26, 26]),
    "local response norm": lambda: nn.LocalResponseNorm(3),
    "softmax over places": lambda: Of(lambda x: x.flatten(2).softmax(2).view_as(x)),
    "minus its mean": lambda: Of(lambda x: x - x.mean((2, 3), keepdim=True)),
    "minus the mean of rows": lambda: Of(lambda x: x - x.mean(2, keepdim=True)),
    "Fourier transform": lambda: Of(lambda x: torch.fft.fft2(x).real),
    "sorted rows": lambda: Of(lambda x: x.sort(3).values),
    "attention": lambda: Of(lambda x: F.scaled_dot_product_attention(x, x, x)),
    "norm of a slice": lambda: nn.Sequential(Of(lambda x: x[:, :, :13, :13]), nn.GroupNorm(2, 8)),
    "norm of a padded map": lambda: nn.Sequential(nn.ZeroPad2d(2), nn.InstanceNorm2d(8)),
    "squeeze and excite": lambda: Of(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()),
    "windows of different sizes": lambda: nn.AdaptiveAvgPool2d(9),
    "transposition": lambda: Of(lambda x: x.transpose(2, 3)),
    "quarter turn": lambda: Of(lambda x: x.rot90(1, (2, 3))),
    "channels moved into the batch": lambda: Of(lambda x: x.reshape(-1, 8, 26, 26).flip(3)),
    "own, padded": lambda: Own(lambda x: F.pad(x, (1, 1, 1, 1))),
    "own, a slice": lambda: Own(lambda x: x[:, :, 2:-2, 2:-2]),
    "own, every second place": lambda: Own(lambda x: x[:, :, ::2, ::2]),
    "own, enlarged": lambda: Own(lambda x: F.interpolate(x, scale_factor=2)),
    "own, pooled": lambda: Own(lambda x: F.max_pool2d(x, 2)),
    "own, normalized": lambda: Own(lambda x: x / x.norm(dim=(2, 3), keepdim=True)),
}
STEPS: dict[str, Callable[[], nn.Module]] = {
    "max pooling": lambda: nn.MaxPool2d(2),
    "stride": lambda: conv(stride=2),
    "1x1 with stride": lambda: conv(kernel_size=1, stride=2),
    "padded average": lambda: nn.AvgPool2d(3, 2, 1),
}
BODIES: dict[str, tuple[nn.Module, ...]] = {
    "circular padding": (stem(padding=1, padding_mode="circular"), conv(padding=1)),
    "mirrored padding": (stem(padding=2, kernel_size=5, padding_mode="reflect"), conv(stride=2)),
    "same, even kernel": (stem(kernel_size=4, padding="same"), nn.MaxPool2d(2), conv()),
    "rounded up": (stem(), nn.MaxPool2d(3, 2, ceil_mode=True), conv()),
    "stride above the kernel": (stem(kernel_size=2, stride=3), conv()),
    "5x5 places": (stem(), nn.AdaptiveAvgPool2d(5)),
    "4x7 places of a pooled map": (stem(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d((4, 7))),
    "more places than the map has": (stem(), nn.AdaptiveAvgPool2d(40), conv()),
    "linear layer along rows": (stem(), nn.Linear(26, 20), nn.MaxPool2d(2), conv()),
    "linear layer on rows of the image": (nn.Flatten(1, 2), nn.Linear(28, 28)),
    "reshaped image": (
        Of(lambda x: x.view(-1, 4, 14, 14)),
        nn.Conv2d(4, 8, 3),
        nn.MaxPool2d(2),
    ),
    "image of pixels from four places": (
        Of(lambda x: x.reshape(-1, 14, 2, 14, 2).permute(0, 2, 4, 1, 3).reshape(-1, 4, 14, 14)),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.MaxPool2d(2),
        conv(stride=2),
    ),
    "patches": (
        Of(lambda x: x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).squeeze(1).permute(0, 3, 1, 2)),
        nn.MaxPool2d(2),
    ),
    "mean of four places by reshaping": (
        stem(padding=1),
        Of(lambda x: x.reshape(-1, 8, 14, 2, 14, 2).mean((3, 5))),
        nn.MaxPool2d(2),
    ),
    "transposed image, windows of one row": (
        Of(lambda x: x.transpose(2, 3)),
        stem(kernel_size=(3, 1), stride=(2, 1)),
        nn.MaxPool2d((1, 2)),
        Of(lambda x: x.transpose(2, 3)),
        conv(kernel_size=(1, 5)),
    ),
    "maximum of each row": (stem(stride=2), Of(lambda x: x.amax(3)), nn.MaxPool1d(2)),
    "mean of each column": (stem(stride=2), Of(lambda x: x.mean(2)), nn.Conv1d(8, 8, 3, 2)),
    "pixel unshuffle": (nn.PixelUnshuffle(2), nn.Conv2d(4, 8, 3), conv(stride=2)),
    "pixel shuffle": (stem(), nn.PixelShuffle(2), nn.Conv2d(2, 8, 3, stride=3)),
    "transposed convolution": (stem(), nn.ConvTranspose2d(8, 8, 3, stride=2), conv(stride=2)),
    "transposed after a stride": (
        stem(stride=4),
        nn.ConvTranspose2d(8, 8, 3, 2, 1, 1),
        nn.ConvTranspose2d(8, 8, 4, 2, 1),
        conv(),
    ),
    "transposed with gaps and dilation": (
        stem(stride=3),
        nn.ConvTranspose2d(8, 8, 2, 3, groups=8),
        nn.ConvTranspose2d(8, 8, 3, dilation=2),
    ),
    "transposed by a function": (
        stem(stride=2),
        Own(lambda x: F.conv_transpose2d(x, x.new_ones(8, 8, 5, 5), stride=2)),
        conv(),
    ),
    "one dimension": (nn.Flatten(2), nn.Conv1d(1, 8, 5, stride=3), nn.MaxPool1d(2)),
    "three dimensions": (
        nn.Unflatten(1, (1, 1)),
        nn.Conv3d(1, 4, (1, 3, 3)),
        nn.MaxPool3d((1, 2, 2)),
    ),
}


def list_contradictions(net: nn.Module) -> list[str]:
    traced = trace(net, (1, 28, 28))
    tables = (
        dataclasses.replace(cost_from_trace(traced, 3), structure=None),  # as a record stores it
        summary_from_trace(traced).to_dict(),
        receptive_field_from_trace(traced).to_dict(),
    )
    return [*contradictions_of_net(*map(to_json_value, tables))]


def finish(*layers: nn.Module) -> nn.Sequential:
    net = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10))
    net(torch.zeros(2, 1, 28, 28))
    return net


@pytest.mark.parametrize("step", few_fast(STEPS, 1))
@pytest.mark.parametrize("between", few_fast(BETWEEN, 8))
def test_tables_agree_where_a_step_follows(between: str, step: str) -> None:
    net = finish(stem(), BETWEEN[between](), nn.ReLU(), STEPS[step]())
    assert list_contradictions(net) == []


@pytest.mark.parametrize("body", few_fast(BODIES, 8))
def test_tables_agree(body: str) -> None:
    assert list_contradictions(finish(*BODIES[body])) == []


class Cut(nn.Module):
    """Layers after a slice or a transposition, which no row of the tables shows."""

    def __init__(self, cut: Callable[[torch.Tensor], torch.Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.cut, self.layers = cut, nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.cut(x))


CUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "the middle": lambda x: x[:, :, 4:24, 4:24],
    "half of the pixels": lambda x: x[:, :, ::2, ::2],
    "the upper half": lambda x: x[:, :, :14],
    "transposed": lambda x: x[:, :, :20].transpose(2, 3),
}


FIRST: dict[str, Callable[[], tuple[nn.Module, ...]]] = {
    "dense": tuple,
    "convolution": lambda: (stem(kernel_size=(5, 3), stride=2),),
    "pooling": lambda: (nn.MaxPool2d(2),),
    "norm": lambda: (nn.BatchNorm2d(1), nn.MaxPool2d(2)),
    "adaptive pooling": lambda: (nn.AdaptiveAvgPool2d((7, 2)),),
    "global pooling": lambda: (nn.AdaptiveAvgPool2d(1),),
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("cut", CUTS)
def test_tables_agree_after_a_cut(cut: str, first: str) -> None:
    dense = (nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 10))
    nets = (
        Cut(CUTS[cut], *FIRST[first](), *dense),
        nn.Sequential(nn.Conv2d(1, 1, 1), Cut(CUTS[cut], *FIRST[first](), nn.Flatten())),
    )
    for net in nets:
        whole = net if net is nets[0] else nn.Sequential(*net, nn.LazyLinear(10))
        whole(torch.zeros(2, 1, 28, 28))
        assert list_contradictions(whole) == []


class NormBeforePooling(nn.Sequential):
    def __init__(self) -> None:
        layers = (nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(5))
        super().__init__(*layers, nn.Flatten(), nn.Linear(100, 10))


def test_a_run_of_such_a_net_can_be_read_again(blob_data: Dataset, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=60, backend="eager", precision="float32")
    net = netlet.build(NormBeforePooling, 0)
    fit(net, blob_data, recipe, callbacks=[Recorder(tmp_path / "run")])
    assert netlet.load_run(tmp_path / "run").cost["parameters"] == 40 + 8 + 1_010
