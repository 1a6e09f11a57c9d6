"""A net that registers other layers in evaluation than in training has one count in both."""

from __future__ import annotations

import pytest
from fixtures import switching_nets
from helpers import few_fast
from torch import nn

import netlet
from netlet.analysis import trace
from netlet.budgets import Budget


def _in_both_modes(kind: type[nn.Module]) -> list[nn.Module]:
    return [kind().train(), kind().eval()]


@pytest.mark.parametrize("kind", few_fast(switching_nets.FUSING, 6))
def test_a_layer_that_is_made_of_others_for_evaluation_has_no_parameters(
    kind: type[nn.Module],
) -> None:
    for net in _in_both_modes(kind):
        summary = netlet.summary(net)
        assert (summary.parameters, summary.trainable) == (186, 186)
        assert sum(row.parameters or 0 for row in summary.rows) == 186
        assert summary.parameter_bytes == 4 * 186
        assert not any("parameters" in note for note in summary.notes)
        assert netlet.cost(net).weight_bytes == 4 * 186


def test_its_row_has_its_name_also_in_another_precision() -> None:
    for net in (switching_nets.Fuses(), switching_nets.Fuses().double()):
        summary = netlet.summary(net)
        (row,) = (row for row in summary.rows if row.name == "fused")
        assert (row.kind, row.parameters, row.macs) == ("Conv2d", 0, 56_448)
        assert summary.parameters == 186


@pytest.mark.parametrize("kind", few_fast(switching_nets.HIDING, 4))
def test_numbers_that_only_the_layer_for_evaluation_has_count(kind: type[nn.Module]) -> None:
    for net in _in_both_modes(kind):
        summary = netlet.summary(net)
        assert summary.parameters >= 186 + 72
        assert netlet.check(net, Budget(params_below=240)).state != "PASS"


def test_a_layer_for_training_only_counts_in_both_modes() -> None:
    for net in _in_both_modes(switching_nets.HasAHeadForTraining):
        traced = trace(net)
        assert traced.parameters == 186 + 90
        assert [module.path for module in traced.unused] == ["extra"]


def test_a_lazy_layer_of_a_net_that_changes_in_evaluation_counts_where_it_has_run() -> None:
    for net in _in_both_modes(switching_nets.Fuses):
        net.spare, net.head = nn.LazyLinear(10), nn.LazyLinear(10)
        assert trace(net).parameters == 186
