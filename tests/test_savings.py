"""What a check says of a net with too many parameters: which layers could do with fewer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from fixtures import slips
from torch import nn

from netlet import analysis
from netlet.budgets import Budget


def test_too_many_parameters_get_a_remedy_with_its_figures() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)
            self.head = nn.Linear(32 * 12 * 12, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = nn.functional.max_pool2d(self.conv(self.stem(images).relu()).relu(), 2)
            return self.head(maps.flatten(1))

    head = "average each 12x12 map before layer head, which then is nn.Linear(32, 10)"
    found = analysis.cost(Net())
    assert [saved for _, saved in found.savings] == [46_090 - 330, 4_640 - (16 * 9 + 16 * 32 + 32)]

    def remedy(limit: int) -> str:
        return analysis.judge_cost(found, Budget(params_below=limit)).results[0].remedy

    assert remedy(50_891) == ""
    assert remedy(50_890) == "make the layers narrower, by about 1%, rounded down to whole channels"
    assert remedy(8_000) == f"{head}: 330 parameters instead of 46,090"
    assert remedy(2_000) == (
        f"{remedy(8_000)}; and also split layer conv into a depthwise convolution without bias and a pointwise "
        "one: "
        "688 parameters instead of 4,640"
    )
    assert remedy(600).endswith(
        "; and also make the layers narrower, by about 29 to 50%, rounded down to whole channels"
    )


def test_what_a_remedy_for_parameters_promises_is_what_the_changed_net_has() -> None:
    wide = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3, bias=False), nn.Flatten())
    split = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.Conv2d(8, 16, 1, bias=False))
    before = nn.Sequential(*wide, nn.Linear(16 * 24 * 24, 10, bias=False))
    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10, bias=False))
    saved_by_average, saved_by_split = (saved for _, saved in analysis.cost(before).savings)
    averaged = nn.Sequential(wide[0], wide[1], average)
    assert analysis.cost(before).parameters - saved_by_average == analysis.cost(averaged).parameters
    both = nn.Sequential(wide[0], split, average)
    fewest = analysis.cost(both).parameters
    assert analysis.cost(averaged).parameters - saved_by_split == fewest
    # What cannot become smaller gets no advice: pooled heads, depthwise and pointwise layers.
    assert analysis.cost(both).savings == []


def test_a_convolution_that_covers_its_map_is_told_to_read_averages() -> None:
    def net(*last: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 16, 3), nn.MaxPool2d(4), *last, nn.Flatten())

    whole = net(nn.Conv2d(16, 10, 6))
    ((text, saved),) = analysis.cost(whole).savings
    assert text == (
        "average each 6x6 map before layer 2, which then is nn.Conv2d(16, 10, 1): 170 parameters "
        "instead of 5,770"
    )
    averaged = net(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 10, 1))
    parameters = [analysis.cost(one).parameters for one in (whole, averaged)]
    assert parameters[0] - saved == parameters[1]
    # Not where it leaves out a part of the map, or where there are more classes than averages.
    for other in (
        nn.Conv2d(16, 10, 5, stride=2),
        nn.Conv2d(16, 10, 4, padding=1),
        nn.Conv2d(16, 24, 6),
    ):
        assert [text[:5] for text, _ in analysis.cost(net(other)).savings] == ["split"]


class Two(nn.Module):
    """Reads a map in the first of two linear layers, and a hidden vector in the second."""

    def __init__(self, channels: int = 16, moves: bool = False) -> None:
        super().__init__()
        self.conv, self.moves = nn.Conv2d(1, channels, 3), moves
        self.hidden, self.head = nn.Linear(channels * 26 * 26, 16), nn.Linear(16, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images)
        rows = (maps.permute(0, 2, 3, 1) if self.moves else maps).flatten(1)
        return self.head(self.hidden(rows))


class One(Two):
    """Reads a map in its only linear layer that runs."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images)
        rows = (maps.permute(0, 2, 3, 1) if self.moves else maps).flatten(1)
        return self.hidden(rows)


class Parallel(Two):
    """Reads a map in two linear layers, whose results it adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16 * 26 * 26, 16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = self.conv(images).flatten(1)
        return self.head(rows) + self.hidden(rows)  # type: ignore[no-any-return]


def test_an_average_is_advised_only_where_it_is_sure_what_the_layer_reads() -> None:
    def advice(net: nn.Module) -> list[str]:
        return [text.partition(" ")[0] for text, _ in analysis.cost(net).savings]

    assert advice(One()) == ["average", "leave"]
    assert advice(Two()) == ["average"]
    assert advice(Two(channels=8)) == []  # fewer averages than classes
    assert advice(Parallel()) == []
    assert advice(One(moves=True)) == ["leave"]
    assert advice(One(channels=8)) == ["leave"]  # fewer averages than outputs
    image = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(784, 64))
    assert advice(image) == []
    tied = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    tied[2].weight = tied[1].weight
    assert advice(tied) == []


def test_a_layer_that_may_run_on_other_images_is_not_advised_to_be_left_out() -> None:
    assert any("spare" in text for text, _ in analysis.cost(slips.UnusedLayers()).savings)
    assert all("bright" not in text for text, _ in analysis.cost(slips.ChoosesByValue()).savings)


def test_advice_keeps_to_the_rules_and_to_what_widths_can_do() -> None:
    def remedy(net: nn.Module, **limits: object) -> str:
        return analysis.judge_cost(analysis.cost(net), Budget(**limits)).results[0].remedy  # type: ignore[arg-type]

    assert remedy(One(), params_below=20_000).startswith(
        "average each 26x26 map before layer hidden"
    )
    narrower = "make the layers narrower, by about 67 to 89%, rounded down to whole channels"
    assert remedy(One(), params_below=20_000, forbids=("GAP",)) == narrower
    assert remedy(Two(), params_below=20_000) == (
        "average each 26x26 map before layer hidden, which then is nn.Linear(16, 16): 272 "
        "parameters instead of 173,072"
    )
    assert remedy(Two(channels=8), params_below=1) == "use fewer and much narrower layers"


def test_remedies_that_are_advised_together_are_enough_together() -> None:
    def build(
        convolution: Callable[[int, int], nn.Module], places: int, kept: float = 1
    ) -> nn.Module:
        one, two, three = (int(kept * width) for width in (32, 64, 128))
        return nn.Sequential(
            *(nn.Conv2d(1, one, 3, padding=1), nn.Conv2d(one, two, 3, padding=1), nn.MaxPool2d(4)),
            *(convolution(two, three), nn.AdaptiveAvgPool2d(places), nn.Flatten()),
            nn.Linear(three * places**2, 10),
        )

    whole = build(lambda i, o: nn.Conv2d(i, o, 3, padding=1), 7)
    found = analysis.cost(whole)
    remedy = analysis.judge_cost(found, Budget(params_below=8_000)).results[0].remedy
    assert found.parameters == 155_402
    assert remedy.count("; and also ") == 2
    most = re.search(r"; and also make the layers narrower, by about 48 to (\d+)%", remedy)
    assert most
    together = build(_split, 1, 1 - int(most[1]) / 100)
    assert analysis.cost(together).parameters < 8_000


def _split(i: int, o: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(i, i, 3, padding=1, groups=i, bias=False), nn.Conv2d(i, o, 1))


@pytest.mark.parametrize("channels", [8, 13, 40])
def test_layers_that_are_narrower_by_the_most_that_is_advised_meet_the_limit(channels: int) -> None:
    def build(width: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.Flatten(), nn.Linear(784 * width, 10)
        )

    found = analysis.cost(build(channels))
    limit = found.parameters * 3 // 5
    budget = Budget(params_below=limit, forbids=("GAP",))
    (result, *_) = analysis.judge_cost(found, budget).results
    most = re.search(r"by about (?:\d+ to )?(\d+)%, rounded down", result.remedy)
    assert most
    narrower = build(int(channels * (100 - int(most[1])) / 100))
    assert analysis.cost(narrower).parameters < limit
