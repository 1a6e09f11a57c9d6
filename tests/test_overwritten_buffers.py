"""A buffer that is computed from the parameters has no weights, unless old numbers are left."""

from __future__ import annotations

import pytest
from fixtures import overwritten_nets
from helpers import few_fast
from torch import nn

import netlet
from netlet.analysis import trace
from netlet.budgets import Budget


@pytest.mark.parametrize("kind", few_fast(overwritten_nets.HONEST, 6))
def test_a_kernel_of_parameters_in_a_buffer_counts_once(kind: type[nn.Module]) -> None:
    traced = trace(kind())
    assert (traced.parameters, traced.hidden) == (90, ())
    assert trace(kind().eval()).parameters == 90


@pytest.mark.parametrize("kind", few_fast(overwritten_nets.HIDING, 10))
def test_numbers_that_are_left_in_a_buffer_or_come_from_elsewhere_count(
    kind: type[nn.Module],
) -> None:
    traced = trace(kind())
    assert sum(weights.numbers for weights in traced.hidden) >= 72
    assert netlet.check(kind(), Budget(params_below=120)).state != "PASS"


def test_what_is_written_unseen_after_the_parameters_makes_the_count_unknown() -> None:
    net = overwritten_nets.WrittenBackByNumPy()
    assert netlet.check(net, Budget(params_below=1_000)).state == "UNKNOWN"
