"""Blocks of well-known nets: counts against PyTorch's, receptive fields against the gradient."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from fixtures.block_nets import BLOCKS, BlockNet
from helpers import few_fast
from torch.utils.flop_counter import FlopCounterMode

from netlet.analysis import check, summary, trace
from netlet.budgets import Budget

IMAGE = (1, 28, 28)


def count_by_pytorch(net: torch.nn.Module) -> int:
    totals = []
    for images in (2, 3):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.rand(images, *IMAGE))
        totals.append(counter.get_total_flops() // 2)
    return totals[1] - totals[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", few_fast(BLOCKS, 13))
def test_blocks_are_counted_and_their_fields_cover_the_gradient(name: str) -> None:
    torch.manual_seed(0)
    _, _, size, counted = BLOCKS[name]
    net = BlockNet(name).eval()
    found = summary(net)
    assert found.field == (size if isinstance(size, tuple) else (size, size))
    # Blocks return maps; some are run twice.
    known = ["runs 2 times", "for a single image, the net returns 1x"]
    if "frequenc" in name:
        known.append("so those of the net are unknown, and a limit on them cannot be judged")
    assert not [note for note in found.notes if not any(words in note for words in known)]
    if counted:
        assert found.macs == count_by_pytorch(net)
    if "frequenc" in name:
        assert found.macs is None
        assert check(net, Budget(macs_below=10**9)).failed
    field = trace(net).field
    assert field is not None
    images = torch.rand(2, *IMAGE, requires_grad=True)
    out, draw = net(images), random.Random(0)
    for number in [0, out[0].numel() - 1, *(draw.randrange(out[0].numel()) for _ in range(4))]:
        index = tuple(int(i) for i in torch.unravel_index(torch.tensor(number), out[0].shape))
        (gradient,) = torch.autograd.grad(out[(0, *index)], images, retain_graph=True)
        reached = (gradient.abs().sum((0, 1)) > 1e-9 * gradient.abs().max()).nonzero()
        for axis, places in zip(field, reached.T, strict=True):
            tables = (np.broadcast_to(t, (2, *out.shape[1:])) for t in (axis.first, axis.last))
            first, last = (int(table[(0, *index)]) for table in tables)
            assert all(first <= place <= last for place in places), (index, first, last)
