"""Receptive fields of random nets, element by element, against the gradient."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from fixtures.field_nets import random_net
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

from netlet.analysis import Trace, receptive_field, trace
from netlet.analysis.axis import Interval
from netlet.analysis.gradient_check import element_support

SHAPE = (1, 21, 18)


def computed(traced: Trace, index: tuple[int, ...]) -> tuple[Interval, ...] | None:
    """Return the positions in the image that an element of a net's output depends on."""
    assert traced.field is not None, traced.why_unknown
    shape = (2, *traced.output[1:])
    found = []
    for axis, n in zip(traced.field, SHAPE[1:], strict=True):
        first, last = (int(np.broadcast_to(t, shape)[index]) for t in (axis.first, axis.last))
        if first > last:
            return None
        found.append((max(first, 0), min(last, n - 1)))
    return tuple(found)


@pytest.mark.parametrize("seed", few_fast(range(300), 60))
def test_every_element_depends_on_what_its_gradient_reaches(seed: int) -> None:
    net, draw = random_net(seed), random.Random(seed)
    traced = trace(net, SHAPE)
    places = [0, 1, 0.5, *(draw.random() for _ in range(3))]
    for index, expected in element_support(net, SHAPE, places):
        assert computed(traced, index) == expected, (index, net)


class Of(nn.Module):
    """A convolution and a function of its map."""

    def __init__(self, function: Callable[..., object], *layers: nn.Module) -> None:
        super().__init__()
        self.conv, self.function, self.layers = nn.Conv2d(1, 4, 3), function, layers

    def forward(self, x: torch.Tensor) -> object:
        return self.function(self.conv(x), *self.layers)


def _views_before_their_base_changes(x: torch.Tensor) -> torch.Tensor:
    canvas = torch.zeros_like(x)
    left, right = canvas.split(13, 3)
    both = canvas.transpose(2, 3)
    left.copy_(x[:, :, :, 13:])
    right.copy_(x.mean(2, keepdim=True)[:, :, :, :13])
    return both.transpose(2, 3)[:, :, :, :13]


def _changed_as_data(x: torch.Tensor) -> torch.Tensor:
    x.data.mul_(x.data.mean((2, 3), keepdim=True))
    return x


def _zeroed(x: torch.Tensor) -> torch.Tensor:
    y = x.mean((2, 3), keepdim=True).expand_as(x).clone()
    y.zero_()
    y += x
    return y


def _filled_by_index(x: torch.Tensor) -> torch.Tensor:
    canvas = x.new_zeros(len(x), 4, 30, 30)
    canvas[:, :, torch.arange(26), 2:28] = x
    return canvas


def _added_into(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    torch.add(x, x.amax(3, keepdim=True), out=out)
    return out


def _written_in_a_list(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    torch._foreach_mul_([y], [x.mean((2, 3), keepdim=True)])
    return y


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (_views_before_their_base_changes, (3, 3)),
        (_changed_as_data, (28, 28)),
        (_zeroed, (3, 3)),
        (_filled_by_index, (3, 3)),
        (_added_into, (3, 28)),
        (_written_in_a_list, None),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")[:, :, 3:-3, 3:-3], (3, 3)),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="circular")[:, :, 3:-3, 3:-3], (3, 3)),
        (lambda x: x.topk(3, 2)[0], (28, 3)),
        (lambda x: x.sort(3)[0], (3, 28)),
        (lambda x: torch.cat([x, torch.ones(len(x), 4, 5, 26)], 2), (3, 3)),
        (lambda x: torch.stack([torch.zeros_like(x), x], 2), (3, 3)),
        (lambda x: torch.einsum("nchw,cd->ndhw", x, torch.rand(4, 2)), (3, 3)),
        (lambda x: torch.einsum("nchw,nchv->ncwv", x, x), (28, 28)),
        (lambda x: x.new_zeros(x.shape), None),
    ],
)
def test_fields_through_memory_and_indices(
    function: Callable[[torch.Tensor], torch.Tensor], size: tuple[int, int] | None
) -> None:
    assert receptive_field(Of(function)).size == size


def test_layers_that_resample_or_mix_have_known_fields() -> None:
    encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def decoded(x: torch.Tensor, decoder: nn.Module) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return decoder(tokens[:, :10], tokens)  # type: ignore[no-any-return]

    for net, size in (
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3)),
            (4, 4),
        ),
        (Of(lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear")), (4, 4)),
        (Of(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")), (6, 6)),
        (Of(lambda x: F.interpolate(x, 7, mode="area")), (7, 7)),
        (Of(lambda x, layer: layer(x.flatten(2).mT).mean(1), encoder), (28, 28)),
        (Of(decoded, nn.TransformerDecoderLayer(4, 2, 8, batch_first=True)), (28, 28)),
        (Of(lambda x, layer: layer(x.permute(0, 2, 3, 1)), nn.Linear(4, 8)), (3, 3)),
        (Of(lambda x, layer: layer(x.mean(3).mT)[0], nn.GRU(4, 3, batch_first=True)), (28, 28)),
        (Of(lambda x, layer: layer(x), nn.AdaptiveMaxPool2d(7)), (7, 7)),
        (Of(lambda x, layer: layer(x), nn.Unfold(3)), (3, 3)),
        (Of(lambda x, layer: layer(x), nn.LPPool2d(2, 2)), (4, 4)),
    ):
        found = receptive_field(net)
        assert found.size == size, (net, found.why_unknown)


def test_nets_in_inference_mode_or_with_channels_last_have_the_same_fields() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    plain = receptive_field(net)
    assert receptive_field(net.to(memory_format=torch.channels_last)) == plain
    inference = Of(torch.inference_mode()(lambda x: F.avg_pool2d(x, 2)))
    assert receptive_field(inference).size == (4, 4)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (
            torch.fft.rfft2,
            "(net) uses a Fourier transform (fft_r2c), and netlet does not know which",
        ),
        (lambda x: x[:, :, x.mean((0, 1, 3)).argsort()], "which elements it reads depends on the"),
        (
            lambda x: F.grid_sample(x, torch.zeros(2, 4, 4, 2)),
            "uses F.grid_sample (grid_sampler_2d)",
        ),
        (lambda x: F.fold(F.unfold(x, 2), 26, 2), "uses nn.Fold (col2im)"),
        (lambda x: torch.linalg.qr(x)[0], "uses linear algebra (linalg_qr)"),
    ],
)
def test_the_reason_names_the_operation(
    function: Callable[[torch.Tensor], torch.Tensor], reason: str
) -> None:
    found = receptive_field(Of(lambda x: function(x) * 2))
    assert found.size is None
    assert reason in found.why_unknown
