"""Nets that PyTorch compiled or exported, and parts that run where no operation shows them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netlet.analysis import cost, summary
from netlet.data import Dataset
from netlet.errors import NetError
from netlet.nets import build, find_net
from netlet.recipes import QUICK
from netlet.training import fit

COMPILED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.compile(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()))
        self.head = nn.Linear(4, 10)
        self.head.compile()

    @torch.compile
    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

net = torch.compile(Net())

def make():
    return torch.compile(Net())
"""


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 16, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def test_a_compiled_net_is_read_as_the_net_that_it_was() -> None:
    net = small_net()
    found = summary(torch.compile(net))
    expected = summary(net)
    assert str(found) == str(expected)
    assert expected.macs == 26 * 26 * 36 + 11 * 11 * 16 * 36 + 160


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net", "make", "Net"])
def test_compiled_nets_in_files_lose_the_compiler(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.py").write_text(COMPILED)
    net = build(find_net(f"{tmp_path}/mine.py:{name}").builder, 0)
    assert list(net.state_dict()) == ["body.0.weight", "body.0.bias", "head.weight", "head.bias"]
    assert cost(net).macs == 26 * 26 * 36 + 40
    assert [row.name for row in summary(net).rows] == ["body.0", "body.1", "(net)", "head"]


@pytest.mark.slow
def test_what_the_compiler_changes_in_pytorch_is_not_blamed_on_the_net() -> None:
    """Once it is imported, the first net that runs makes it replace functions of nn.Module."""
    code = (
        "import torch._dynamo\nfrom torch import nn\nfrom netlet.analysis import cost\n"
        "assert cost(nn.Sequential(nn.Flatten(), nn.Linear(784, 10))).macs == 7_840"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_parts_that_are_compiled_run_as_they_are_written() -> None:
    net = nn.Sequential(torch.compile(small_net()[:5]), nn.Flatten(), nn.LazyLinear(10))
    found = summary(net)
    assert found.macs == 26 * 26 * 36 + 11 * 11 * 16 * 36 + 11 * 11 * 16 * 10
    assert not found.notes


def test_a_compiled_net_is_trained_in_place(blob_data: Dataset) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    before = net[1].weight.detach().clone()
    run = fit(torch.compile(net), blob_data, QUICK.replace(epochs=1))  # type: ignore[arg-type]
    assert run.net == "Sequential"
    assert not torch.equal(before, net[1].weight)


EXPORTED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout(0.1), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        with torch.no_grad():
            x = x * 2
        with torch.autocast("cpu", torch.bfloat16, enabled=False):
            x = self.body(x)
        return self.head(x.mean((2, 3)))

images = (torch.zeros(2, 1, 28, 28),)
size = ({0: torch.export.Dim("n")},)
program = torch.export.export(Net().eval(), images, dynamic_shapes=size)
module = torch.export.export(Net().eval(), images).module()
"""


def test_exported_programs_are_read_and_not_trained(tmp_path: Path, blob_data: Dataset) -> None:
    (tmp_path / "mine.py").write_text(EXPORTED)
    for name in ("program", "module"):
        program = find_net(f"{tmp_path}/mine.py:{name}").builder()
        found = summary(program)
        assert (found.macs, found.parameters) == (26 * 26 * 36 + 40, 98)
        assert not found.notes
        with pytest.raises(NetError, match=r"cannot be trained, .*; name the class that it was"):
            fit(program, blob_data, QUICK)


class Of(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(1, 4, 3), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv, x)


def in_a_thread(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(conv, x).result().mean((2, 3))


def function_in_a_thread(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: torch.relu(x).mean(1)).result()


@pytest.mark.parametrize("function", [in_a_thread, function_in_a_thread])
def test_what_runs_in_another_thread_is_unknown(function: Callable[..., torch.Tensor]) -> None:
    assert cost(Of(function)).macs is None


def test_branches_of_torch_cond_are_read_as_values() -> None:
    def choose(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = conv(x)
        return torch.cond(y.sum() > 0, lambda y: y + 1, lambda y: -y, (y,))  # type: ignore[no-any-return]

    found = summary(Of(choose))
    assert found.macs is None
    assert any("reads a tensor's value" in note for note in found.notes)


def test_loops_of_operations_are_refused_in_one_line() -> None:
    def repeat(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
        from torch._higher_order_ops import while_loop

        return while_loop(lambda y: y.sum() < 0, lambda y: (y + 1,), (conv(x),))[0]  # type: ignore[no-any-return]

    with pytest.raises(NetError, match="cannot follow torch's while_loop; write it as a loop"):
        summary(Of(repeat))


def test_padding_that_fails_hides_nothing_that_runs_later() -> None:
    def pad(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with suppress(RuntimeError):
            x = F.pad(x, (40, 40, 40, 40), mode="circular")
        return conv(x)  # type: ignore[no-any-return]

    found = summary(Of(pad))
    assert (found.macs, found.field) == (26 * 26 * 36, (3, 3))
