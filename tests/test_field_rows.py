"""Rows of the receptive-field table: jumps, windows of dense layers, and a layer's own padding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fixtures.field_nets import Apply
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

from netlet.analysis import receptive_field
from netlet.analysis.receptive_field import FieldRow

Function = Callable[[torch.Tensor], torch.Tensor]


def _in_windows(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    windows = x.view(n, c, h // 7, 7, w // 7, 7).permute(0, 2, 4, 3, 5, 1) * 2
    return windows.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


def _in_windows_of_a_batch(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    windows = x.permute(0, 2, 3, 1).view(n, h // 7, 7, w // 7, 7, c).permute(0, 1, 3, 2, 4, 5)
    windows = windows.reshape(-1, 49, c).relu().view(n, h // 7, w // 7, 7, 7, c)
    return windows.permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c).permute(0, 3, 1, 2)


def _as_tokens(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return x.flatten(2).transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)


def _shuffled(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def _sub_pixels(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    x = x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // 4, 2 * h, 2 * w)


def _sub_pixels_with_channels_last(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).view(n, h, w, c // 4, 2, 2).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, 2 * h, 2 * w, c // 4).permute(0, 3, 1, 2)


def _expanded(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def _pixels_into_channels(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(n, 4 * c, h // 2, w // 2)


def _patches_into_channels(x: torch.Tensor) -> torch.Tensor:
    patches = x.unfold(2, 2, 2).unfold(3, 2, 2)
    return patches.permute(0, 1, 4, 5, 2, 3).flatten(1, 3)


def _mean_of_patches(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


def _rows_after(stem: nn.Module, *layers: nn.Module) -> list[FieldRow]:
    after = (nn.LazyConv2d(8, 3, 2, 1), nn.LazyConv2d(8, 3, 2, 1), nn.AdaptiveAvgPool2d(1))
    net = nn.Sequential(stem, *layers, *after)
    return list(receptive_field(net).rows[-3:])


def _sizes(rows: list[FieldRow]) -> list[tuple[object, ...]]:
    return [(row.n_in, row.k, row.r_in, row.j_in, row.r_out, row.j_out) for row in rows]


class _Branches(nn.Module):
    """Channels of two fields at each position."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return torch.cat([x, self.branch(x)], 1)


@pytest.mark.parametrize("stem", [lambda: nn.Conv2d(1, 8, 3, 2, 1), _Branches])
@pytest.mark.parametrize(
    ("by_view", "like"),
    [
        (_in_windows, nn.Identity()),
        (_in_windows_of_a_batch, nn.Identity()),
        (_as_tokens, nn.Identity()),
        (_shuffled, nn.ChannelShuffle(2)),
        (lambda x: _shuffled(_shuffled(x)), nn.ChannelShuffle(2)),
        (_sub_pixels, nn.PixelShuffle(2)),
        (_sub_pixels_with_channels_last, nn.PixelShuffle(2)),
        (_expanded, nn.Upsample(scale_factor=2)),
        (_pixels_into_channels, nn.PixelUnshuffle(2)),
        (_patches_into_channels, nn.PixelUnshuffle(2)),
        (_mean_of_patches, nn.AvgPool2d(2)),
    ],
)
def test_views_that_split_and_merge_axes_keep_the_grid(
    stem: Callable[[], nn.Module], by_view: Function, like: nn.Module
) -> None:
    found = _rows_after(stem(), Apply(by_view))
    assert _sizes(found) == _sizes(_rows_after(stem(), like))
    assert found[-1].j_in in ((16, 16), (8, 8), (4, 4))


def _mixed_in_grids(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    tokens = x.view(n, c, 2, h // 2, 2, w // 2).permute(0, 3, 5, 2, 4, 1).reshape(-1, 4, c)
    tokens = F.scaled_dot_product_attention(tokens, tokens, tokens)
    tokens = tokens.view(n, h // 2, w // 2, 2, 2, c)
    return tokens.permute(0, 5, 3, 1, 4, 2).reshape(n, c, h, w)


def _mixed_by_place_in_windows(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    tokens = x.reshape(n * c * h // 2, 2, w // 2, 2).transpose(1, 2).reshape(n, c, h * w // 4, 4)
    tokens = tokens.transpose(1, 3).reshape(n * 4, h * w // 4, c)
    tokens = F.scaled_dot_product_attention(tokens, tokens, tokens)
    tokens = tokens.view(n, 4, h * w // 4, c).transpose(1, 3)
    return tokens.reshape(n * c * h // 2, w // 2, 2, 2).transpose(1, 2).reshape(n, c, h, w)


@pytest.mark.parametrize("mix", [_mixed_in_grids, _mixed_by_place_in_windows])
def test_attention_at_a_distance_keeps_the_grid_of_the_map_that_it_is_added_to(
    mix: Function,
) -> None:
    stem = nn.Conv2d(1, 8, 3, 2, 1)
    rows, without = _rows_after(stem, Apply(lambda x: x + mix(x))), _rows_after(stem)
    assert [(row.j_in, row.j_out) for row in rows] == [(row.j_in, row.j_out) for row in without]
    assert rows[-1].r_out == without[-1].r_out == (39, 39)


@pytest.mark.parametrize("mix", [_mixed_in_grids, _mixed_by_place_in_windows])
def test_attention_at_a_distance_adds_nothing_beyond_its_map(mix: Function) -> None:
    rows = _rows_after(nn.Conv2d(1, 8, 2, 2), Apply(mix))
    assert max(max(row.r_out) for row in rows) <= 28


def test_columns_in_channels_double_the_jump_of_columns_only() -> None:
    def halve(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.view(n, c, h, w // 2, 2).permute(0, 1, 4, 2, 3).reshape(n, 2 * c, h, w // 2)

    rows = _rows_after(nn.Conv2d(1, 4, 3, padding=1), Apply(halve))
    assert [row.j_out for row in rows] == [(2, 4), (4, 8), (28, 32)]


def test_tokens_of_patches_have_no_jump() -> None:
    def patches(x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, 7, 4, 7, 4).transpose(2, 3).reshape(-1, 49, 16)

    rows = receptive_field(nn.Sequential(Apply(patches), nn.Linear(16, 4))).rows
    assert [(row.k, row.j_in, row.r_out) for row in rows] == [((4, 4), None, (4, 4))]


def _gated_by_row_and_column(x: torch.Tensor) -> torch.Tensor:
    means = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2)
    rows, columns = means.sigmoid().split(x.shape[2:], 2)
    return x * rows * columns.transpose(2, 3)


@pytest.mark.parametrize(
    "norm",
    [
        nn.GroupNorm(2, 8),
        nn.InstanceNorm2d(8),
        nn.LayerNorm((8, 14, 14)),
        nn.BatchNorm2d(8, track_running_stats=False),
        nn.Softmax(2),
        nn.Sequential(nn.GroupNorm(2, 8), nn.GroupNorm(1, 8)),
        nn.Sequential(nn.GroupNorm(2, 8), Apply(lambda x: x * x.mean((2, 3), keepdim=True))),
        nn.Sequential(nn.InstanceNorm2d(8), Apply(lambda x: torch.cat([x, x.relu()], 1))),
        nn.Sequential(nn.GroupNorm(2, 8), Apply(_shuffled), nn.ChannelShuffle(2)),
        nn.Sequential(nn.GroupNorm(2, 8), Apply(lambda x: x.flip(2))),
        nn.Sequential(nn.GroupNorm(2, 8), Apply(_gated_by_row_and_column)),
    ],
)
def test_jumps_go_on_after_a_norm_over_the_map(norm: nn.Module) -> None:
    rows = _rows_after(nn.Conv2d(1, 8, 3, 2, 1), norm)
    assert [row.j_in for row in rows] == [(2, 2), (4, 4), (8, 8)]
    assert [row.j_out for row in rows] == [(4, 4), (8, 8), (32, 32)]
    assert (rows[-1].n_in, rows[-1].k) == ((4, 4), (4, 4))


def test_windows_after_a_norm_over_the_map_have_no_jump() -> None:
    rows = _rows_after(nn.Conv2d(1, 8, 3, 2, 1), nn.GroupNorm(2, 8), Apply(_in_windows))
    assert [row.j_out for row in rows] == [(2, 2), None, None]


def test_padding_after_a_norm_over_the_map_depends_on_nothing_more() -> None:
    layers = (nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8))
    rows = _rows_after(nn.Sequential(*layers), nn.ZeroPad2d(2), nn.PixelUnshuffle(2))
    assert {row.r_in for row in rows} == {row.r_out for row in rows} == {(30, 30)}
    assert rows[-1].j_out == (32, 32)


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1)


def _average(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


class _Joined(nn.Module):
    """A dense layer over features of maps of 28x28, 14x14 (twice) and 7x7."""

    def __init__(self, join: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.b2, self.c = nn.Conv2d(1, 4, 7, 2, 3), nn.Conv2d(4, 4, 3, 2, 1)
        self.join, self.head = join, nn.LazyLinear(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b2 = self.a(x), self.b2(x)
        b = self.b(a)
        return self.head(self.join(a, b, b2, self.c(b)))


JOINED: list[tuple[Callable[..., torch.Tensor], tuple[int, int] | None]] = [
    (lambda a, b, b2, c: torch.cat([_flat(b), _flat(b2)], 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([b.flatten(2), b2.flatten(2)], 1).relu().flatten(1), (14, 14)),
    (lambda a, b, b2, c: torch.stack([_flat(b), _flat(b2)], 2).flatten(1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([torch.cat([_flat(b), _flat(b2)], 1)] * 2, 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([_average(a), _average(b), _average(c)], 1), (1, 1)),
    (lambda a, b, b2, c: torch.cat([_average(torch.cat([b, b2], 1)), _average(c)], 1), (1, 1)),
    (lambda a, b, b2, c: torch.cat([_average(a), b.amax((2, 3)), c[:, :, 0, 0]], 1), (1, 1)),
    (lambda a, b, b2, c: torch.cat([_flat(c), _average(c)], 1), None),
    (lambda a, b, b2, c: torch.cat([_flat(b), _flat(c)], 1), None),
    (lambda a, b, b2, c: torch.cat([_flat(b), _flat(b.mean(3))], 1), None),
    (
        lambda a, b, b2, c: torch.cat([_flat(F.adaptive_max_pool2d(a, k)) for k in (4, 2, 1)], 1),
        None,
    ),
    (lambda a, b, b2, c: torch.cat([b.flatten(2), c.flatten(2)], 2).transpose(1, 2), (1, 1)),
]

# Parts of one map, which has 14x14 positions.
JOINED += [
    (lambda a, b, b2, c: torch.cat([_flat(part) for part in b.chunk(2, 2)], 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([_flat(part.relu()) for part in b.split(5, 3)], 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([_flat(b[:, :, ::2]), _flat(b[:, :, 1::2])], 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([_flat(b[:, :, i]) for i in range(14)], 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([_flat(b[:, i]) for i in range(4)], 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([_flat(b), _flat(b[:, :, 3:-3, 3:-3])], 1), (14, 14)),
    (lambda a, b, b2, c: torch.cat([_flat(b), _flat(b[:, 0])], 1), (14, 14)),
    (
        lambda a, b, b2, c: torch.cat([b[:, :, i, j] for i in (0, -1) for j in (0, -1)], 1),
        (2, 2),
    ),
    (
        lambda a, b, b2, c: torch.cat([_flat(F.max_pool2d(part, 2)) for part in a.chunk(2, 2)], 1),
        (14, 14),
    ),
    (lambda a, b, b2, c: torch.cat([_average(part) for part in b.chunk(7, 2)], 1), (7, 1)),
    (lambda a, b, b2, c: torch.cat([_flat(b.mean(3)), _flat(b.amax(3))], 1), (14, 1)),
    (
        lambda a, b, b2, c: torch.cat(
            [_flat(b.flatten(2).transpose(1, 2) @ torch.ones(4, n)) for n in (2, 3)], 1
        ),
        (14, 14),
    ),
    (lambda a, b, b2, c: torch.cat([_flat(part) for part in b.chunk(2, 1)], 1), (14, 14)),
]


@pytest.mark.parametrize(("join", "size"), few_fast(JOINED, 10))
def test_a_dense_layer_over_joined_features_covers_maps_of_one_size(
    join: Callable[..., torch.Tensor], size: tuple[int, int] | None
) -> None:
    rows = [row for row in receptive_field(_Joined(join)).rows if row.name == "head"]
    assert [(row.n_in, row.k, row.n_out) for row in rows] == (
        [(size, size, (1, 1))] if size else []
    )


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_row_has_the_padding_of_its_layer_in_any_mode(mode: str) -> None:
    def rows(mode: str) -> tuple[FieldRow, ...]:
        layers = (
            nn.Conv2d(1, 2, (3, 5), 2, (1, 2), padding_mode=mode),
            nn.Conv2d(2, 2, 3, padding="same", dilation=2, padding_mode=mode),
            nn.Flatten(1, 2),
            nn.Conv1d(28, 4, 5, padding=2, padding_mode=mode),
        )
        return receptive_field(nn.Sequential(*layers)).rows

    assert rows(mode) == rows("zeros")
    assert [row.p for row in rows(mode)] == [(1, 2), (2, 2), (2,)]


def test_a_row_has_the_padded_map_where_padding_is_another_layer_or_uneven() -> None:
    layers = (
        nn.ReflectionPad2d(1),
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(1, 1, 4, padding="same", padding_mode="reflect"),
    )
    rows = receptive_field(nn.Sequential(*layers)).rows
    assert [(row.n_in, row.p, row.n_out) for row in rows] == [
        ((30, 30), (0, 0), (28, 28)),
        ((31, 31), (0, 0), (28, 28)),
    ]
