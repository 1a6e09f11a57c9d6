"""Receptive fields of random nets, element by element, against the gradient."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from fixtures.field_nets import Apply, random_net
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

from netlet.analysis import Trace, receptive_field, trace
from netlet.analysis.axis import Interval
from netlet.analysis.gradient_check import (
    _find_support,
    _GradientPaths,
    _make_images,
    _make_twin,
)

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


def element_support(
    net: nn.Module, shape: Sequence[int], places: Sequence[float]
) -> list[tuple[tuple[int, ...], tuple[Interval, ...] | None]]:
    """Return the input positions that some elements of a net's output depend on.

    Args:
        net: Not changed; a copy is run. It returns one tensor.
        shape: The shape of one image, ``C H W``.
        places: The places of the elements, each from 0 (the first of the first image) to 1.

    Returns:
        The indices of each element, and the first and last position with a gradient along each axis
        of the image; None if there is none.
    """
    x = _make_images(shape)
    with _GradientPaths():
        out = _make_twin(net)(x)[:1]
    found = []
    for place in places:
        number = min(int(place * out.numel()), out.numel() - 1)
        index = tuple(int(i) for i in torch.unravel_index(torch.tensor(number), out.shape))
        found.append((index, _find_support(out[index], x)))
    return found


@pytest.mark.parametrize("seed", few_fast(range(300), 12))
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
            lambda x: torch.linalg.qr(x)[1],
            "(net) uses linear algebra (linalg_qr), and netlet does not",
        ),
        (lambda x: x.flatten(1).histc(4), "(net) uses histc, and netlet does not know which"),
        (lambda x: x[:, :, x.mean((0, 1, 3)).argsort()], "which elements it reads depends on the"),
        (
            lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False),
            "uses F.grid_sample (grid_sampler_2d), and where it samples depends on the image",
        ),
        (
            lambda x: F.max_unpool2d(x, x.new_zeros(x.shape, dtype=torch.int64), 1),
            "uses max unpooling (max_unpool2d)",
        ),
        (lambda x: x.gather(3, (x > 0).long()), "uses gather, and which elements it reads depends"),
        (lambda x: torch.linalg.qr(x)[0], "uses linear algebra (linalg_qr)"),
    ],
)
def test_the_reason_names_the_operation(
    function: Callable[[torch.Tensor], torch.Tensor], reason: str
) -> None:
    found = receptive_field(Of(lambda x: function(x) * 2))
    assert found.size is None
    assert reason in found.why_unknown


def _mask_written(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[y < 0] = 0
    return y


def _unpooled(x: torch.Tensor, window: int, stride: int) -> torch.Tensor:
    y, indices = F.max_pool2d(x, window, stride, return_indices=True)
    return F.max_unpool2d(y, indices, window, stride, output_size=x.shape[2:])


def _through_frequencies(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(x) * 0.5, s=x.shape[2:])


def _sampled(x: torch.Tensor) -> torch.Tensor:
    theta = torch.eye(2, 3, dtype=x.dtype).expand(len(x), 2, 3) * 0.5
    grid = F.affine_grid(theta, [len(x), 4, 9, 7], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def _resampled_by_the_net(x: torch.Tensor) -> torch.Tensor:
    theta = x.mean((2, 3))[:, :3].repeat(1, 2).view(-1, 2, 3)
    return F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=True)


def _added_at_places(x: torch.Tensor) -> torch.Tensor:
    halves = (torch.arange(26) // 2).expand(len(x), 4, 26, 26)
    return x.new_zeros(len(x), 4, 26, 13).scatter_add(3, halves, x)


EXACT: dict[str, tuple[Callable[..., torch.Tensor], tuple[nn.Module, ...], tuple[int, int]]] = {
    "frequencies": (lambda x: torch.fft.fft2(x).real, (), (28, 28)),
    "frequencies of rows": (lambda x: torch.fft.rfft(x, dim=3).imag, (), (3, 28)),
    "frequencies of columns": (lambda x: torch.view_as_real(torch.fft.fft(x, dim=2)), (), (28, 3)),
    "filter": (_through_frequencies, (), (28, 28)),
    "complex": (lambda x: torch.polar(x.abs() + 1, x).imag, (), (3, 3)),
    "fold": (lambda x: F.fold(F.unfold(x, 3), 26, 3), (), (3, 3)),
    "fold of patches": (lambda x: F.fold(F.unfold(x, 2, stride=2), 26, 2, stride=2), (), (3, 3)),
    "fold of mixed patches": (
        lambda x, mix: F.fold(mix(F.unfold(x, 2, stride=2).mT).mT, 26, 2, stride=2),
        (nn.Linear(16, 16),),
        (4, 4),
    ),
    "fixed grid": (_sampled, (), (4, 4)),
    "grid of the whole image": (_resampled_by_the_net, (), (28, 28)),
    "mask": (_mask_written, (), (3, 3)),
    "sums at places": (_added_at_places, (), (3, 4)),
    "sums of columns": (
        lambda x: x.new_zeros(len(x), 4, 26, 13).index_add(3, torch.arange(26) // 2, x),
        (),
        (3, 4),
    ),
    "group norm": (lambda x, norm: norm(x), (nn.GroupNorm(1, 4),), (28, 28)),
    "group norm of halves": (
        lambda x: F.group_norm(torch.cat([x[..., :13], x[..., 13:]], 1), 2),
        (),
        (28, 15),
    ),
    "layer norm of rows": (lambda x, norm: norm(x), (nn.LayerNorm(26),), (3, 28)),
    "distances": (lambda x: torch.cdist(x.mean(3), x.amax(3)), (), (28, 28)),
    "bilinear": (lambda x, m: m(x.mean((2, 3)), x.amax((2, 3))), (nn.Bilinear(4, 4, 3),), (28, 28)),
    "matrix and vector": (lambda x: x.mean((2, 3)).mv(x.new_ones(4)), (), (28, 28)),
    "clipped norms": (lambda x: x.renorm(2, 1, 0.1), (), (28, 28)),
}


@pytest.mark.parametrize("name", few_fast(EXACT, 10))
def test_fields_of_operations_outside_the_vocabulary(name: str) -> None:
    function, layers, size = EXACT[name]
    torch.manual_seed(0)
    net = Of(function, *layers)
    traced = trace(net, (1, 28, 28))
    assert receptive_field(net).size == size, traced.why_unknown
    assert_fields_cover_the_gradient(net, traced)


def assert_fields_cover_the_gradient(net: nn.Module, traced: Trace) -> None:
    """Compare a net's field with where the gradient of some elements is not zero, element-wise."""
    assert traced.field is not None
    # Nothing is replaced in the net: a gradient may be zero where a field is not.
    images = torch.rand(2, 1, 28, 28, requires_grad=True)
    out = net(images)
    draw = random.Random(0)
    for number in [0, out[0].numel() - 1, *(draw.randrange(out[0].numel()) for _ in range(3))]:
        index = tuple(int(i) for i in torch.unravel_index(torch.tensor(number), out[0].shape))
        (gradient,) = torch.autograd.grad(out[(0, *index)], images, retain_graph=True)
        reached = (gradient.abs().sum((0, 1)) > 0).nonzero()
        for axis, places in zip(traced.field, reached.T, strict=True):
            at = (0, *index)
            first, last = (
                int(np.broadcast_to(table, (2, *out.shape[1:]))[at])
                for table in (axis.first, axis.last)
            )
            assert all(first <= place <= last for place in places), (index, first, last)


@pytest.mark.parametrize(
    ("window", "stride", "size"), [(2, 2, (4, 4)), (3, 2, (7, 7)), (3, 3, (5, 5))]
)
def test_unpooling_puts_elements_back_into_their_windows(
    window: int, stride: int, size: tuple[int, int]
) -> None:
    net = Of(lambda x: _unpooled(x, window, stride))
    traced = trace(net, (1, 28, 28))
    assert receptive_field(net).size == size
    assert_fields_cover_the_gradient(net, traced)
    with_layer = Of(
        lambda x, conv: F.max_unpool2d(
            conv(F.max_pool2d(x, 2)), F.max_pool2d(x, 2, return_indices=True)[1], 2
        ),
        nn.Conv2d(4, 4, 3, padding=1),
    )
    assert receptive_field(with_layer).size == (8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_steps_of_recurrent_layers_depend_on_those_before(
    kind: type[nn.RNNBase], bidirectional: bool
) -> None:
    layer = kind(28, 5, batch_first=True, bidirectional=bidirectional)

    class Rows(nn.Module):
        def __init__(self, part: Callable[..., torch.Tensor]) -> None:
            super().__init__()
            self.rows, self.part = layer, part

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.part(*self.rows(x[:, 0, :6]))

    for part in (
        lambda out, state: out,
        lambda out, state: out[:, 3],
        lambda out, state: (state[0] if isinstance(state, tuple) else state).transpose(0, 1),
        lambda out, state: (state[1] if isinstance(state, tuple) else state)[-1],
    ):
        net = Rows(part)
        traced = trace(net, (1, 28, 28))
        assert_fields_cover_the_gradient(net, traced)
    fourth = receptive_field(Rows(lambda out, state: out[:, 3, :5]))
    assert fourth.size == (4, 28)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_of_any_kind_continues_the_grid(mode: str) -> None:
    def net(mode: str) -> nn.Module:
        def conv(k: int) -> nn.Module:
            return nn.Conv2d(1, 1, k, 2, k // 2, padding_mode=mode)

        return nn.Sequential(conv(3), conv(5), conv(5), nn.Conv2d(1, 1, 3, padding=1))

    found, expected = receptive_field(net(mode)), receptive_field(net("zeros"))
    assert found.size == expected.size == (43, 43)
    assert [row.r_out for row in found.rows] == [row.r_out for row in expected.rows]
    assert [row.j_out for row in found.rows] == [row.j_out for row in expected.rows]


def test_branches_with_different_fields_are_one_position_of_a_dense_layer() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1)
            self.branch = nn.Conv2d(4, 4, 3, padding=1)
            self.head, self.whole = nn.Linear(8, 10), nn.Linear(8 * 196, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            x = torch.cat([x, self.branch(x)], 1)
            return self.head(x.mean((2, 3))) + self.whole(x.flatten(1))

    rows = {row.name: row for row in receptive_field(Branches()).rows}
    assert (rows["head"].n_in, rows["head"].k, rows["head"].n_out) == ((1, 1), (1, 1), (1, 1))
    assert rows["whole"].k == (14, 14)
    for row in rows.values():
        assert row.r_in is not None
        assert row.j_in is not None
        assert row.r_out == tuple(
            r + (k - 1) * j for r, k, j in zip(row.r_in, row.k, row.j_in, strict=True)
        )


def _repeat_positions(x: torch.Tensor) -> torch.Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(3, 3)


def _excite(x: torch.Tensor) -> torch.Tensor:
    return x * x.mean((2, 3), keepdim=True).sigmoid()


def _join_with_its_average(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:])], 1)


def _unpool(x: torch.Tensor) -> torch.Tensor:
    return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.ConvTranspose2d(4, 4, 2, 2),),
        (nn.ConvTranspose2d(4, 4, 3, 2, 1, 1), nn.Conv2d(4, 4, (3, 2)), nn.MaxPool2d(2)),
        (nn.ConvTranspose2d(4, 4, 5, padding=2), nn.Conv2d(4, 4, 3)),
        (nn.Upsample(scale_factor=2),),
        (nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU(), nn.Dropout(0.1)),
        (Apply(lambda x: F.interpolate(x, (39, 30), mode="bicubic")),),
        (Apply(lambda x: F.interpolate(x, 7, mode="area")),),
        (nn.PixelShuffle(2),),
        (nn.PixelUnshuffle(2),),
        (nn.Unfold(2, stride=2), nn.Fold((26, 24), 2, stride=2)),
        (nn.Conv2d(4, 36, 1), nn.Flatten(2), nn.Fold((78, 72), 3, stride=3)),
        (nn.AdaptiveAvgPool2d((7, 5)),),
        (Apply(_unpool),),
        (Apply(_repeat_positions),),
        (Apply(lambda x: x + x.flip(3)),),
        (Apply(_join_with_its_average),),
        (Apply(_excite),),
        (nn.GroupNorm(2, 4),),
        (nn.InstanceNorm2d(4), nn.Conv2d(4, 4, 3), nn.Softmax(3)),
    ],
)
def test_a_dense_layer_covers_the_map_that_is_flattened(layers: tuple[nn.Module, ...]) -> None:
    body = nn.Sequential(nn.Conv2d(1, 4, (3, 5)), *layers).eval()
    size = tuple(body(torch.zeros(1, 1, 28, 28)).shape[2:])
    net = nn.Sequential(body, nn.Flatten(), nn.Dropout(0.1), nn.LazyLinear(10))
    last = receptive_field(net).rows[-1]
    assert (last.name, last.n_in, last.k, last.n_out) == ("3", size, size, (1, 1))


def test_a_dense_layer_counts_positions_along_the_axes_of_the_image() -> None:
    upsampled = (nn.Conv2d(1, 4, (3, 5)), nn.Upsample(scale_factor=2))
    for layers, size in (
        ((Apply(lambda x: x.transpose(2, 3).flatten(1)),), (52, 48)),
        ((Apply(lambda x: x.permute(0, 2, 3, 1).relu().flatten(1)),), (52, 48)),
        ((Apply(lambda x: x.mean(2)),), (1, 48)),
        ((Apply(lambda x: x.permute(0, 2, 3, 1)),), (1, 1)),
        ((Apply(lambda x: x.flatten(2).mT), nn.LayerNorm(4), Apply(lambda x: x.mT)), (52, 48)),
    ):
        found = receptive_field(nn.Sequential(*upsampled, *layers, nn.LazyLinear(10)))
        assert found.rows[-1].n_in == size, found


@pytest.mark.parametrize(
    ("k", "s", "p", "extra", "d"),
    [(2, 2, 0, 0, 1), (3, 2, 1, 1, 1), (4, 2, 1, 0, 1), (3, 1, 1, 0, 2), (5, 3, 0, 2, 1)],
)
def test_a_transposed_convolution_has_a_row_whose_field_is_that_of_its_gradient(
    k: int, s: int, p: int, extra: int, d: int
) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=6), nn.ConvTranspose2d(2, 2, k, s, p, extra, dilation=d)
    )
    shape = (1, 64, 64)
    row = receptive_field(net, shape).rows[1]
    n = int(net(torch.zeros(1, *shape)).shape[2])
    assert (row.name, row.kind, row.n_in, row.n_out) == ("1", "ConvTranspose2d", (11, 11), (n, n))
    assert (row.k, row.s, row.p, row.d) == ((k, k), (s, s), (p, p), (d, d))
    assert (row.r_in, row.j_in, row.j_out) == ((3, 3), (6, 6), (6 // s, 6 // s))
    found = element_support(net, shape, [i / 40 for i in range(41)])
    sizes = [max(last - first + 1 for first, last in axes) for _, axes in found if axes]
    assert row.r_out == (max(sizes), max(sizes))
