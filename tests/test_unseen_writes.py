"""What is written into memory where PyTorch sees no operation, and what noticing it costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import netlet
from netlet.analysis import trace, unseen_writes
from netlet.analysis.labels import Source, join_labels, label_stored
from netlet.analysis.unseen_writes import UnseenWrites
from netlet.budgets import Budget

STACKED = torch.zeros(64, 64, 64)  # 16 KB each


@pytest.mark.parametrize(
    ("view", "blocks"),
    [
        (STACKED[3], 5),
        (STACKED[:, 3], 65),
        (STACKED[::2], 32 * 5),
        (STACKED, 257),
        (STACKED[:0], 0),
        (STACKED[0, 0, 0].expand(1000, 1000), 1),
    ],
)
def test_a_view_costs_the_memory_that_it_covers(view: torch.Tensor, blocks: int) -> None:
    assert len(list(unseen_writes._digest_blocks(view))) <= blocks


def test_a_net_of_views_costs_what_its_operations_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stacked = nn.Parameter(torch.randn(64, 64, 64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flatten(1)[:, :64]
            for i in range(len(self.stacked)):
                x = torch.tanh(x @ self.stacked[i])
            return x[:, :10]

    blocks = []
    list_blocks = unseen_writes._list_blocks

    def note(tensor: torch.Tensor) -> list[int]:
        found = list_blocks(tensor)
        blocks.append(len(found))
        return found

    monkeypatch.setattr(unseen_writes, "_list_blocks", note)
    trace(Experts())
    assert 256 < sum(blocks) < 20 * 256


@pytest.mark.parametrize("at", [slice(3, 4), slice(63, 64), slice(5, 60, 7)])
def test_a_write_is_found_in_the_views_that_it_touches(at: slice) -> None:
    tensor, writes = torch.zeros(64, 64, 64), UnseenWrites()
    writes.remember(tensor)
    assert not writes.found_in(tensor[at])
    tensor.numpy()[at, -1, -1] = 1
    assert writes.found_in(tensor[at])
    assert writes.found_in(tensor)
    assert not writes.found_in(tensor[:2])
    writes.remember(tensor[at])
    assert not writes.found_in(tensor)


@pytest.mark.parametrize(
    "convert",
    [
        torch.Tensor.to_sparse,
        torch.Tensor.to_sparse_csr,
        torch.Tensor.to_sparse_csc,
        lambda tensor: tensor.to_sparse_bsr((2, 2)),
        lambda tensor: tensor.to_sparse_bsc((2, 2)),
    ],
)
def test_a_write_is_found_in_a_sparse_tensor(
    convert: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    tensor, writes = convert(torch.eye(4)), UnseenWrites()
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    writes.remember(tensor)
    assert not writes.found_in(tensor)
    values.numpy()[:] = 2
    assert writes.found_in(tensor)


class _Refilled(nn.Module):
    """Reads the same memory with other numbers each time."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(784, 8)
        self.second = nn.Linear(8, 8)
        self.table = torch.zeros(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.flatten(1))
        for step in range(3):
            self.table.numpy()[:] = np.eye(8) * step
            x = self.read(x)
        return x

    def read(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.table


def test_a_table_that_is_refilled_counts_each_time() -> None:
    (found,) = trace(_Refilled()).hidden
    assert found.numbers == 3 * 64


@pytest.mark.parametrize("strided", [True, False])
def test_memory_that_is_looked_at_anew_counts_what_is_written_there(*, strided: bool) -> None:
    class Net(_Refilled):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weights = torch.zeros(8, 8)
            weights.numpy()[:] = np.arange(64).reshape(8, 8)
            seen = torch.as_strided(weights[:1, :1], (8, 8), (1, 8))
            return self.first(x.flatten(1)) @ (seen if strided else weights)

    (found,) = trace(Net()).hidden
    assert found.numbers == 64


def test_a_weight_that_is_written_to_unseen_makes_the_budget_unknown() -> None:
    class Net(_Refilled):
        def read(self, x: torch.Tensor) -> torch.Tensor:
            self.second.weight.detach().numpy()[:] = self.table.numpy()
            return self.second(x)

    verdict = netlet.check(Net(), Budget(params_below=10_000))
    assert verdict.state == "UNKNOWN"
    assert "a weight is written to where no operation is seen in second" in str(verdict)


def test_what_comes_together_twice_counts_once() -> None:
    label = label_stored(torch.ones(6))
    (source,) = label.sources
    part = type(label)(sources={source: 4})
    assert join_labels([part, part]).sources == {source: 6}
    assert isinstance(source, Source)


def test_parts_of_a_tensor_that_come_together_count_once() -> None:
    class Net(_Refilled):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.first(x.flatten(1)) @ torch.cat([self.table, self.table.T, self.table])

        def read(self, x: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError

    net = Net()
    net.first = nn.Linear(784, 24)
    (found,) = trace(net).hidden
    assert found.numbers == 64
