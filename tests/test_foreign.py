"""Unusual nets in users' code: each is found, analyzed, trained and scored, or refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers import FIXTURES
from torch import nn

import netlet
from netlet.data import Dataset
from netlet.errors import NetError, TrainingError
from netlet.evaluation import evaluate
from netlet.nets import find_net
from netlet.recipes import Recipe
from netlet.training import fit

FAST = Recipe(epochs=1, batch_size=60, peak_lr=0.01)

SCRIPT = FIXTURES / "training_script.py"
NETS = FIXTURES / "foreign_nets.py"


def net_of(address: str, shape: tuple[int, ...] = (1, 28, 28)) -> nn.Module:
    return netlet.build(find_net(address).builder, 0, shape, 10)


def analyze_train_and_score(net: nn.Module, data: Dataset) -> netlet.Run:
    """Analyze, train and score a net."""
    assert str(netlet.summary(net))
    assert str(netlet.receptive_field(net))
    run = fit(net, data, FAST, budget=netlet.budgets.TWENTY_K)
    assert evaluate(net, data.held_out, FAST, 10).score == run.last_epoch.score
    return run


@pytest.mark.parametrize("name", ["Net", "model"])
def test_the_rest_of_a_training_script_is_not_run(
    blob_data: Dataset, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    net = net_of(f"{SCRIPT}:{name}")
    assert netlet.summary(net).parameters == 40 + 50
    assert net.extra == 4
    analyze_train_and_score(net, blob_data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("package", "remedy"),
    [
        ("no_such_package", "if no_such_package.py is your own, put it beside the net's file; "),
        ("mxnet.gluon", "netlet runs nets of PyTorch only; write the net with torch.nn"),
    ],
)
def test_a_missing_import_is_reported(tmp_path: Path, package: str, remedy: str) -> None:
    path = tmp_path / "needs.py"
    path.write_text(f"import {package} as lib\nclass Net(lib.Module): pass\n")
    named = re.escape(package.partition(".")[0])
    failed = (
        rf"importing it failed in line 1: ModuleNotFoundError: No module named '{named}'; {remedy}"
    )
    with pytest.raises(NetError, match=failed):
        find_net(f"{path}:Net")


def test_a_file_beside_the_code_is_named_if_it_is_looked_for_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "reads.py"
    path.write_text("from torch import nn\ndef net():\n    open('w.pt')\n    return nn.Flatten()\n")
    failed = "FileNotFoundError: [Errno 2] No such file or directory: 'w.pt'"
    for remedy in (
        "",
        f"; it lies beside reads.py: write Path(__file__).parent / 'w.pt', or run in {tmp_path}",
    ):
        with pytest.raises(NetError) as raised:
            net_of(f"{path}:net")
        assert str(raised.value).endswith(f"{failed}{remedy}")
        (tmp_path / "w.pt").touch()


def test_a_name_that_needs_the_whole_file_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    path = FIXTURES / "hidden_name.py"
    with pytest.raises(
        NetError,
        match=r"name 'hidden' is not defined by the statements that the net depends on; write module:Name",
    ):
        find_net(f"{path}:made")
    monkeypatch.syspath_prepend(FIXTURES)
    assert netlet.summary(net_of("hidden_name:made")).parameters == 7_850


@pytest.mark.parametrize(
    ("name", "layers"),
    [("appended", 2), ("added", 1), ("conditional", 3), ("by_tuple", 2), ("replaced", 1)],
)
def test_statements_that_modify_a_net_are_run(name: str, layers: int) -> None:
    net = net_of(f"{FIXTURES}/changed_nets.py:{name}")
    assert netlet.summary(net).parameters == layers * (784 * 784 + 784)


def test_local_names_do_not_make_other_statements_run() -> None:
    net = net_of(f"{FIXTURES}/local_names.py:Net")
    assert netlet.summary(net).parameters == 785 * 24


def test_a_net_under_the_main_guard_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "guarded.py"
    path.write_text(
        "def make(): return nn.Flatten()\nif __name__ == '__main__':\n    model = make()\n"
    )
    with pytest.raises(NetError, match=r"no 'model' in .*guarded\.py; it defines: make"):
        find_net(f"{path}:model")


def test_annotations_are_not_changed_by_future_imports() -> None:
    assert type(net_of(f"{NETS}:Annotated")).__annotations__ == {"size": int}


def test_neighboring_files_and_star_imports_work(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "parts_of_it.py").write_text("from torch.nn import *\nWIDTH = 3\n")
    path = tmp_path / "deep" / "star.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom parts_of_it import *\n"
        "def make():\n    return Sequential(Conv2d(1, WIDTH, 3), Flatten(), LazyLinear(10))\n"
    )
    assert netlet.summary(net_of(f"{path}:make")).parameters == 30 + 3 * 26 * 26 * 10 + 10


def test_constructor_arguments_are_passed_or_reported() -> None:
    with pytest.raises(
        NetError, match=r"Needy: has required arguments \(width, depth\); give them defaults"
    ):
        find_net(f"{NETS}:Needy")
    assert netlet.summary(net_of(f"{NETS}:KnownArguments", (3, 9, 9)), (3, 9, 9)).parameters == 40
    assert (
        netlet.build(find_net(f"{NETS}:KnownArguments").builder, 0, (2, 9, 9), 7).head.out_features
        == 7
    )  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def plain_run(blob_data: Dataset) -> netlet.Run:
    """Train the net that returns its logits as they are."""
    return analyze_train_and_score(net_of(f"{NETS}:PlainLogits"), blob_data)


@pytest.mark.parametrize(
    "name",
    [
        *("InTuple", "InDict", "LogProbabilities"),
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("InList", "InTupleInDict", "Unflattened")
        ),
    ],
)
def test_logits_are_found_in_tuples_and_dicts(
    blob_data: Dataset, plain_run: netlet.Run, name: str
) -> None:
    net = net_of(f"{NETS}:{name}")
    # the field of the logits, whatever else is returned
    assert netlet.receptive_field(net).size == (26, 26)
    run = analyze_train_and_score(net, blob_data)
    assert run.epochs[-1].train_loss == pytest.approx(plain_run.epochs[-1].train_loss, rel=1e-3)


def test_an_output_without_logits_is_reported(blob_data: Dataset) -> None:
    net = net_of(f"{NETS}:NoLogits")
    with pytest.raises(
        NetError, match=r"returns a dict without a tensor; it must return logits of shape"
    ):
        fit(net, blob_data, FAST)


@pytest.mark.parametrize(
    "name",
    [
        *("DeadLayers", "ControlFlow"),
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("NonSquarePooling", "InPlaceOperations")
        ),
    ],
)
def test_unusual_nets_are_analyzed_and_trained(blob_data: Dataset, name: str) -> None:
    net = net_of(f"{NETS}:{name}")
    run = analyze_train_and_score(net, blob_data)
    assert run.cost["parameters"] == sum(p.numel() for p in net.parameters())
    if name == "DeadLayers":
        assert "never" in str(netlet.summary(net))
    if name == "ControlFlow":
        assert run.cost["macs"] is None  # the path depends on a value


def test_a_net_without_parameters_is_analyzed_but_not_trained(blob_data: Dataset) -> None:
    net = net_of(f"{NETS}:NoParameters")
    assert netlet.summary(net).parameters == 0
    assert netlet.check(net, netlet.budgets.TWENTY_K, epochs=5).state == "NOT YET"
    assert 0 <= evaluate(net, blob_data.held_out, FAST, 10).score.correct <= 100
    with pytest.raises(TrainingError, match="has no parameters; add a layer with weights"):
        fit(net, blob_data, FAST)


def test_gray_images_are_repeated_for_a_color_net(blob_data: Dataset) -> None:
    net = net_of(f"{NETS}:ThreeChannels")
    with pytest.raises(NetError, match=r"0 \(Conv2d\) with input 1x28x28"):
        fit(net, blob_data, FAST)
    colored = blob_data.with_channels(3)
    assert colored.shape == (3, 28, 28)
    assert fit(net, colored, FAST).data["shape"] == [3, 28, 28]


def test_json_stays_json_whatever_a_net_prints(capfd: pytest.CaptureFixture[str]) -> None:
    from netlet.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["show", f"{FIXTURES}/loud_net.py:Net", "--json"])
    assert not stop.value.code
    out, err = capfd.readouterr()
    assert json.loads(out)["parameters"] == 0
    assert "built" in err
    assert "forward" in err


def test_a_noisy_net_trains_alike_with_the_same_seed(blob_data: Dataset) -> None:
    """The generators of Python, NumPy and PyTorch are seeded, too."""
    digests = {
        fit(net_of(f"{NETS}:Noisy"), blob_data, FAST.replace(precision="float32")).weights_digest
        for _ in range(2)
    }
    assert len(digests) == 1
