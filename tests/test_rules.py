"""Rules of a budget mean what a net computes, however it is written; near misses do not pass."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import few_fast
from torch import nn

from netlet.analysis import check, cost, judge_cost
from netlet.budgets import Budget, ModelCost, RuleResult
from netlet.budgets.families import FAMILIES
from netlet.budgets.layer_names import LAYERS, find_slip
from netlet.budgets.rule_parser import parse_rule
from netlet.budgets.rules import AfterRule
from netlet.errors import BudgetError

Head = Callable[["Net", torch.Tensor], torch.Tensor]


class Net(nn.Module):
    """Two convolutions to maps of 16 x 7 x 7, then what a test adds."""

    def __init__(self, head: Head, **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.fc = nn.Linear(16, 10, bias=False)
        for name, part in parts.items():
            setattr(self, name, part)
        self._head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self._head(self, x)


def judge(rule: str, head: Head, **parts: nn.Module | nn.Parameter) -> RuleResult:
    budget = Budget(requires=(rule,))
    return judge_cost(_cost(head, tuple(parts.items())), budget).results[-1]


@functools.cache
def _cost(head: Head, parts: tuple[tuple[str, nn.Module | nn.Parameter], ...]) -> ModelCost:
    return cost(Net(head, **dict(parts)))


def mean_head(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.fc(x.mean((2, 3)))


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


GLOBAL_AVERAGES: dict[str, Head] = {
    "adaptive": lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 1).flatten(1)),
    "adaptive, squeezed": lambda net, x: net.fc(F.adaptive_avg_pool2d(x, (1, 1)).squeeze()),
    "window": lambda net, x: net.fc(F.avg_pool2d(x, 7).view(-1, 16)),
    "window of the map's size": lambda net, x: net.fc(F.avg_pool2d(x, x.shape[2:])[:, :, 0, 0]),
    "own divisor": lambda net, x: net.fc(F.avg_pool2d(x, 7, divisor_override=49).flatten(1)),
    "mean": lambda net, x: net.fc(x.mean((2, 3))),
    "negative dimensions": lambda net, x: net.fc(x.mean(dim=(-2, -1))),
    "torch.mean": lambda net, x: net.fc(torch.mean(x, [-1, -2])),
    "two means": lambda net, x: net.fc(x.mean(3).mean(2)),
    "two means from the front": lambda net, x: net.fc(x.mean(2, keepdim=True).mean(3)[:, :, 0]),
    "flattened": lambda net, x: net.fc(x.flatten(2).mean(-1)),
    "viewed": lambda net, x: net.fc(x.view(len(x), 16, -1).mean(2)),
    "tokens": lambda net, x: net.fc(x.flatten(2).transpose(1, 2).mean(1)),
    "channels last": lambda net, x: net.fc(x.permute(0, 2, 3, 1).mean((1, 2))),
    "sum and quotient": lambda net, x: net.fc(x.sum((2, 3)) / 49),
    "quotient and sum": lambda net, x: net.fc((x / 49).sum((-1, -2))),
    "two sums and a product": lambda net, x: net.fc(x.sum(3).sum(2) * (1 / 49)),
    "einsum": lambda net, x: net.fc(torch.einsum("bchw->bc", x) / 49),
    "scaled": lambda net, x: net.fc((2 * x).mean((2, 3))),
    "of a single place": lambda net, x: net.fc(
        F.adaptive_avg_pool2d(F.conv2d(x, torch.ones(16, 16, 7, 7)), 1).flatten(1)
    ),
    "flipped": lambda net, x: net.fc(x.flip(3).mean((2, 3))),
    "after squeeze-and-excite": lambda net, x: net.fc((x * _gate(x)).mean((2, 3))),
    "plus the maximum": lambda net, x: net.fc(x.mean((2, 3)) + x.amax((2, 3))),
    "beside a flattened map": lambda net, x: torch.cat([x.mean((2, 3)), x.flatten(1)], 1)[:, :10],
    "made larger again": lambda net, x: net.fc(
        F.interpolate(x.mean((2, 3), True), (5, 5)).add(_gate(x)).flatten(1)[:, ::25]
    ),
}


def _gate(x: torch.Tensor) -> torch.Tensor:
    return x.amax((2, 3), True).sigmoid()


NO_GLOBAL_AVERAGES: dict[str, tuple[Head, str]] = {
    "smaller window": (
        lambda net, x: net.fc(F.avg_pool2d(x, 6).flatten(1)),
        "its windows are 6x6, the map is 7x7",
    ),
    "padded": (lambda net, x: net.fc(F.avg_pool2d(x, 7, 7, 3)[..., 0, 0]), "beyond the map"),
    "cropped": (lambda net, x: net.fc(x[:, :, 1:, 1:].mean((2, 3))), "only a part of the map"),
    "cropped, then relu": (lambda net, x: net.fc(F.relu(x[..., :6]).mean((2, 3))), "a part"),
    "indexed": (lambda net, x: net.fc(x[:, :, [0, 2, 4]].mean((2, 3))), "some elements"),
    "sum": (lambda net, x: net.fc(x.sum((2, 3))), "without dividing"),
    "another divisor": (lambda net, x: net.fc(x.sum((2, 3)) / 7), "without dividing"),
    "one axis": (lambda net, x: net.fc(x.mean(3)[:, :, 0]), "one axis of the map only"),
    "mean and maximum": (lambda net, x: net.fc(x.mean(3).amax(2)), "one axis"),
    "relu between": (lambda net, x: net.fc(F.relu(x.mean(3)).mean(2)), "after another operation"),
    "adaptive to 2": (
        lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 2)[:, :, 0, 0]),
        "it pools to 2x2",
    ),
    "over channels": (lambda net, x: net.fc(x.mean(1).flatten(1)[:, :16]), ""),
    "over the batch": (lambda net, x: net.fc((x - x.mean(0))[:, :, 0, 0]), ""),
    "maximum": (lambda net, x: net.fc(x.amax((2, 3))), ""),
    "first element": (lambda net, x: net.fc(x[:, :, 0, 0]), ""),
    "unused": (lambda net, x: (x.mean((2, 3)), net.fc(x[:, :, 0, 0]))[1], ""),
    "squeeze-and-excite": (
        lambda net, x: net.fc((x * x.mean((2, 3), True).sigmoid())[:, :, 0, 0]),
        "only scales or shifts a larger map",
    ),
    "norm by hand": (lambda net, x: net.fc((x - x.mean((2, 3), True))[..., 0, 0]), "only scales"),
    "product with a map": (
        lambda net, x: net.fc(torch.einsum("bchw,bc->bchw", x, x.mean((2, 3)))[:, :, 0, 0]),
        "only scales or shifts a larger map",
    ),
    "joined to a map": (
        lambda net, x: net.fc(torch.cat([x.mean((2, 3), True).expand_as(x), x], 1)[:, 8:24, 0, 0]),
        "only scales",
    ),
}


@pytest.mark.parametrize("head", few_fast(GLOBAL_AVERAGES.values(), 12), ids=GLOBAL_AVERAGES)
def test_a_global_average_is_found_however_it_is_written(head: Head) -> None:
    result = judge("GAP", head)
    assert (result.state, result.found[:3]) == ("PASS", "1: ")
    assert judge("no GAP", head).state == "FAIL"


@pytest.mark.parametrize(
    ("head", "why"), few_fast(NO_GLOBAL_AVERAGES.values(), 10), ids=NO_GLOBAL_AVERAGES
)
def test_what_is_nearly_a_global_average_does_not_pass(head: Head, why: str) -> None:
    result = judge("GAP", head)
    assert result.state == "FAIL"
    assert why in result.found
    assert "add nn.AdaptiveAvgPool2d(1)" in result.remedy


def test_what_computes_the_scale_of_a_map_is_no_part_of_the_way_to_the_prediction() -> None:
    def attention(net: Net, x: torch.Tensor) -> torch.Tensor:
        scale = x.mean((2, 3), True) + x.amax((2, 3), True)
        return mean_head(net, x * scale.sigmoid())

    assert judge("GAP == 1", attention).state == "PASS"
    assert judge("GMP", attention).state == "FAIL"
    assert judge("AvgPool == 2", attention).state == "PASS"
    assert judge("residual connection", attention).state == "FAIL"
    assert judge("pooling at most 2 layers before the prediction", attention).state == "PASS"
    early = nn.Conv2d(16, 16, 5, padding=2)
    late = judge(
        "receptive field at least 26 before GAP",
        lambda net, x: mean_head(net, net.q(x) * x.mean((2, 3), True)),
        q=early,
    )
    assert late.state == "PASS"


def test_a_single_value_is_not_joined() -> None:
    assert judge("concatenation", lambda net, x: mean_head(net, torch.cat([x], 1))).state == "FAIL"
    both = judge("concatenation", lambda net, x: mean_head(net, torch.cat([x, x], 1)[:, ::2]))
    assert both.state == "PASS"


def test_a_module_that_averages_is_named() -> None:
    for pool in (nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((1, 1)), nn.AvgPool2d(7)):
        result = judge("GAP", lambda net, x: net.fc(net.pool(x).flatten(1)), pool=pool)
        assert (result.state, result.found) == ("PASS", "1: pool")


def test_a_learned_factor_is_read_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    result = judge("GAP", lambda net, x: mean_head(net, x * net.s), s=weight(1))
    assert result.state == "PASS"
    assert not recwarn.list


def test_a_sum_with_a_learned_factor_is_no_average() -> None:
    scale = nn.Parameter(torch.full((1,), 1 / 49))
    result = judge("GAP", lambda net, x: net.fc(x.sum((2, 3)) * net.s), s=scale)
    assert result.state == "FAIL"
    assert "without dividing" in result.found


@pytest.mark.parametrize(
    "pool",
    few_fast(
        [
            lambda x: x.amax((2, 3)),
            lambda x: F.max_pool2d(x, 7).flatten(1),
            lambda x: F.adaptive_max_pool2d(x, 1)[:, :, 0, 0],
            lambda x: x.max(3).values.max(2)[0],
            lambda x: x.flatten(2).max(-1)[0],
        ],
        2,
    ),
)
def test_a_global_maximum_is_no_average(pool: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert judge("GMP", lambda net, x: net.fc(pool(x))).state == "PASS"
    assert judge("GAP", lambda net, x: net.fc(pool(x))).state == "FAIL"


DROPOUTS: dict[str, tuple[Head, dict[str, nn.Module]]] = {
    "module": (lambda net, x: mean_head(net, net.drop(x)), {"drop": nn.Dropout(0.1)}),
    "by channel": (lambda net, x: mean_head(net, net.drop(x)), {"drop": nn.Dropout2d(0.1)}),
    "alpha": (lambda net, x: mean_head(net, net.drop(x)), {"drop": nn.AlphaDropout(0.1)}),
    "function": (lambda net, x: mean_head(net, F.dropout(x, 0.1, net.training)), {}),
    "function by channel": (lambda net, x: mean_head(net, F.dropout2d(x, 0.1, net.training)), {}),
    "always": (lambda net, x: mean_head(net, F.dropout(x)), {}),
    "in training only": (
        lambda net, x: mean_head(net, F.dropout(x, 0.1) if net.training else x),
        {},
    ),
}


@pytest.mark.parametrize(("head", "parts"), DROPOUTS.values(), ids=DROPOUTS)
def test_dropout_means_any_dropout(head: Head, parts: dict[str, nn.Module]) -> None:
    assert judge("Dropout", head, **parts).state == "PASS"
    assert judge("no dropout", head, **parts).state == "FAIL"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (lambda net, x: mean_head(net, net.drop(x)), "drop: its rate is 0"),
        (lambda net, x: mean_head(net, F.dropout(x, 0.1, False)), "drops nothing in training"),
        (lambda net, x: mean_head(net, x), ""),
        (lambda net, x: mean_head(net, x if net.training else net.drop(x)), ""),
    ],
)
def test_dropout_that_drops_nothing_is_none(head: Head, why: str) -> None:
    result = judge("Dropout", head, drop=nn.Dropout(0))
    assert result.state == "FAIL"
    assert why in result.found


def test_all_dropouts_of_rate_0_are_counted_and_the_first_is_to_be_raised() -> None:
    drops = {name: nn.Dropout(0) for name in ("a", "b", "c", "d", "e")}
    result = judge(
        "Dropout", lambda net, x: mean_head(net, net.e(net.d(net.c(net.b(net.a(x)))))), **drops
    )
    assert result.found == "0 (a: its rate is 0; b: its rate is 0; and 3 more)"
    assert result.remedy == "raise p of a above 0"


@pytest.mark.slow
def test_an_exact_name_means_one_layer_of_torch() -> None:
    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, net.drop(x))

    for written in ("nn.Dropout2d", "=Dropout2d", "torch.nn.Dropout2d", "Dropout2d", "= Dropout2d"):
        assert judge(written, head, drop=nn.Dropout2d(0.1)).state == "PASS"
        assert judge(written, head, drop=nn.Dropout(0.1)).state == "FAIL"
    assert judge("nn.Dropout", head, drop=nn.Dropout2d(0.1)).state == "FAIL"
    assert judge("Dropout2d", lambda net, x: mean_head(net, F.dropout2d(x, 0.1))).state == "PASS"
    assert judge("LSTM", head, drop=nn.Dropout(0.1)).state == "FAIL"
    assert judge("=Net", head, drop=nn.Dropout(0.1)).state == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "families"),
    [
        (lambda net, x: nn.BatchNorm2d(16).train(net.training)(x), {"BatchNorm", "norm"}),
        (lambda net, x: F.batch_norm(x, None, None, training=True), {"BatchNorm", "norm"}),
        (lambda net, x: nn.LazyBatchNorm2d()(x), {"BatchNorm", "norm"}),
        (lambda net, x: nn.BatchNorm1d(16)(x.flatten(2)).view_as(x), {"BatchNorm", "norm"}),
        (lambda net, x: nn.BatchNorm3d(16)(x[:, :, None])[:, :, 0], {"BatchNorm", "norm"}),
        (lambda net, x: nn.InstanceNorm2d(16)(x), {"InstanceNorm", "norm"}),
        (lambda net, x: F.instance_norm(x), {"InstanceNorm", "norm"}),
        (lambda net, x: F.group_norm(x, 4), {"GroupNorm", "norm"}),
        (lambda net, x: F.layer_norm(x, (16, 7, 7)), {"LayerNorm", "norm"}),
        (lambda net, x: x, set()),
    ],
)
def test_norms_are_told_apart(norm: Head, families: set[str]) -> None:
    for family in ("BatchNorm", "InstanceNorm", "GroupNorm", "LayerNorm", "norm"):
        result = judge(family, lambda net, x: mean_head(net, norm(net, x)))
        assert (result.state == "PASS") == (family in families), family


def test_a_layer_of_several_operations_is_one() -> None:
    result = judge(
        "exactly 1 norm", lambda net, x: mean_head(net, net.lrn(x)), lrn=nn.LocalResponseNorm(3)
    )
    assert (result.state, result.found) == ("PASS", "1: lrn")
    pooled = judge("GAP", lambda net, x: net.fc(net.lp(x).flatten(1)), lp=nn.LPPool2d(2, 7))
    assert pooled.state == "FAIL"


def test_a_1x1_convolution_is_one_with_a_kernel_of_1_and_no_linear_layer() -> None:
    cases: list[tuple[Head, dict[str, nn.Module | nn.Parameter], bool]] = [
        (lambda net, x: net.q(x).mean((2, 3)), {"q": nn.Conv2d(16, 10, 1)}, True),
        (lambda net, x: F.conv2d(x, net.q).mean((2, 3)), {"q": weight(10, 16, 1, 1)}, True),
        (lambda net, x: net.q(x.flatten(2)).mean(2), {"q": nn.Conv1d(16, 10, 1)}, True),
        # Also on a map of a single place.
        (lambda net, x: net.q(x.mean((2, 3), True)).flatten(1), {"q": nn.LazyConv2d(10, 1)}, True),
        (lambda net, x: net.q(x).flatten(1), {"q": nn.Conv2d(16, 10, 7)}, False),
        (mean_head, {}, False),
    ]
    for head, parts, expected in cases:
        for rule in ("1x1 convolution", "1x1", "1X1 Conv2d"):
            assert (judge(rule, head, **parts).state == "PASS") == expected
        assert (judge("no Linear", head, **parts).state == "PASS") == bool(parts)
    assert judge("3x3 convolution == 2", mean_head).state == "PASS"
    assert judge("5x5", mean_head).state == "FAIL"


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        (lambda net, x: net.q(x.mean((2, 3))), {"q": nn.Linear(16, 10)}),
        (lambda net, x: F.linear(x.mean((2, 3)), net.q), {"q": weight(10, 16)}),
        (lambda net, x: x.mean((2, 3)) @ net.q, {"q": weight(16, 10)}),
        (lambda net, x: torch.einsum("bc,kc->bk", x.mean((2, 3)), net.q), {"q": weight(10, 16)}),
    ],
)
def test_a_linear_layer_is_found_however_it_is_written(
    head: Head, parts: dict[str, nn.Module | nn.Parameter]
) -> None:
    assert judge("exactly 1 fully connected layer", head, **parts).state == "PASS"
    result = judge("no Linear", head, **parts)
    assert (result.state, result.limit, result.found) == ("FAIL", "none", "1")
    assert len(result.largest_layers) == 1


def test_either_of_two_is_enough() -> None:
    for rule in ("GAP | Linear", "GAP or Linear", "GAP/Linear", "gap , LayerNorm or fc"):
        assert judge(rule, mean_head).state == "PASS"
        dense = judge(rule, lambda net, x: net.q(x.flatten(1)), q=nn.Linear(784, 10))
        assert (dense.state, dense.found) == ("PASS", "1: q")
        neither = judge(rule, lambda net, x: net.q(x)[..., 0, 0], q=nn.Conv2d(16, 10, 7))
        assert neither.state == "FAIL"
        assert "AdaptiveAvgPool2d(1)" in neither.remedy
        assert "nn.Linear" in neither.remedy


@pytest.mark.parametrize(
    ("head", "parts", "expected"),
    [
        (mean_head, {}, "PASS"),
        (lambda net, x: mean_head(net, net.bn(x)), {"bn": nn.BatchNorm2d(16)}, "PASS"),
        (lambda net, x: net.q(x.mean((2, 3))), {"q": nn.Linear(16, 10)}, "FAIL"),
        (lambda net, x: net.q(x).mean((2, 3)), {"q": nn.Conv2d(16, 10, 1)}, "FAIL"),
        (
            lambda net, x: F.conv2d(x, net.w, net.b).mean((2, 3)),
            {"w": weight(10, 16, 1, 1), "b": weight(10)},
            "FAIL",
        ),
        (lambda net, x: mean_head(net, x) + net.b, {"b": weight(10)}, "FAIL"),
        (lambda net, x: mean_head(net, x) + 1, {}, "PASS"),
    ],
)
def test_a_bias_is_found_also_if_it_is_added_by_hand(
    head: Head, parts: dict[str, nn.Module | nn.Parameter], expected: str
) -> None:
    assert judge("no bias", head, **parts).state == expected


def test_a_bias_of_convolutions_is_not_one_of_linear_layers() -> None:
    """A course may forbid it in convolutions only, where a batch norm follows."""
    convolution = nn.Conv2d(16, 10, 1)
    plain = nn.Conv2d(16, 10, 1, bias=False)
    cases: list[tuple[Head, dict[str, nn.Module | nn.Parameter], str, str]] = [
        (lambda net, x: net.q(x.mean((2, 3))), {"q": nn.Linear(16, 10)}, "PASS", "FAIL"),
        (lambda net, x: net.q(x).mean((2, 3)), {"q": convolution}, "FAIL", "PASS"),
        (
            lambda net, x: (net.q(x) + net.b).mean((2, 3)),
            {"q": plain, "b": weight(10, 1, 1)},
            "FAIL",
            "PASS",
        ),
        (
            lambda net, x: x.mean((2, 3)) @ net.q + net.b,
            {"q": weight(16, 10), "b": weight(10)},
            "PASS",
            "FAIL",
        ),
    ]
    for head, parts, in_convolutions, in_linear in cases:
        assert judge("no bias", head, **parts).state == "FAIL"
        assert judge("no bias in convolutions", head, **parts).state == in_convolutions
        assert judge("no bias in linear layers", head, **parts).state == in_linear
    assert judge("no conv with bias", cases[1][0], q=convolution).remedy == "pass bias=False"


def test_a_bias_of_convolutions_in_the_words_of_an_assignment() -> None:
    for words in (
        *("bias in convolutions", "bias in conv layers", "bias in Conv2d", "convolution bias"),
        *("convolutional layers with bias", "biased convolutions", "Conv2d with bias"),
    ):
        (rule,) = Budget(forbids=(words,)).rules()
        assert [term.text for term in rule.words()] == ["bias in convolutions"], words


def test_a_kernel_may_follow_the_word_convolution() -> None:
    for words in ("Conv 1x1", "convolution 1 x 1", "Conv2d 1x1"):
        (rule,) = Budget(requires=(words,)).rules()
        assert [term.kernel for term in rule.words()] == [(1, 1)], words


def test_numbers_of_layers() -> None:
    for rule, expected in {
        "Conv2d >= 2": "PASS",
        "Conv2d >= 3": "FAIL",
        "Conv2d > 1": "PASS",
        "Conv2d > 2": "FAIL",
        "Conv2d < 2": "FAIL",
        "Conv2d <= 2": "PASS",
        "Conv2d == 2": "PASS",
        "at least 3 Conv2d": "FAIL",
        "Conv2d at most 2": "PASS",
        "at most 1 Linear": "PASS",
        "fewer than 1 Linear": "FAIL",
        "exactly 2 max poolings": "PASS",
        "more than 2 layers": "PASS",
        "more than 3 layers": "FAIL",
        "BatchNorm at least 2": "FAIL",
        "ReLU at least 2": "PASS",
        "at least two layers": "PASS",
        "more than three layers": "FAIL",
        "at most Two convolutions": "PASS",
        "Conv2d at least ten": "FAIL",
        "at least one 1x1 convolution": "FAIL",
        "at least two 3 x 3 convolutions": "PASS",
        "one 3x3 convolution": "PASS",
        "one 1 x 1 convolution": "FAIL",
        "1 x 1 convolution": "FAIL",
        "no 3 x 3 convolution": "FAIL",
        "receptive field at least ten": "PASS",
    }.items():
        assert judge(rule, mean_head).state == expected, rule
    assert judge("Conv2d >= 2", mean_head).found == "2: conv1, conv2"
    assert judge("ReLU >= 2", mean_head).found == "2: relu (2 times)"


def test_a_layer_with_weights_that_runs_twice_is_one_layer() -> None:
    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, net.relu(net.q(net.relu(net.q(x)))))

    parts = {"q": nn.Conv2d(16, 16, 1), "relu": nn.ReLU()}
    assert judge("exactly 3 convolutions", head, **parts).state == "PASS"
    assert judge("exactly 4 ReLU", head, **parts).state == "PASS"


def test_the_receptive_field_counts_before_global_pooling() -> None:
    parts = {"drop": nn.Dropout(), "q": nn.Conv2d(16, 10, 1), "d": nn.Linear(784, 10)}
    for head in (
        mean_head,
        lambda net, x: net.fc(net.drop(x.mean(3).mean(2))),
        lambda net, x: net.q(x).mean((2, 3)),
        lambda net, x: net.d(x.flatten(1)),
    ):
        for rule, expected in {
            "receptive field at least 10 before the last layer": "PASS",
            "receptive field >= 11 before the last layer": "FAIL",
            "RF at most 10 before the last layer": "PASS",
            "RF below 10 before the last layer": "FAIL",
        }.items():
            result = judge(rule, head, **parts)
            assert (result.state, result.found[:5]) == (expected, "10 at"), rule
    assert judge("receptive field at least 10 before GAP", mean_head).state == "PASS"
    assert judge("receptive field at least 11 before GAP", mean_head).margin == "-1"
    assert judge("receptive field at least 28", mean_head).state == "PASS"


def test_batch_statistics_are_no_receptive_field() -> None:
    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, net.bn(x))

    bn = nn.BatchNorm2d(16)
    for place in ("before the last layer", "before GAP"):
        assert judge(f"receptive field at least 10 {place}", head, bn=bn).found[:2] == "10"
        assert judge(f"receptive field at least 11 {place}", head, bn=bn).state == "FAIL"


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(16), nn.GroupNorm(2, 16)])
def test_statistics_of_one_image_are_receptive_field(norm: nn.Module) -> None:
    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, net.norm(x))

    assert judge("receptive field at least 28 before GAP", head, norm=norm).state == "PASS"


def test_pooling_keeps_its_distance_from_the_prediction() -> None:
    near = judge("pooling at least 2 layers before the prediction", mean_head)
    assert (near.state, near.limit, near.found) == (
        "FAIL",
        "at least 2 layers",
        "1 layer: max_pool2d",
    )

    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, x + net.q(F.relu(net.q2(x))))

    far = judge(
        "MaxPool at least 3 layers before the prediction",
        head,
        q=nn.Conv2d(16, 16, 1),
        q2=nn.Conv2d(16, 16, 1),
    )
    assert (far.state, far.found) == ("PASS", "3 layers: max_pool2d")
    assert judge("AvgPool at least 1 layer before the prediction", mean_head).state == "FAIL"


def test_a_norm_after_each_convolution() -> None:
    class Normed(nn.Sequential):
        def __init__(self, *, second: bool) -> None:
            norm = [nn.BatchNorm2d(8)] if second else []
            super().__init__(
                *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2)),
                *(nn.Conv2d(8, 8, 3), *norm, nn.ReLU()),
                *(nn.Conv2d(8, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            )

    rule = Budget(requires=("BatchNorm after each convolution",))
    assert check(Normed(second=True), rule).state == "PASS"
    (result,) = check(Normed(second=False), rule).results
    assert (result.state, result.found) == ("FAIL", "1 of 2; not after 4")


def test_a_hidden_layer_is_told_from_the_last_one() -> None:
    dense = {"hidden": nn.Linear(16, 16), "out": nn.Linear(16, 10), "q": nn.Conv2d(16, 10, 1)}

    def ends_with_linear(net: Net, x: torch.Tensor) -> torch.Tensor:
        return net.out(x.mean((2, 3)))

    def has_two(net: Net, x: torch.Tensor) -> torch.Tensor:
        return net.out(F.relu(net.hidden(x.mean((2, 3)))))

    def ends_with_convolution(net: Net, x: torch.Tensor) -> torch.Tensor:
        return net.q(net.hidden(x.mean((2, 3)))[:, :, None, None]).flatten(1)

    def skips(net: Net, x: torch.Tensor) -> torch.Tensor:
        first = net.out(x.mean((2, 3)))
        return first + net.last(F.relu(first))

    for rule in ("no hidden Linear", "no dense before the last layer", "without hidden fc, GMP"):
        assert judge(rule, ends_with_linear, **dense).state == "PASS"
        for head_of in (has_two, ends_with_convolution):
            result = judge(rule, head_of, **dense)
            assert (result.state, result.found, result.largest_layers) == ("FAIL", "1", ("hidden",))
            assert result.remedy == "leave it out"
        result = judge(rule, skips, **dense, last=nn.Linear(10, 10))
        assert (result.state, result.largest_layers) == ("FAIL", ("out",))
    result = judge("no hidden Linear", ends_with_linear, **dense)
    assert (result.rule, result.title) == ("Linear before the last layer", "no hidden Linear")


@pytest.mark.parametrize(
    "head",
    [
        lambda net, x: net.pair(x, x),
        lambda net, x: -torch.cdist(x, net.rows),
        lambda net, x: (x[:, None] * net.rows).sum(2),
        lambda net, x: (x[:, :, None] * net.rows.T).mean(1),
    ],
)
def test_a_last_layer_of_any_kind_makes_the_one_before_it_hidden(head: Head) -> None:
    linear, pair = nn.Linear(16, 16), nn.Bilinear(16, 16, 10)
    layers = {"hidden": linear, "pair": pair, "rows": weight(10, 16)}
    result = judge("no hidden Linear", lambda n, x: head(n, n.hidden(x.mean((2, 3)))), **layers)
    assert (result.state, result.largest_layers) == ("FAIL", ("hidden",))
    assert judge("no hidden Linear", lambda n, x: head(n, x.mean((2, 3))), **layers).state == "PASS"


def test_a_product_that_scales_is_no_linear_layer() -> None:
    def weighted(net: Net, x: torch.Tensor) -> torch.Tensor:
        return (x * net.places).sum((2, 3)) * net.scales

    def stretched(net: Net, x: torch.Tensor) -> torch.Tensor:
        return (x.mean((2, 3), keepdim=True) * net.places).sum((2, 3))

    def dense(net: Net, x: torch.Tensor) -> torch.Tensor:
        return (x.mean((2, 3))[:, None] * net.rows).sum(2)

    parts = {"places": weight(7, 7), "scales": weight(16), "rows": weight(10, 16)}
    states = [judge("at least 1 Linear", head, **parts).state for head in (weighted, stretched)]
    assert states == ["FAIL", "FAIL"]
    assert judge("at least 1 Linear", dense, **parts).state == "PASS"


def test_a_bilinear_layer_is_found_by_its_name() -> None:
    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return net.pair(x.mean((2, 3)), x.amax((2, 3)))

    assert judge("at least 1 Bilinear", head, pair=nn.Bilinear(16, 16, 10)).state == "PASS"


@pytest.mark.parametrize(
    "words",
    [
        {"forbids": ("hidden Linear",)},
        {"requires": ("at most 0 hidden Linear",)},
        {"requires": ("no Linear before the last Linear",)},
        {"requires": ("no Linear except the last layer",)},
        {"requires": ("no Linear but as the last layer",)},
    ],
)
def test_the_form_that_forbids_hidden_layers_is_named(words: dict[str, Any]) -> None:
    with pytest.raises(BudgetError, match="write 'no hidden Linear' in requires"):
        Budget(**words)


def test_at_least_one_after_each_is_one_after_each() -> None:
    words = ("", "at least one ", "at least a ", ">= 1 ")
    rules = [parse_rule(f"{word}BatchNorm after each convolution") for word in words]
    assert all(isinstance(rule, AfterRule) for rule in rules)
    assert len({dataclasses.replace(rule, text="") for rule in rules}) == 1


def test_a_module_that_may_be_hidden_makes_the_rule_unknown() -> None:
    net = nn.Sequential(nn.Flatten(2), nn.Unflatten(1, (1,)), nn.Flatten(), nn.Linear(784, 10))
    rule = Budget(requires=("no hidden =Unflatten",))
    (result,) = check(net, rule).results
    assert (result.state, result.found) == ("UNKNOWN", "0, but 1 may come before it")


def test_nothing_acts_on_the_prediction() -> None:
    rule = "no activation/norm/dropout right before the prediction"
    q = nn.Conv2d(16, 10, 1)
    assert judge(rule, mean_head).state == "PASS"
    assert judge(rule, lambda net, x: F.log_softmax(mean_head(net, F.relu(x)), 1)).state == "PASS"
    for head in (
        lambda net, x: F.relu(mean_head(net, x)),
        lambda net, x: F.relu(net.q(x)).mean((2, 3)),
        lambda net, x: F.log_softmax(net.bn(net.q(x)).mean((2, 3)), -1),
        lambda net, x: net.drop(net.q(x).mean((2, 3))),
    ):
        result = judge(rule, head, q=q, bn=nn.BatchNorm2d(10), drop=nn.Dropout2d(0.1))
        assert (result.state, len(result.largest_layers)) == ("FAIL", 1)


@pytest.mark.parametrize(
    ("rule", "head"),
    few_fast(
        [
            ("ReLU", lambda net, x: mean_head(net, x.clamp(min=0))),
            ("ReLU6", lambda net, x: mean_head(net, F.hardtanh(x, 0, 6))),
            ("LeakyReLU", lambda net, x: mean_head(net, F.leaky_relu_(x))),
            ("swish", lambda net, x: mean_head(net, F.silu(x))),
            ("GELU", lambda net, x: mean_head(net, F.gelu(x, approximate="tanh"))),
            ("SELU", lambda net, x: mean_head(net, torch.selu(x))),
            ("Sigmoid", lambda net, x: mean_head(net, x.sigmoid())),
            ("Tanh", lambda net, x: mean_head(net, torch.tanh(x))),
            ("Softmax", lambda net, x: F.log_softmax(mean_head(net, x), 1)),
            ("Flatten", lambda net, x: net.fc(x.reshape(len(x), -1)[:, :16])),
            ("residual connection", lambda net, x: mean_head(net, x + F.relu(x - 1))),
            ("concatenation", lambda net, x: mean_head(net, torch.cat([x[:, :8], x[:, 8:]], 1))),
            (
                "depthwise convolution",
                lambda net, x: F.conv2d(x, torch.ones(16, 1, 7, 7), groups=16),
            ),
            ("strided convolution", lambda net, x: F.conv2d(x, torch.ones(9, 16, 3, 3), stride=2)),
            (
                "dilated convolution",
                lambda net, x: F.conv2d(x, torch.ones(9, 16, 3, 3), dilation=2),
            ),
            (
                "transposed convolution",
                lambda net, x: F.conv_transpose2d(x, torch.ones(16, 9, 2, 2)),
            ),
            ("AvgPool", lambda net, x: net.fc(F.avg_pool2d(x, 3)[..., 0, 0])),
        ],
        8,
    ),
)
def test_further_families(rule: str, head: Head) -> None:
    assert judge(rule, head).state == "PASS"
    assert judge(f"at least 4 {rule}", head).state == "FAIL"


def add_mean(x: torch.Tensor) -> torch.Tensor:
    return x + x.mean(1, keepdim=True)


@pytest.mark.parametrize(
    "head",
    [
        lambda net, x: mean_head(net, x - x.mean((2, 3), keepdim=True)),
        lambda net, x: mean_head(net, x + x.amax(1, keepdim=True)),
        lambda net, x: mean_head(net, (x - x.mean(1, True)) / (x.var(1, keepdim=True) + 1)),
        lambda net, x: F.conv2d(add_mean(x[:, :1]), torch.ones(9, 1, 7, 7)),
    ],
)
def test_a_value_and_its_own_mean_are_no_residual_connection(head: Head) -> None:
    assert judge("residual connection", head).state == "FAIL"
    assert judge("no residual connection", head).state == "PASS"


def test_every_family_is_read_and_shows_what_would_satisfy_it() -> None:
    for family in FAMILIES:
        for word in (family.name, *family.aliases):
            rule = parse_rule(f"no {word}")
            assert [term.family for term in rule.words()] == [family], word
        assert family.meaning
        assert family.example


def test_unknown_never_passes() -> None:
    def branch(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, x) if x.sum() < 1 else net.fc(x[:, :, 0, 0])

    for rule in ("GAP", "no Dropout", "receptive field at least 2 before the last layer"):
        result = judge(rule, branch)
        assert result.state == "UNKNOWN"
    result = judge("GAP", branch)
    line = branch.__code__.co_firstlineno + 1
    assert f"test_rules.py, line {line}: (net) reads a tensor's value" in result.found
    assert result.remedy.startswith(
        "use no print, assert, if or item() on the values of tensors in forward"
    )
    messages = {"GAP": "See lecture 4."}
    told = Budget(requires=("GAP",), messages=messages).judge(ModelCost(1, 1, 4, 4)).results
    assert [one.message for one in told] == [""]  # what is unknown may well be met
    assert judge("no GAP", branch).state == "FAIL"
    without = ModelCost(parameters=1, macs=1, weight_bytes=4, activation_bytes=4)
    for rule in ("GAP", "BatchNorm", "no Linear", "Conv2d >= 1"):
        assert Budget(requires=(rule,)).judge(without).state == "UNKNOWN"


def test_an_operation_of_other_software_may_be_anything() -> None:
    @torch.library.custom_op("netlet_tests::dense", mutates_args=())
    def dense(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, dense(x))

    assert judge("no Dropout", head).state == "UNKNOWN"
    assert judge("BatchNorm", head).state == "UNKNOWN"
    assert judge("Linear", head).state == "PASS"


def test_both_training_and_evaluation_have_to_obey() -> None:
    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, x) if net.training else net.fc(x[:, :, 0, 0])

    assert judge("GAP", head).state == "FAIL"
    assert judge("no GAP", head).state == "FAIL"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("", "a rule is empty; write one like 'BatchNorm'"),
        ("x" * 300, "a rule has 300 characters; write one like"),
        ("GAP |", "a word is missing; write one like 'GAP | Linear'"),
        ("Conv2d >=", "a limit is written like 'Conv2d >= 3'"),
        ("Conv2d => 2", "'=>' is not a comparison; write 'Conv2d >= 2'"),
        ("Linear =< 1", "'=<' is not a comparison; write 'Linear <= 1'"),
        ("Conv2d >= three", "a limit is written like 'Conv2d >= 3'"),
        ("receptive field at least 28 after lunch", "a limit is written like 'receptive field"),
        ("receptive field of 22", "write it like 'receptive field at least 28"),
        ("pooling at least 3 layers before the end", "is written like 'pooling at least 2 layers"),
        ("pooling 3 layers before prediction", "write it like 'pooling at least 2 layers before"),
        ("BN after convs and pools", "write it like 'BatchNorm after each convolution'"),
        ("BatchNorm and Dropout", "joins two rules; write them as two"),
        ("BatchNorm,GAP", r"all of them or any.*a --require for each.*write 'BatchNorm \| GAP'"),
        ("Dropout or BatchNorm, GAP", "a comma may mean all of them or any"),
        ("Conv2d, Linear >= 3", "a comma may mean all of them or any"),
        ("norm, Dropout after each convolution", "a comma may mean all of them or any"),
        ("pooling, GAP, at least 2 layers before the prediction", "a comma may mean"),
        ("Conv2d < 0", "can never hold; give a number of 1 or more"),
        ("global averge pooling", "did you mean 'GAP'|is not a kind of layer"),
    ],
)
def test_words_that_are_no_rule_are_refused(rule: str, message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        Budget(requires=(rule,))


def test_a_list_that_is_forbidden_may_have_commas() -> None:
    for budget in (
        Budget(forbids=("Dropout, Linear",)),
        Budget(requires=("no Dropout, Linear",)),
        Budget(requires=("no Dropout, Linear right before the prediction",)),
    ):
        (rule,) = budget.rules()
        assert [term.text for term in rule.words()] == ["Dropout", "Linear"]


MOST_TWO = "pooling at most 2 layers before the prediction"


def test_rules_that_contradict_each_other_are_refused() -> None:
    for requires, forbids in (
        (("Conv2d >= 3", "Conv2d <= 2"), ()),
        (("GAP", "no global average pooling"), ()),
        (("Dropout",), ("dropout",)),
        (("BatchNorm at least 2",), ("batch norm",)),
        (("GAP | Linear",), ("GAP", "FC")),
        (("receptive field at least 22", "RF <= 20"), ()),
        (("pooling at least 3 layers before the prediction", MOST_TWO), ()),
    ):
        with pytest.raises(BudgetError, match=r"drop one"):
            Budget(requires=requires, forbids=forbids)


@pytest.mark.parametrize(("tracked", "state"), [(True, "FAIL"), (False, "PASS")])
def test_a_norm_by_the_statistics_of_a_batch_sees_whole_images(tracked: bool, state: str) -> None:
    """Without running statistics it does so in evaluation, too: both modes have one field."""

    def head(net: Net, x: torch.Tensor) -> torch.Tensor:
        return mean_head(net, net.bn(x))

    bn = nn.BatchNorm2d(16, track_running_stats=tracked)
    result = judge("receptive field at least 20 before GAP", head, bn=bn)
    assert result.state == state, result


def test_a_misspelled_layer_is_no_rule_that_nothing_breaks() -> None:
    for words in ("Conv2d | Droput", "nn.Droput", "no Droput right before the prediction"):
        with pytest.raises(BudgetError, match="no kind of layer is called 'Droput'; did you mean"):
            judge(words, mean_head)


SPELLINGS = {
    "BatchNorm": ("batch normalisation", "batch-norm", "Batch_Norm", "batch normalization layers"),
    "Linear": ("fully connected layer", "fully-connected layer", "fully-connected", "FC layers"),
    "GAP": ("global average pooling layer", "GlobalAveragePooling2D", "the GAP layer"),
    "MaxPool": ("max-pooling", "max pooling layer", "maximum pooling"),
    "MaxPool2d": ("max_pool2d", "MaxPooling2D", "max pool 2d"),
    "LayerNorm": ("layer normalisation", "layer_norm"),
    "convolution": ("convolutional layer", "conv layers"),
    "1x1 convolution": ("1x1 convolutional layer", "1 x 1 conv layers"),
    "ReLU": ("ReLU activation", "relu activation function"),
    "activation": ("activation layer", "non-linear activation"),
    "residual connection": ("skip-connection", "residual connections"),
    "LogSoftmax": ("LogSoftmax",),
    "Softmax": ("log softmax", "softmax layer"),
}


def test_usual_spellings_are_understood() -> None:
    for name, spellings in SPELLINGS.items():
        for words in spellings:
            for rule in (words, f"no {words}", f"at least 2 {words}", f"Dropout | {words}"):
                assert parse_rule(rule).words()[-1].text == name, rule
    for words in ("before the final layer", "before the global average pooling layer"):
        assert judge(f"receptive field at least 2 {words}", mean_head).state == "PASS"


def test_all_layers_of_pytorch_are_known_by_name() -> None:
    in_torch = {
        name
        for name, value in vars(nn).items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }
    assert in_torch <= set(LAYERS)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("dropuot", "Dropout"),
        ("Liner", "Linear"),
        ("bacth norm", "BatchNorm"),
        ("global averge pooling", "GAP"),
        ("Conv2", "Conv2d"),
        ("MaxPol2d", "MaxPool2d"),
        # Names that are made of known ones, or of nothing known, may be classes.
        ("Linear2", ""),
        ("MyLinear", ""),
        ("CReLU", ""),
        ("LayerNorm2d", ""),
        ("ConvBN", ""),
        ("DropPath", ""),
        ("Block", ""),
    ],
)
def test_a_slip_is_told_from_the_name_of_a_class(word: str, meant: str) -> None:
    assert find_slip(word) == meant


def test_the_page_lists_the_families() -> None:
    page = (Path(__file__).parent.parent / "docs" / "budgets.md").read_text()
    table = page.partition("<!-- families -->\n")[2].partition("\n<!-- end -->")[0]
    rows = []
    for family in FAMILIES:
        words = ", ".join(f"`{word}`" for word in family.aliases) or "-"
        rows.append(f"| `{family.name}` | {family.meaning} | {words} |")
    assert table.splitlines()[2:] == rows


@pytest.mark.parametrize(
    ("words", "title"),
    [
        # Order and "layers" make no difference; the limit has a column of its own.
        ("Dropout", "Dropout layers"),
        ("at least 3 Conv2d", "Conv2d layers"),
        ("Conv2d AT MOST 3", "Conv2d layers"),
        ("dropout", "dropout"),
        ("at least 3 conv2d", "conv2d"),
        ("GAP | Linear", "GAP | Linear"),
        ("no bias", "bias"),
        ("1x1 convolution", "1x1 convolution"),
        (
            "receptive field at least 20 before the last layer",
            "receptive field before the last layer",
        ),
        (
            "pooling at least 2 layers before the prediction",
            "pooling before the prediction",
        ),
        ("BatchNorm after each convolution", "BatchNorm after each convolution"),
        # All else reads as it is written.
        ("GAP or FC", "GAP or FC"),
        ("Conv2d >= 3", "Conv2d >= 3"),
        ("at least two  1 x 1 convolutions", "at least two 1 x 1 convolutions"),
        ("batch norm", "batch norm"),
        (
            "no activation/norm/dropout right before the prediction",
            "no activation/norm/dropout right before the prediction",
        ),
        ("RF at least 20", "RF at least 20"),
    ],
)
def test_a_verdict_has_the_words_of_the_budget(words: str, title: str) -> None:
    verdict = judge_cost(_cost(mean_head, ()), Budget(requires=(words,)))
    (result,) = verdict.results
    assert result.title == title
    assert str(verdict).splitlines()[3].startswith(f"{title}  ")
    assert result.requirement == (result.words or f"{result.rule} {result.limit}")


def test_what_is_forbidden_reads_as_the_budget_writes_it() -> None:
    budget = Budget(forbids=("FC", "Conv2d", "dropout"))
    verdict = judge_cost(_cost(mean_head, ()), budget)
    assert [result.title for result in verdict.results] == ["FC", "Conv2d layers", "dropout"]
    assert "FC: fc" in verdict.footnotes()
