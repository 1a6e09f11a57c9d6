"""What a check says of a net with too many parameters: which layers could do with fewer."""

from __future__ import annotations

import torch
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
    assert remedy(50_890) == "make each layer 1% narrower"
    assert remedy(8_000) == f"{head}: 330 parameters instead of 46,090"
    assert remedy(2_000) == (
        f"{remedy(8_000)}; split layer conv into a depthwise and a pointwise convolution: "
        "688 parameters instead of 4,640"
    )
    assert remedy(600).endswith("; make each layer 29 to 50% narrower")


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
