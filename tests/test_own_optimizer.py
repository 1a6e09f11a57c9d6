"""A file's own optimizer is found in its text, and training says that it is not used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import Netlet

from netlet.experiments.seeds import SeedError
from netlet.nets.own_optimizer import find_optimizer

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, x):
        return self.layer(x.flatten(1))
"""


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import torch\nsgd = torch.optim.SGD([], lr=0.1)", "SGD, line 2"),
        ("from torch import optim\ndef train():\n    return optim.Adam([])", "Adam, line 3"),
        ("import torch.optim as o\nlist(map(o.AdamW([]), []))", "AdamW, line 2"),
        ("from torch.optim import SGD as S, Adam\nx = [S([]),\nAdam([])]", "SGD, line 2"),
        ("import torch.optim\nif 1:\n  torch.optim.NAdam([])", "NAdam, line 3"),
        ("from torch.optim.lr_scheduler import StepLR\nStepLR(None, 1)", ""),
        ("from torch import optim\nname = optim.SGD\noptim.lr_scheduler.StepLR(None, 1)", ""),
        ("from mine import optim\noptim.SGD([])", ""),
        ("from .torch.optim import SGD\nSGD([])", ""),
        ("optim.SGD([])", ""),
        ("def broken(:", ""),
    ],
)
def test_the_first_optimizer_of_a_file(code: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(code)
    assert find_optimizer(tmp_path / "mine.py") == found


def test_an_optimizer_of_a_notebook_is_found_in_its_cell(tmp_path: Path) -> None:
    codes = ("from torch import optim", "sgd = None\nsgd = optim.SGD([])")
    cells = [
        {"cell_type": "code", "source": code, "execution_count": 7, "outputs": [], "metadata": {}}
        for code in codes
    ]
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "mine.ipynb").write_text(json.dumps(book))
    assert find_optimizer(tmp_path / "mine.ipynb") == "SGD, cell 2 (In [7]), line 2"
    assert find_optimizer(tmp_path / "missing.py") == ""


def test_training_says_that_the_optimizer_of_the_file_is_not_used(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.study.train_seeds", lambda *_: [SeedError(0, "no")])
    head = "from torch import nn, optim\n"
    (tmp_path / "mine.py").write_text(f"{head}{NET}\noptim.Adam(Net().parameters())\n")
    said = (
        "training mine.py:Net: mine.py creates an optimizer (Adam, line 11), which is not used: "
        "netlet trains with the recipe steady; change it with --recipe or --set\n"
    )
    assert said in netlet("study", "mine.py", "--seeds", "1")[2]
    assert "optimizer" not in netlet("study", "mine.py", "--seeds", "1", "--recipe", "plain")[2]
    assert "optimizer" not in netlet("study", "mine.py", "--seeds", "1", "--set", "epochs=1")[2]
    (tmp_path / "mine.py").write_text(f"{head}{NET}")
    assert "optimizer" not in netlet("study", "mine.py", "--seeds", "1")[2]
