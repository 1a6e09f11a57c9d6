"""The registry, notation, and nets in users' code."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from helpers import FIXTURES
from torch import nn

import netlet
from netlet import nets
from netlet.data import Dataset
from netlet.errors import NetError, TrainingError
from netlet.nets import find_net
from netlet.nets.first_weights import find_origin
from netlet.nets.registry import NETS, net

THEIRS = FIXTURES / "their_nets.py"


@pytest.mark.parametrize(
    ("notation", "parameters", "shape"),
    [
        ("8 8 P 12 14 16 16", 7_652, (1, 28, 28)),
        ("16k5s2 16 16 32 P 32", 19_376, (1, 28, 28)),  # sprint
        # 3x3 of each of 4 maps, 1x1 to 6, norm; the same to 10 in a 1x1; a head.
        ("4p d6p x10", (36 + 8) + (36 + 24 + 12) + (60 + 20) + 100, (1, 5, 7)),
        ("4 m6k5", (36 + 8) + (100 + 8 + 24 + 12) + 60, (1, 9, 9)),
        ("6k5s2p P", (450 + 12) + 60, (3, 9, 9)),
    ],
)
def test_notation_builds_a_net(notation: str, parameters: int, shape: tuple[int, int, int]) -> None:
    built = netlet.build(find_net(notation).builder, 0, shape)
    assert sum(p.numel() for p in built.parameters()) == parameters
    assert built(torch.zeros(2, *shape)).shape == (2, 10)


def test_notation_builds_the_same_net_as_its_named_counterpart() -> None:
    ours, line = (
        netlet.build(find_net(name).builder, 3) for name in ("summit", "8 8 P 12 14 16 16")
    )
    for mine, other in zip(ours.parameters(), line.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(
    ("notation", "why"),
    [
        ("8 8q P", r"'8q' in '8 8q P' is not a layer; write a number of channels \(16\), x16"),
        ("8 P P P 8 8", "layer 6 .* 8, has an empty feature map; add padding or remove a pooling"),
        ("8 0", "'0' in"),
    ],
)
def test_invalid_notation_is_reported(notation: str, why: str) -> None:
    with pytest.raises(NetError, match=why):
        netlet.build(find_net(notation).builder, 0)


@pytest.mark.parametrize("name", ["Theirs", "made", "ready"])
def test_a_net_may_be_a_class_a_function_or_an_instance(name: str) -> None:
    built = find_net(f"{THEIRS}:{name}").builder()
    assert netlet.summary(built).parameters == 40 + 50
    assert netlet.receptive_field(built).size == (28, 28)


def test_a_net_may_be_in_an_importable_module() -> None:
    entry = find_net("netlet.nets.document_004:code_2")
    assert netlet.summary(entry.builder()).parameters == 4_990


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("{file}:Nothing", r"no 'Nothing' in .*their_nets\.py; it defines: Theirs, Needy, made"),
        (
            "{file}:Needy",
            r"Needy: has required arguments \(width, depth, act\); give them defaults, or add a function",
        ),
        ("{file}:no_net", r"no_net: expected a torch\.nn\.Module, got a int"),
        ("{file}:breaks", r"breaks: building it failed in line 33: RuntimeError: out of"),
        ("{file}:number", r"number: is a int; name a class, a function or a net"),
        ("{folder}/absent.py:Net", r"no file .*absent\.py"),
        ("{folder}/syntax.py:Net", r"syntax\.py:Net: importing it failed: SyntaxError: "),
        (
            "{folder}/exits.py:Net",
            r"exits\.py:Net: importing it failed in line 4: its code calls sys\.exit\(3\); remove that "
            r"call, or put it below if __name__ == \"__main__\"$",
        ),
        (
            "no_such_package.module:Net",
            r"importing it failed: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        (
            "{folder}/options.py:Net",
            r"line 5: its parse_args\(\) ends the program; give every .*ult$",
        ),
        ("{folder}/asks.py:Net", r"EOFError: .*; input\(\) gets no answer here: write the value"),
        (":Net", r"no file or module before the colon"),
        ("mnistnet1", r"no net 'mnistnet1'; did you mean 'mnistnet_1'\?"),
    ],
)
def test_an_address_without_a_net_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    (tmp_path / "syntax.py").write_text("class Net(:\n")
    (tmp_path / "exits.py").write_text(
        "from torch import nn\nNet = nn.Identity\nimport sys\nNet = sys.exit(3)\n"
    )
    (tmp_path / "options.py").write_text(
        "import argparse\nfrom torch import nn\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--k', required=True)\nk = parser.parse_args().k\n"
        "class Net(nn.Flatten):\n    width = k\n"
    )
    (tmp_path / "asks.py").write_text(
        "from torch import nn\nk = input()\nclass Net(nn.Flatten):\n    width = k\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(NetError, match=message) as caught:
        find_net(address.format(file=THEIRS, folder=tmp_path)).builder()
    assert "\n" not in str(caught.value)


def test_a_net_is_registered_under_its_functions_name() -> None:
    try:

        @net(source="test")
        def tiny_test_net(classes: int = 10, shape: Sequence[int] = (1, 28, 28)) -> nn.Module:
            """Flat."""
            return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))

        assert NETS["tiny_test_net"].about == "Flat."
        with pytest.raises(NetError, match="net 'tiny_test_net' is defined twice"):
            net(source="test")(tiny_test_net)
    finally:
        NETS.pop("tiny_test_net", None)

    def bare(width: int = 3) -> nn.Module:
        return nn.Identity()

    with pytest.raises(
        NetError,
        match=r"needs a docstring and .*; write def bare\(classes=10, shape=\(1, 28, 28\)\)",
    ):
        net(source="test")(bare)


def test_lazy_layers_depend_on_the_seed_alone() -> None:
    def lazy() -> nn.Module:
        return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(10))

    one, two, other = (netlet.build(lazy, seed, (2, 9, 9)) for seed in (1, 1, 2))
    assert one[2].weight.shape == (10, 4 * 49)  # type: ignore[index]
    assert torch.equal(one[2].weight, two[2].weight)  # type: ignore[index]
    assert not torch.equal(one[2].weight, other[2].weight)  # type: ignore[index]
    broken = netlet.build(lambda: nn.Sequential(nn.LazyConv2d(4, 30)), 0)
    with pytest.raises(NetError, match=r"0 \(Conv2d\) with input 1x28x28"):
        netlet.summary(broken)


def test_a_seed_determines_the_initial_weights() -> None:
    one, two, other = (netlet.build(nets.swift, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not all(
        torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(3, device="meta"),
        lambda: torch.ones(3, 3).to_sparse(),
        lambda: torch.full((3,), 1 + 2j).conj(),
        lambda: torch.full((3,), 1 + 2j).conj().imag,
        lambda: torch.ones(2, 3).t(),
        lambda: torch.ones(0, 3),
        lambda: torch.ones(3, dtype=torch.bfloat16),
    ],
)
def test_a_net_with_an_unusual_parameter_has_the_weights_of_its_seed_until_they_change(
    make: Callable[[], torch.Tensor],
) -> None:
    class Unusual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = nn.Parameter(make(), requires_grad=False)
            self.dense = nn.Linear(784, 10)

    built = netlet.build(Unusual, 3)
    origin = find_origin(built)
    assert origin is not None
    assert origin.seed == 3
    if built.odd.numel() and not built.odd.is_meta:
        built.odd.data = 2 * built.odd.data
        assert find_origin(built) is None


def test_a_net_on_the_device_meta_is_described_and_not_trained(few: Dataset) -> None:
    with torch.device("meta"):
        built = netlet.build(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 0)
    assert netlet.summary(built).parameters == 7_850
    with pytest.raises(TrainingError, match=r"on the device meta, where .*; build it on the CPU"):
        netlet.fit(built, few, netlet.find_recipe("quick"))
