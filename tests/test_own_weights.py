"""Weights of one's own: the data set says which images they are for, and the code which net."""

from __future__ import annotations

import ast
import json
import linecache
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet
from torch import nn

import netlet as package
from netlet.data import Dataset
from netlet.errors import NetError
from netlet.nets import find_net, load
from netlet.nets.running_code import find_running_code
from netlet.recipes import Recipe
from netlet.training import Recorder

PARTS = """
import torch
from torch import nn

class Parts(nn.Module):
    def __init__(self, in_channels=3, num_classes=5):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 6, 5, stride=2)
        self.fc = nn.Linear(6, num_classes)
    def forward(self, x):
        return self.fc(torch.relu(self.stem(x)).mean((2, 3)))

class TwoHeads(Parts):
    def forward(self, x):
        return super().forward(x), x.mean((1, 2, 3))
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of color images of five classes; the net and weights for them lie beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PARTS)

    torch.save(find_net("mine.py:Parts").builder().state_dict(), "parts.pt")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (1_500, 3, 20, 24), dtype=np.uint8)
    labels, few = np.arange(1_500) % 5, slice(0, 20)
    np.savez(
        "parts.npz",
        images=images,
        labels=labels,
        test_images=images[few],
        test_labels=labels[few],
    )
    return tmp_path / "parts.npz"


@pytest.mark.parametrize("command", ["export", "predict", "explain"])
def test_weights_are_for_the_images_of_the_data_set_that_is_named(
    netlet: Netlet, parts: Path, command: str
) -> None:
    arguments = {
        "export": ("export", "mine.py:Parts", "--to", "page", "-o", "p.html"),
        "predict": ("predict", "--net", "mine.py:Parts", "picture.png"),
        "explain": ("explain", "mine.py:Parts", "test:0"),
    }[command]
    from PIL import Image

    Image.new("RGB", (24, 20), "red").save("picture.png")
    code, _, err = netlet(*arguments, "--weights", "parts.pt", "--dataset", str(parts))
    assert code == 0, err
    code, _, err = netlet(*arguments, "--weights", "parts.pt")
    assert code == 2
    assert "stem.weight is 6x3x5x5, in the net 6x1x5x5" in err


def test_an_export_says_that_it_has_the_logits_only(netlet: Netlet, parts: Path) -> None:
    options = ("--weights", "parts.pt", "--dataset", str(parts), "--to", "page", "-o", "p.html")
    code, _, err = netlet("export", "mine.py:TwoHeads", *options)
    assert code == 0
    assert (
        "mine.py:TwoHeads: returns 2 tensors; only the first, which is taken for the logits, is "
        "exported" in err
    )


def test_a_folder_of_several_experiments_has_no_median_run(
    netlet: Netlet, digits_file: Path
) -> None:
    fast = ("--dataset", str(digits_file), "--epochs", "1")
    for net in ("4 P 8", "4 P 9"):
        code, _, err = netlet("train", net, *fast)
        assert code in (0, 1), err
    code, out, err = netlet("evaluate", "runs", "--dataset", str(digits_file))
    assert (code, out) == (2, "")
    assert err.startswith("netlet: runs: has 2 runs of 2 experiments; name one of them, like runs/")


def test_a_net_of_a_notebook_whose_code_has_changed_is_refused(
    netlet: Netlet, blob_data: Dataset, tmp_path: Path
) -> None:
    code = "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    code += "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
    (tmp_path / "mine.py").write_text(code)

    class Net(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(784, 10))

    run = package.fit(
        Net(), blob_data, Recipe(epochs=1), net_name="mine.py:Net", callbacks=[Recorder("run")]
    )
    assert run.source_path == str(tmp_path / "mine.py")
    alone = package.fit(Net(), blob_data, Recipe(epochs=1), net_name="mine.py")
    assert (alone.net, alone.source_digest) == ("mine.py:Net", run.source_digest)
    with pytest.raises(NetError, match=r"other\.py: no such file; check its path"):
        package.fit(Net(), blob_data, Recipe(epochs=1), net_name="other.py")
    (tmp_path / "mine.py").write_text(f"{code}        self.append(nn.Tanh())\n")
    with pytest.raises(NetError, match="has changed since"):
        load("run", trust=True)


CELL = """
import torch
from torch import nn
class Block(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
class Net(nn.Module):
    scale = 2
    def __init__(self, width=10):
        super().__init__()
        self.block = Block()
    @staticmethod
    def shrink(x): return x / 255
    @torch.no_grad()
    def predict(self, x):
        return self(x).argmax(1)
    def forward(self, x):
        return self.block(x)
"""


def write_notebook(path: Path, *cells: str) -> None:
    values = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": values}
    path.write_text(json.dumps(notebook))


def run_cells(monkeypatch: pytest.MonkeyPatch, *cells: str) -> types.ModuleType:
    """Run cells as a notebook does: statement by statement, with their text in linecache."""
    kernel = types.ModuleType("kernel")
    monkeypatch.setitem(sys.modules, "kernel", kernel)
    for number, cell in enumerate(cells):
        name = f"<cell {number}>"
        monkeypatch.setitem(
            linecache.cache, name, (len(cell), None, cell.splitlines(keepends=True), name)
        )
        for statement in ast.parse(cell).body:
            exec(compile(ast.Module([statement], []), name, "exec"), vars(kernel))
    return kernel


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (CELL, ""),
        (CELL.replace("return self.block(x)", "return self.block(x)  # the logits"), ""),
        (CELL.replace("class Net(nn.Module):", 'class Net(nn.Module):\n    """A net."""'), ""),
        (CELL.replace("self.block(x)", "self.block(x).tanh()"), "another Net than the one"),
        (CELL.replace("width=10", "width=11"), "another Net than the one"),
        (CELL.replace("scale = 2", "scale = 3"), "another Net than the one"),
        (CELL.replace("x / 255", "x / 256"), "another Net than the one"),
        (CELL.replace("nn.Linear(784, 10)", "nn.Linear(784, 10, bias=False)"), "another Block "),
        (CELL.replace("class Net(", "class Nett("), "no 'Net' in .*; did you mean 'Nett'"),
        ("", "no such file; save the notebook, or correct net_name='cells.ipynb:Net'"),
    ],
)
def test_a_run_is_recorded_with_the_code_that_runs(
    blob_data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if saved:
        write_notebook(Path("cells.ipynb"), saved)
    net = package.build(run_cells(monkeypatch, CELL).Net, seed=0)
    words = {"net_name": "cells.ipynb:Net", "callbacks": [Recorder("run")]}
    if message:
        with pytest.raises(NetError, match=message):
            package.fit(net, blob_data, Recipe(epochs=1), **words)
        assert not Path("run").exists()
    else:
        run = package.fit(net, blob_data, Recipe(epochs=1), **words)
        assert (run.source_cell, bool(run.source_digest)) == (1, True)


def test_one_of_several_definitions_is_named_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = CELL.replace("scale = 2", "scale = 3")
    write_notebook(Path("two.ipynb"), CELL, other)
    first = package.build(run_cells(monkeypatch, CELL).Net, seed=0)
    second = package.build(run_cells(monkeypatch, CELL, other).Net, seed=0)
    assert find_running_code(second, "two.ipynb:Net")
    with pytest.raises(NetError, match=r"like two\.ipynb:Net\[1\], or save the notebook"):
        find_running_code(first, "two.ipynb:Net")
    assert find_running_code(first, "two.ipynb:Net[1]")


def test_functions_in_branches_and_twice_are_those_of_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell = CELL.replace(
        "class Net(",
        "try:\n    import nothing\n    def act(x): return x\nexcept ImportError:\n"
        "    def act(x): return x.relu()\ndef twice(x): return x\ndef twice(x): return act(x)\n"
        "class Net(",
    ).replace("self.block(x)", "twice(self.block(x))")
    write_notebook(Path("cells.ipynb"), cell)
    net = package.build(run_cells(monkeypatch, cell).Net, seed=0)
    assert find_running_code(net, "cells.ipynb:Net")


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ("width = 10\n", ""),
        ("width: int = 10  # classes\n", ""),
        ("width = 9\nwidth = 10\n", ""),
        ("width = 9 + 1\n", ""),
        ("width = 9\nwidth += 1\n", ""),
        ("for width in (10, 9): pass\n", ""),
        ("width = 9\n", "cells.ipynb: width is not 10 there, as it is here; save the notebook"),
        ("width = 10.0\n", "width is not 10 there"),
    ],
)
def test_constants_of_a_notebook_are_those_that_it_has_run_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cell = CELL.replace("Linear(784, 10)", "Linear(784, width)")
    write_notebook(Path("cells.ipynb"), saved, cell)
    net = package.build(run_cells(monkeypatch, "width = 10\n", cell).Net, seed=0)
    if message:
        with pytest.raises(NetError, match=message):
            find_running_code(net, "cells.ipynb:Net")
    else:
        assert find_running_code(net, "cells.ipynb:Net")


def test_a_net_that_fails_for_a_single_image_does_not_pass(netlet: Netlet, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        PARTS.replace(".mean((2, 3)))", ".mean((2, 3)).squeeze().flatten(1))", 1)
    )
    code, out, _ = netlet("check", "mine.py:Parts", "--params-below", "8000")
    assert code == 1
    assert "output for one image  exactly 1 row  an error" in out
    assert (
        "let forward run for a single image, too: look for squeeze() without a dimension, and for a "
        "fixed batch size, as in view(64, -1)"
    ) in out
