"""Rows and columns of a map that no window reaches are noted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netlet import nets
from netlet.analysis import summary
from netlet.analysis.field_rules import follow_fields
from netlet.analysis.left_out import write_left_out_notes
from netlet.graph import trace_graph


class Averages(nn.Module):
    """Maps of 6x6 and an average of some of each."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 10, 3, stride=2)
        self.gap = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gap(self.b(torch.relu(self.a(x)))).flatten(1)


def notes_on(net: nn.Module) -> list[str]:
    net(torch.zeros(2, 1, 28, 28))  # lazy layers take their shapes
    graph = trace_graph(net.eval(), (1, 28, 28))
    return write_left_out_notes(graph, follow_fields(graph, len(graph.nodes)))


def then(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), *layers, nn.Flatten(), nn.LazyLinear(10))


@pytest.mark.parametrize(
    ("pool", "left_out"),
    [
        (nn.AvgPool2d(5), "the last row and column"),
        (nn.AvgPool2d(4), "the last 2 rows and columns"),
        (nn.AvgPool2d((5, 6)), "the last row"),
        (nn.AvgPool2d((5, 4)), "the last row and the last 2 columns"),
        (nn.AvgPool2d(5, padding=1), "the last 2 rows and columns"),
    ],
)
def test_averages_that_leave_out_lines_are_noted(pool: nn.Module, left_out: str) -> None:
    assert notes_on(Averages(pool)) == [
        f"note: layer gap (AvgPool2d) leaves out {left_out} of its 6x6 input; "
        "nn.AdaptiveAvgPool2d(1) averages all of it"
    ]


@pytest.mark.parametrize(
    ("layer", "left_out", "remedy"),
    [
        (nn.MaxPool2d(3), "the last 2 rows and columns", "ceil_mode=True would keep them"),
        (nn.Conv2d(4, 4, 3, 2), "the last row and column", "padding would keep them"),
        (nn.MaxPool2d((3, 2), (3, 1)), "the last 2 rows", "ceil_mode=True would keep them"),
        (nn.Conv2d(4, 4, 3, (1, 2)), "the last column", "padding would keep it"),
    ],
)
def test_a_last_map_of_which_lines_are_cut_off_is_noted(
    layer: nn.Module, left_out: str, remedy: str
) -> None:
    assert notes_on(then(layer)) == [
        f"note: layer 1 ({type(layer).__name__}) leaves out {left_out} of its 26x26 input: its "
        f"stride rounds down; {remedy}"
    ]


@pytest.mark.parametrize("layer", [nn.MaxPool2d(4), nn.Conv2d(10, 10, 4, 4)])
def test_a_last_map_of_which_one_place_is_left_is_noted(layer: nn.Module) -> None:
    remedy = "ceil_mode=True" if isinstance(layer, nn.MaxPool2d) else "padding"
    assert notes_on(Averages(layer)) == [
        f"note: layer gap ({type(layer).__name__}) leaves out the last 2 rows and columns of its "
        f"6x6 input: its stride rounds down; {remedy} would keep them"
    ]


def test_a_map_before_one_place_that_leaves_nothing_out_is_noted() -> None:
    (note,) = notes_on(then(nn.MaxPool2d(3), nn.Conv2d(4, 4, 8), nn.MaxPool2d(1)))
    assert "layer 1 (MaxPool2d) leaves out the last 2 rows and columns of its 26x26" in note


def test_lines_between_windows_and_functions_are_noted() -> None:
    class Function(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.avg_pool2d(x, (3, 28), (4, 1)).flatten(1)

    assert notes_on(Function()) == ["note: avg_pool2d leaves out 7 rows of its 28x28 input"]


def test_maps_with_one_axis_have_positions() -> None:
    net = nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 4, 5, 3), nn.Flatten())
    assert notes_on(net) == [
        "note: layer 1 (Conv1d) leaves out the last 2 positions of its 784 input: its stride rounds "
        "down; padding would keep them"
    ]


@pytest.mark.parametrize(
    "net",
    [
        Averages(nn.AvgPool2d(6)),
        Averages(nn.MaxPool2d(6)),
        Averages(nn.Conv2d(10, 10, 6, 6)),
        Averages(nn.Conv2d(10, 10, 3, 3, dilation=2)),
        Averages(nn.AdaptiveAvgPool2d(1)),
        Averages(nn.AvgPool2d(4, ceil_mode=True)),
        then(nn.MaxPool2d(2)),
        then(nn.MaxPool2d(3), nn.Conv2d(4, 4, 3, padding=1)),  # cut off in between
        then(nn.Conv2d(4, 4, 1, 2)),  # skips every other row on purpose
        then(nn.Conv2d(4, 4, 3, 2, padding=1)),
        # What is left out is padding.
        then(nn.ReflectionPad2d(1), nn.AvgPool2d(3, 2)),
        then(nn.ZeroPad2d(1), nn.Conv2d(4, 4, 3, 2)),
        then(nn.CircularPad2d((0, 1, 0, 1)), nn.MaxPool2d(2)),
        # The border of an image is blank.
        nn.Sequential(nn.Conv2d(1, 4, 5, 3), nn.Flatten(), nn.LazyLinear(10)),
    ],
)
def test_windows_that_reach_everything_are_not_noted(net: nn.Module) -> None:
    assert notes_on(net) == []


class Mean(nn.Module):
    """Maps of 26x26, and what a function makes of them."""

    def __init__(self, head: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 10, 3), head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x))


@pytest.mark.parametrize(
    ("head", "lines"),
    [
        (lambda x: x[:, :, :10, :10].mean((2, 3)), "the last 16 rows and columns"),
        (lambda x: x[:, :, 1:, 1:].mean((2, 3)), "1 row and column"),
        (lambda x: x[..., :-1].relu().mean((2, 3)), "the last column"),
        (lambda x: x[:, :, :20][..., ::2].flatten(2).mean(2), "the last 6 rows and 13 columns"),
        (lambda x: x.permute(0, 2, 3, 1)[:, :25].mean((1, 2)), "the last row"),
        (lambda x: x[:, :, :25].mean(3).mean(2), "the last row"),
        (lambda x: x[:, :, 4].mean(2), "25 rows"),
        (lambda x: x.narrow(3, 0, 24).sum((2, 3)) / 624, "the last 2 columns"),
        (lambda x: F.adaptive_avg_pool2d(x[:, :, :25], 1).flatten(1), "the last row"),
        (lambda x: F.avg_pool2d(x[:, :, :5, :5], 5).flatten(1), "the last 21 rows and columns"),
    ],
)
def test_an_average_of_a_slice_of_a_map_is_noted(
    head: Callable[[torch.Tensor], torch.Tensor], lines: str
) -> None:
    (note,) = notes_on(Mean(head))
    assert f" leaves out {lines} of a 26x26 map, of which it averages a slice; nn.Adap" in note


@pytest.mark.parametrize(
    "head",
    [
        lambda x: x[:, :5].mean((2, 3)),  # channels
        lambda x: x[:, :, :13].mean((2, 3)) + x[:, :, 13:].mean((2, 3)),  # a mean of each half
        lambda x: x[:, :, :13].mean((2, 3)) + x.amax((2, 3)),  # the rest is used
        lambda x: F.pad(x, (1, 1, 1, 1))[:, :, 1:-1, 1:-1].mean((2, 3)),  # padding
        lambda x: x[:, :, :10, :10].flatten(1),  # no average
        lambda x: x[:, :, :10].amax((2, 3)),
        lambda x: x[:, :, [0, 5]].mean((2, 3)),  # chosen one by one
    ],
)
def test_slices_that_leave_nothing_unused_or_are_not_averaged_are_not_noted(
    head: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    assert notes_on(Mean(head)) == []


def test_a_crop_of_the_image_is_not_noted() -> None:
    class Crop(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, 4:24, 4:24].mean((2, 3)).expand(-1, 10)

    assert notes_on(Crop()) == []


def test_notes_are_in_the_summary() -> None:
    assert "note: layer gap (AvgPool2d) leaves out" in str(summary(Averages(nn.AvgPool2d(5))))


@pytest.mark.parametrize("name", sorted(nets.NETS.keys() - {"expand_squeeze"}))
def test_registered_nets_leave_nothing_out(name: str) -> None:
    assert notes_on(nets.NETS[name].builder()) == []
