"""A net is loaded with the weights that functions of PyTorch set, also in lazy layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import few_fast
from torch import nn

from netlet.nets import build, find_net

HEAD = """import torch
import torch.nn.init as weight_init
from torch import nn
from torch.nn.init import constant
"""
MADE = "net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
NET = f"{HEAD}{MADE}"


def load(folder: Path, text: str) -> nn.Module:
    (folder / "mine.py").write_text(text)
    return build(find_net(f"{folder / 'mine.py'}:net").builder, 0)


def run(text: str) -> nn.Module:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(text, names)
    net: nn.Module = names["net"]
    return net


@pytest.mark.parametrize(
    "change",
    [
        "nn.init.constant(net[1].bias, 2)",
        "weight_init.constant(net[1].bias, 2)",
        "constant(net[1].bias, 2)",
        "nn.init.constant_(val=2, tensor=net[1].bias)",
        "def fill(m):\n    if type(m) == nn.Linear:\n        constant(m.bias, 2)\nnet.apply(fill)",
    ],
)
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a_net_has_the_weights_that_its_file_sets(tmp_path: Path, change: str) -> None:
    bias = load(tmp_path, f"{NET}{change}\n").get_parameter("1.bias")
    assert torch.equal(bias, run(f"{NET}{change}\n").get_parameter("1.bias"))


TRAIN = "for _ in range(2):\n    open('RAN', 'w')\n    loss.backward()\n"
TEST = (
    "def test(net):\n    with torch.no_grad():\n        open('RAN', 'w')\n        return net(1)\n"
)
LAZY = f"{HEAD}net = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))\n"
INIT = (
    "def init(m):\n    if type(m) == nn.Linear:\n        nn.init.ones_(m.bias)\nnet.apply(init)\n"
)


@pytest.mark.parametrize(
    "run_once",
    few_fast(
        [
            "net(torch.zeros(1, 1, 28, 28))",
            "_ = net(torch.rand(1, 1, 28, 28))",
            "size = 28\nx = torch.zeros((1, 1, size, size)).to('cpu')\nwith torch.no_grad():\n"
            "    net.forward(x)",
            "x = torch.zeros(1, 1, 28, 28)\nfor layer in net:\n    x = layer(x)\n    print(x.shape)",
            "print(net(torch.zeros(1, 1, 28, 28)).shape)",
        ],
        3,
    ),
)
def test_lazy_layers_get_their_sizes_before_their_weights_are_set(
    tmp_path: Path, run_once: str
) -> None:
    net = load(tmp_path, f"{LAZY}{run_once}\n{INIT}")
    assert torch.equal(net.get_parameter("1.bias"), torch.ones(10))


@pytest.mark.parametrize(
    "statements",
    [
        "open('RAN', 'w')\nnet(torch.zeros(1, 1, 28, 28))",  # nothing below needs it
        f"data = torch.utils.data.DataLoader(open('RAN', 'w'))\nnet(next(iter(data)))\n{INIT}",
        f"{TEST}{TRAIN}test(net)\nprint(open('RAN', 'w'), net(torch.zeros(1, 1, 28, 28)))",
    ],
)
def test_other_runs_of_a_lazy_net_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, f"{LAZY}{statements}\n").get_parameter("1.bias").shape
    assert not Path("RAN").exists()
