"""Hooks that a file registers are part of its net if they change what it computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from netlet.nets import build, find_code, find_net

HEAD = """import functools
import logging
import torch
from torch import nn
seen = {}
net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
def halve(module, inputs, output):
    return output / 2
def add(module, inputs, output):
    output += 1
def clear(module, inputs):
    inputs[0][:] = 0
def clamp(module, inputs):
    module.weight.data.clamp_(-1, 1)
def scale(by, module, inputs, output):
    return output * by
def make(by):
    def hook(module, inputs, output):
        return output * by
    return hook
def keep(module, inputs, output):
    seen["x"] = output.detach()
    module.seen = output
    return
def keep_as(name):
    def hook(module, inputs, output):
        seen[name] = output
    return hook
def note(name, output):
    seen[name] = output.mean()
class SaveOutput:
    def __init__(self):
        self.outputs = []
    def __call__(self, module, inputs, output):
        self.outputs.append(output)
class Watch:
    def __init__(self, layer):
        layer.register_forward_hook(self.save)
        layer.register_full_backward_hook(self.save)
    def save(self, module, given, output):
        self.output = output
"""


def load(folder: Path, text: str) -> nn.Module:
    (folder / "mine.py").write_text(HEAD + text)
    return build(find_net(f"{folder / 'mine.py'}:net").builder, 0)


def count_hooks(net: nn.Module) -> int:
    kinds = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    found = [getattr(part, kind) for part in net.modules() for kind in kinds]
    return sum(map(len, found)) + sum(len(p._backward_hooks or ()) for p in net.parameters())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("net[1].register_forward_hook(halve)", 1),
        ("net[1].register_forward_hook(hook=halve)", 1),
        ("net[1].register_forward_hook(add)", 1),
        ("net[1].register_forward_pre_hook(clear)", 1),
        ("net[1].register_forward_pre_hook(clamp)", 1),
        ("net[1].register_forward_hook(make(2))", 1),
        ("net[1].register_forward_hook(functools.partial(scale, 2))", 1),
        ("net[1].register_forward_hook(lambda m, i, o: o * 2)", 1),
        ("double = lambda m, i, o: o * 2\nnet[1].register_forward_hook(double)", 1),
        (
            "for m in net:\n    if isinstance(m, nn.ReLU):\n        m.register_forward_hook(halve)",
            1,
        ),
        (
            "def hook_all(n):\n    for m in n:\n        m.register_forward_hook(add)\nhook_all(net)",
            3,
        ),
        ("for p in net.parameters():\n    p.register_hook(lambda g: g.clamp(-1, 1))", 2),
        ("net[1].weight.register_hook(lambda g: g * 0)", 1),
        ("net[1].register_forward_hook(lambda m, i, o: torch.clamp(o, 0, 1))", 1),
        ("net[1].register_forward_hook(lambda m, i, o: halve(m, i, o))", 1),
        ("net[1].register_full_backward_hook(lambda m, i, o: (i[0] * 2,))", 1),
        ("h = net[1].register_forward_hook(halve)\nh.remove()", 0),
        ("hs = [m.register_forward_hook(add) for m in net]\nfor h in hs[1:]:\n    h.remove()", 1),
        (
            "hs = []\nfor m in net:\n    hs.append(m.register_forward_hook(add))\n"
            "for h in hs:\n    h.remove()",
            0,
        ),
    ],
)
def test_a_hook_that_changes_something_is_part_of_a_net(
    tmp_path: Path, change: str, expected: int
) -> None:
    assert count_hooks(load(tmp_path, change)) == expected


def test_a_hook_of_a_net_runs(tmp_path: Path) -> None:
    x, outputs = torch.ones(2, 4), []
    for change in ("", "net[2].register_forward_hook(halve)"):
        net = load(tmp_path, change)
        nn.init.ones_(net.get_parameter("1.weight"))
        nn.init.zeros_(net.get_parameter("1.bias"))
        outputs.append(net(x))
    assert torch.equal(outputs[1], outputs[0] / 2)


@pytest.mark.parametrize(
    "statements",
    [
        "net[1].register_forward_hook(keep)",
        "net[1].register_forward_hook(keep_as('x'))",
        "for name, m in net.named_modules():\n    m.register_forward_hook(keep_as(name))",
        "net[1].register_forward_hook(lambda m, i, o: seen.update(x=o))",
        "look = lambda m, i, o: print(o.shape)\nnet[1].register_forward_hook(look)",
        "watch = Watch(net[1])",
        "save = SaveOutput()\nfor m in net:\n    m.register_forward_hook(save)",
        "net[1].register_forward_hook(lambda m, i, o: note('x', o))",
        "net[1].register_forward_hook(lambda m, i, o: logging.info(o.shape))",
        "writer = open('a.txt', 'w')\nnet[1].register_forward_hook(lambda m, i, o: writer.write(o))",
        "h = net[1].register_forward_hook(keep)\nnet(torch.zeros(1, 4))\nh.remove()",
        "torch.ones(2, requires_grad=True).register_hook(lambda g: g * 2)",
    ],
)
def test_a_hook_that_only_looks_is_none_of_a_net(tmp_path: Path, statements: str) -> None:
    load(tmp_path, "")
    code = find_code(f"{tmp_path / 'mine.py'}:net")
    assert count_hooks(load(tmp_path, statements)) == 0
    assert find_code(f"{tmp_path / 'mine.py'}:net") == code
