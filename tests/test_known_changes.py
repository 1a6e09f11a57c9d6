"""A net is loaded with what functions of PyTorch change in it, as a run of its file has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import write_notebook
from torch import nn

from netlet.nets import build, find_code, find_net

HEAD = """import torch
from torch import nn
from torch.nn import utils
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.prune import l1_unstructured, remove
from torch.ao import quantization
from torch.ao.quantization import fuse_modules
net = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))
"""
PRUNE = 'prune.l1_unstructured(net[1], "weight", amount=0.5)\n'


def load(folder: Path, text: str) -> nn.Module:
    (folder / "mine.py").write_text(HEAD + text)
    return build(find_net(f"{folder / 'mine.py'}:net").builder, 0)


def run(text: str) -> nn.Module:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(HEAD + text, names)
    net: nn.Module = names["net"]
    return net


def describe(net: nn.Module) -> object:
    """Return the parts of a net, its tensors and its hooks, without the values."""
    hooks = [
        (name, [len(getattr(part, kind)) for kind in ("_forward_hooks", "_forward_pre_hooks")])
        for name, part in net.named_modules()
    ]
    tensors = [(name, value.shape, value.dtype) for name, value in net.state_dict().items()]
    parameters = [(name, value.requires_grad) for name, value in net.named_parameters()]
    return repr(net), hooks, sorted(tensors), parameters


@pytest.mark.parametrize(
    "change",
    [
        f'{PRUNE}prune.remove(net[1], "weight")',
        'l1_unstructured(net[1], "weight", 0.5)\nremove(net[1], name="weight")',
        'prune.l1_unstructured(name="weight", amount=0.5, module=net[1])',
        f'{PRUNE}for m in net:\n    if prune.is_pruned(m):\n        prune.remove(m, "weight")',
        f'{PRUNE}def finish(m):\n    prune.remove(m[1], "weight")\nfinish(net)',
        'prune.identity(net[1], "weight")',
        'prune.L1Unstructured.apply(net[1], "weight", 0.5)',
        'prune.global_unstructured([(net[1], "weight")], prune.L1Unstructured, amount=3)',
        "class Own(prune.BasePruningMethod):\n    PRUNING_TYPE = 'unstructured'\n"
        "    def compute_mask(self, t, default_mask):\n        return default_mask * 0\n"
        "Own.apply(net[1], 'weight')",
        "class Own(prune.BasePruningMethod):\n    PRUNING_TYPE = 'unstructured'\n"
        "    def compute_mask(self, t, default_mask):\n        return default_mask * 0\n"
        "def zero(m, name):\n    Own.apply(m, name)\n    return m\nzero(net[4], 'bias')",
        "utils.weight_norm(net[1])\nutils.remove_weight_norm(net[1])",
        "utils.spectral_norm(net[1])\nutils.remove_spectral_norm(net[1])",
        "parametrizations.orthogonal(net[1])",
        "parametrizations.weight_norm(net[1])\n"
        "parametrize.transfer_parametrizations_and_params(net[1], net[4], 'weight')",
        "parametrizations.weight_norm(net[1])\nparametrize.remove_parametrizations(net[1], 'weight')",
        "net.qconfig = quantization.get_default_qat_qconfig()\n"
        "quantization.prepare_qat(net, None, True)",
        "nn.SyncBatchNorm.convert_sync_batchnorm(net)",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_net_is_what_functions_of_pytorch_have_made_of_it(tmp_path: Path, change: str) -> None:
    assert describe(load(tmp_path, change)) == describe(run(change))


FUSE = 'fuse_modules(net, [["1", "2"]], inplace=True)'
QAT = "net.qconfig = quantization.get_default_qat_qconfig()\n"


@pytest.mark.parametrize(
    "change",
    [
        f"net.eval()\n{FUSE}",
        f"net.train(False)\n{FUSE}",
        f"net.eval()\nquantization.{FUSE}\nnet.train()",
        "net.eval()\nnet = fuse_modules(net, [['1', '2']])",
        f"def fuse(net):\n    net.eval()\n    {FUSE}\nfuse(net)",
        f"def fuse(net):\n    {FUSE}\nnet.eval()\nfuse(net)",
        f"{QAT}net.eval()\nnet.train()\nquantization.prepare_qat(net, inplace=True)",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_net_has_the_mode_that_a_function_needs(tmp_path: Path, change: str) -> None:
    assert describe(load(tmp_path, change)) == describe(run(change))


@pytest.mark.parametrize(
    "change",
    [
        "for name, value in net.state_dict().items():\n    if 'bias' in name:\n        value.fill_(7)",
        "net.state_dict()['1.bias'].fill_(7)",
        "state = net.state_dict()\nstate['1.bias'].fill_(7)",
        "state = net.state_dict()\nfor name in state:\n    state[name].fill_(7)",
        "state = {k: v for k, v in net.state_dict().items()}\nstate['1.bias'].fill_(7)",
        "state = dict(net.state_dict())\nstate['1.bias'].copy_(torch.full((6,), 7))",
    ],
)
def test_the_values_of_a_state_dict_are_the_weights_of_a_net(tmp_path: Path, change: str) -> None:
    assert torch.equal(load(tmp_path, change).get_parameter("1.bias"), torch.full((6,), 7.0))


@pytest.mark.parametrize(
    "statements",
    [
        'prune.l1_unstructured(other[0], "weight", 0.5)\nprune.remove(other[0], "weight")',
        'prune.L1Unstructured.apply(other[0], "weight", 0.5)',
        "state = net.state_dict()\nstate['size'] = open('RAN', 'w')\ntorch.save(state, 'net.pt')",
        "state = {k: v.clone() for k, v in net.state_dict().items()}\nstate['1.bias'].fill_(7)",
        "images = torch.rand(2, 8)\nimages.view(-1).mul_(2)",
        # A picture of the weights: the script trains before it.
        "w = net[1].weight.data.numpy()\nw -= open('RAN', 'w') or w.min()",
        "flat = net[1].weight.detach().flatten()\nflat[:] = open('RAN', 'w') or 0",
        "net.eval()\nnet.train()",
        "identity(net)\nprepare(net)\northogonal(net)",
        "for t in range(3):\n    utils.vector_to_parameters(open('RAN', 'w'), net.parameters())",
    ],
)
def test_what_these_functions_do_elsewhere_is_no_part_of_a_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = f"{PRUNE}from own_tools import identity, orthogonal, prepare\n"
    load(tmp_path, PRUNE)
    code = find_code(f"{tmp_path / 'mine.py'}:net")
    other = "other = nn.Sequential(nn.Linear(2, 2))\nopen('RAN', 'w')\n"
    load(tmp_path, f"{before}{other}{statements}\n")
    assert find_code(f"{tmp_path / 'mine.py'}:net") == code
    assert not Path("RAN").exists()


TRAIN = "    open('RAN', 'w')\n    loss.backward()\n"
LOOP = f"for name, m in net.named_modules():\n    {PRUNE}{TRAIN}"
TUNE = f"def tune(net):\n    {PRUNE}{TRAIN}tune(net)\n"
LATE = f"def test(net):\n    net.eval()\n    return open('RAN', 'w')\ngood = test(net)\nif good:\n    {PRUNE}"
NORM = "utils.weight_norm(net[1])"
OWN = "class Own(prune.BasePruningMethod):\n    PRUNING_TYPE = 'unstructured'\n"
REMOVE = 'prune.remove(net[1], "weight")'


@pytest.mark.parametrize(
    "statements",
    [
        f'{LOOP}for name, m in net.named_modules():\n    prune.remove(m, "weight")',
        f'{LOOP}for _, part in net.named_modules():\n    prune.remove(part, "weight")',
        f"{LOOP}def finish(m):\n    prune.remove(m[1], 'weight')\nfinish(net)",
        f"{TUNE}{REMOVE}",
        f"{TUNE}remove(module=net[1], name='weight')",
        f"{LATE}{REMOVE}",
        f"{OWN}for _ in range(2):\n    Own.apply(net[1], 'weight')\n{TRAIN}{REMOVE}",
        f"for _ in range(2):\n    {NORM}\n{TRAIN}utils.remove_weight_norm(net[1])",
        f"for _ in range(2):\n    parametrizations.orthogonal(net[1])\n{TRAIN}"
        "parametrize.remove_parametrizations(net[1], 'weight')",
    ],
)
def test_what_a_training_has_put_into_a_net_is_not_removed_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert describe(load(tmp_path, statements)) == describe(run(""))
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    "statements",
    [
        f"{PRUNE}{LOOP}{REMOVE}",
        "class Part(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.f = utils.weight_norm(nn.Linear(4, 4))\nnet = nn.Sequential(Part())\n"
        f"for _ in range(2):\n    {NORM}\n{TRAIN}utils.remove_weight_norm(net[0].f)",
        "from own_nets import net\nutils.remove_weight_norm(net[1])",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_was_put_into_a_net_before_its_training_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_nets.py").write_text(f"{HEAD}{NORM}\n")
    assert (
        not {"1.weight_mask", "1.weight_g", "0.f.weight_g"}
        & load(tmp_path, statements).state_dict().keys()
    )
    assert not Path("RAN").exists()


def test_an_earlier_definition_is_not_kept_for_what_is_removed_from_it(tmp_path: Path) -> None:
    text = "net = nn.Sequential(nn.Flatten(), nn.Linear(8, 6))"
    cells = [HEAD, text, f"{PRUNE}{REMOVE}"]
    code = find_code(f"{write_notebook(tmp_path / 'a.ipynb', *cells)}:net")
    again = write_notebook(tmp_path / "b.ipynb", *cells, f"open('{tmp_path}/RAN', 'w')", *cells[1:])
    again_code = find_code(f"{again}:net[3]")
    assert code
    assert again_code
    assert again_code.digest == code.digest
