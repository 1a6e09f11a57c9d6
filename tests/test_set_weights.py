"""A net is loaded with the weights that functions of its file set, but not with its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import few_fast
from torch import nn

from netlet.nets import build, find_code, find_net

HEAD = """import copy
import torch
import torch.nn.init as weight_init
from torch import nn
from torch.nn.init import constant
"""
MADE = "net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
NET = f"{HEAD}{MADE}"
FILL = "def fill(net):\n    for p in net.parameters():\n        p.data.fill_(0.5)\n"


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
    few_fast(
        [
            f"{FILL}fill(net)",
            f"{FILL}fill(net[1])",
            f"{FILL}for m in net:\n    fill(m)",
            f"{FILL}list(map(fill, net.modules()))",
            f"{FILL}def fill_all(net):\n    net.apply(fill)\nfill_all(net)",
            "@torch.no_grad()\ndef fill(net):\n    net[1].bias.copy_(torch.ones(10))\nfill(net)",
            "def fill(net):\n    with torch.no_grad():\n        net[1].bias[:] = 2\nfill(net)",
            "def fill():\n    net[1].bias.data.zero_()\nfill()",
            "class Net(nn.Sequential):\n    def init_weights(self):\n        self[1].bias.data.fill_(2)\n"
            "net = Net(*net)\nnet.init_weights()",
            f"torch.ones(1, requires_grad=True).backward()\n{MADE}{FILL}fill(net)",
            "nn.init.constant(net[1].bias, 2)",
            "weight_init.constant(net[1].bias, 2)",
            "constant(net[1].bias, 2)",
            "nn.init.constant_(val=2, tensor=net[1].bias)",
        ],
        6,
    ),
)
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a_net_has_the_weights_that_its_file_sets(tmp_path: Path, change: str) -> None:
    bias = load(tmp_path, f"{NET}{change}\n").get_parameter("1.bias")
    assert torch.equal(bias, run(f"{NET}{change}\n").get_parameter("1.bias"))


TRAIN = "for _ in range(2):\n    open('RAN', 'w')\n    loss.backward()\n"
TEST = (
    "def test(net):\n    with torch.no_grad():\n        open('RAN', 'w')\n        return net(1)\n"
)


@pytest.mark.parametrize(
    "statements",
    few_fast(
        [
            # Above the training, they would have been initial weights.
            f"{TRAIN}{FILL}fill(net)",
            "def step(net):\n    open('RAN', 'w')\n    with torch.no_grad():\n"
            "        for p in net.parameters():\n            p.sub_(p.grad)\nstep(net)",
            f"{TEST}{FILL}for _ in range(2):\n    fill(net)\n    test(net)",
            f"{TEST}{FILL}other = copy.deepcopy(net)\nopen('RAN', 'w')\nfill(other)",
            f"{TEST}def run(net):\n    test(net)\n    net[1].bias.data.fill_(2)\nrun(net)",
            "def show(net):\n    image = net[1].weight.data.clone()\n    image.sub_(image.min())\n"
            "    open('RAN', 'w')\nshow(net)",
            f"{FILL}def train(net):\n    fill(net)\n    loss.backward()\n    open('RAN', 'w')\ntrain(net)",
        ],
        4,
    ),
)
def test_what_sets_weights_in_or_after_a_training_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str
) -> None:
    monkeypatch.chdir(tmp_path)
    load(tmp_path, NET)
    code = find_code(f"{tmp_path / 'mine.py'}:net")
    load(tmp_path, f"{NET}{statements}\n")
    assert find_code(f"{tmp_path / 'mine.py'}:net") == code
    assert not Path("RAN").exists()


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


def test_lazy_layers_get_their_sizes_in_a_method_that_sets_their_weights(tmp_path: Path) -> None:
    own = "class Net(nn.Sequential):\n    def apply_init(self, inputs, init):\n"
    own += "        self.forward(*inputs)\n        self.apply(init)\nnet = Net(*net)\n"
    init = INIT.replace("net.apply(", "net.apply_init([torch.rand(1, 1, 28, 28)], ")
    net = load(tmp_path, f"{LAZY}{own}{init}")
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
