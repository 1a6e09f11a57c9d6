"""A run knows which code its net is: the same name with other code is refused, by every command."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import shutil
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import numpy as np
import pytest
from helpers import Netlet, draw_blobs, make_seed_result, make_study, set_options

from netlet import records
from netlet.errors import NetError
from netlet.experiments import load_experiment
from netlet.nets import find_code, find_net
from netlet.nets.code_imports import Imports
from netlet.nets.origins import find_net_of_run, refuse_changed_code
from netlet.records import RunConfig, find_difference
from netlet.text import relative_path
from netlet.training import load_checkpoint

ROOT = Path(__file__).parent.parent
FAST = set_options(epochs=1, batch_size=60)
BLOCKS = "from torch import nn\ndef head(classes):\n    return nn.Conv2d(1, classes, 28)\n"
NET = """
import torch
from torch import nn
from blocks import head

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.head = head(num_classes)

    def forward(self, x):
        return self.head(x).flatten(1)

epochs = 3
"""
OTHER = NET.replace("self.head(x)", "self.head(-x)")  # the same layers, another function


def write_net(folder: str, net: str = NET, blocks: str = BLOCKS) -> None:
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / "model.py").write_text(net)
    (Path(folder) / "blocks.py").write_text(blocks)


@pytest.fixture
def data(tmp_path: Path) -> str:
    (images, labels), (more, answers) = draw_blobs(120, 0), draw_blobs(60, 1)
    path = tmp_path / "own.npz"
    np.savez(path, images=images, labels=labels, test_images=more, test_labels=answers)
    return str(path)


@pytest.fixture
def run(netlet: Netlet, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run of ``model.py:Net``, made in the folder ``one``."""
    write_net("one")
    monkeypatch.chdir(tmp_path / "one")
    code, _, err = netlet("train", "model.py:Net", "--dataset", data, "-o", "../run", *FAST)
    assert code in (0, 1), err
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def evaluate(netlet: Netlet, run: Path, data: str) -> tuple[int, str, str]:
    return netlet("evaluate", str(run), "--dataset", data, "--trust")


def test_a_run_records_the_source_of_its_net(run: Path, tmp_path: Path) -> None:
    found = records.load_run(run)
    assert found.source_path == str(tmp_path / "one" / "model.py")
    code = find_code(f"{tmp_path}/one/model.py:Net")
    assert code is not None
    assert found.source_digest == code.digest


def test_a_net_of_the_same_name_and_layers_is_refused(
    run: Path, data: str, netlet: Netlet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_net("two", OTHER)
    monkeypatch.chdir(tmp_path / "two")
    for command in (
        ("evaluate", run, "--dataset", data),
        ("export", run, "--to", "c", "--dataset", data),
        ("predict", "picture.png", "--net", run),
        ("play", run, "--no-open"),
    ):
        code, out, err = netlet(*map(str, command), "--trust")
        assert (code, out) == (2, ""), command
        assert len(err.splitlines()) == 1
        assert f"its net came from {tmp_path}/one/model.py (digest " in err
        assert "but model.py is another net of the same name" in err
        assert (
            f"run the command in {tmp_path}/one, or use this net with the run's weights: "
            f"model.py:Net --weights {run / records.WEIGHTS}" in err
        )
    assert not list(Path().glob("Net*"))
    # As the message says: the other net, if it is named.
    weights = str(run / records.WEIGHTS)
    named = netlet("evaluate", "model.py:Net", "--weights", weights, "--dataset", data)
    assert named[0] == 0


def test_the_same_source_is_accepted_wherever_it_is(
    run: Path, data: str, netlet: Netlet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    write_net("copy", NET.replace("\n", "\r\n").replace("epochs = 3", "epochs = 30"))
    expected = records.load_run(run).last_epoch
    for folder in ("one", "copy", "empty"):
        monkeypatch.chdir(tmp_path / folder)
        code, out, err = evaluate(netlet, run, data)
        assert code == 0, err
        assert f"{expected.correct} of 60 test images" in out


def test_the_way_out_is_named_if_a_net_has_another_name_now(
    run: Path, data: str, netlet: Netlet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path / "one")
    Path("model.py").write_text(NET.replace("class Net(", "class Best("))
    code, out, err = evaluate(netlet, run, data)
    assert (code, out) == (2, "")
    way = f"pass it with the run's weights: model.py:NAME --weights {run / records.WEIGHTS}\n"
    assert "no 'Net' in " in err
    assert err.endswith(way)
    words = way.replace("NAME", "Best").split()[-3:]
    assert netlet("evaluate", *words, "--dataset", data)[0] == 0


def test_a_score_that_is_not_the_recorded_one_is_noticed(
    netlet: Netlet, data: str, tmp_path: Path
) -> None:
    # A digest covers what import statements name, and no other code.
    loaded = 'import importlib\nsign = importlib.import_module("sign_of").sign\n'
    net = NET.replace("self.head(x)", "self.head(sign * x)")
    Path("model.py").write_text(loaded + net)
    Path("blocks.py").write_text(BLOCKS)
    Path("sign_of.py").write_text("sign = 1\n")
    code, _, err = netlet("train", "model.py:Net", "--dataset", data, "-o", "run", *FAST)
    assert code in (0, 1), err
    correct = records.load_run(tmp_path / "run").last_epoch.correct
    code, out, err = evaluate(netlet, Path("run"), data)
    assert (code, f"{correct} of 60" in out, err) == (0, True, "")
    Path("sign_of.py").write_text("sign = -1\n")
    code, out, err = evaluate(netlet, Path("run"), data)
    assert (code, f"{correct} of 60" in out) == (0, False)
    assert f" images are correct here, {correct} in the record of the run; code that" in err


def test_a_change_of_what_the_net_needs_is_refused_and_of_the_rest_is_not(
    run: Path, data: str, netlet: Netlet, tmp_path: Path
) -> None:
    model = tmp_path / "one" / "model.py"
    model.write_text(NET + "\nfor epoch in range(epochs):\n    print(epoch)\n")
    assert evaluate(netlet, run, data)[0] == 0
    model.write_text(OTHER)
    code, _, err = evaluate(netlet, run, data)
    assert code == 2
    assert (
        f"{run}: one/model.py, or one/blocks.py, which it imports, has changed since the run" in err
    )
    assert (
        "restore it, or use the net as it is now with the run's weights: one/model.py:Net "
        f"--weights {run / records.WEIGHTS}" in err
    )
    model.write_text(NET)
    (tmp_path / "one" / "blocks.py").write_text(BLOCKS.replace("classes, 28", "classes, (28, 28)"))
    assert "has changed since the run" in evaluate(netlet, run, data)[2]
    model.unlink()
    err = evaluate(netlet, run, data)[2]
    assert "its net came from one/model.py, and there is no such file; put it back" in err


def write_notebook(path: Path, *cells: str, outputs: bool = False) -> None:
    shown = [{"output_type": "stream", "name": "stdout", "text": "99%"}] if outputs else []
    made = [{"cell_type": "code", "outputs": shown, "source": cell} for cell in cells]
    path.write_text(json.dumps({"cells": made, "nbformat": 4}))


def test_a_run_records_the_cell_and_the_code_of_a_notebook_but_not_its_outputs(
    data: str, netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    book = tmp_path / "book.ipynb"
    write_net(str(tmp_path))
    write_notebook(book, "!pip install torch", NET, "Net().train()")
    address = "book.ipynb:Net[1]"
    code, _, err = netlet("train", address, "--dataset", data, "-o", "run", *FAST)
    assert code in (0, 1), err
    found, run = records.load_run("run"), Path("run")
    assert (found.net, found.source_path, found.source_cell) == (address, str(book), 2)
    write_notebook(book, "!pip install torch", NET, "Net().eval()", outputs=True)
    assert evaluate(netlet, run, data)[0] == 0
    write_notebook(book, OTHER)
    code, _, err = evaluate(netlet, run, data)
    assert code == 2
    assert (
        "run: cell 2 of book.ipynb, or another cell that the net needs, or blocks.py, which it "
        "imports, has changed since the run" in err
    )
    assert "with the run's weights: 'book.ipynb:Net[1]' --weights run" in err


def test_a_later_definition_leaves_a_run_the_one_that_it_was_trained_with(
    data: str, netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_net(str(tmp_path))
    book, run = tmp_path / "book.ipynb", Path("run")
    write_notebook(book, NET)
    code, _, err = netlet("train", "book.ipynb:Net", "--dataset", data, "-o", "run", *FAST)
    assert code in (0, 1), err
    write_notebook(book, NET, "Net()", OTHER)
    code, _, err = evaluate(netlet, run, data)
    use = f"'book.ipynb:Net[1]' --weights run/{records.WEIGHTS}"
    assert (code, err.splitlines()[-1]) == (
        2,
        "netlet: run: book.ipynb:Net is another net now, and the run's is book.ipynb:Net[1]; use "
        f"that with the run's weights: {use}",
    )
    command = ["evaluate", "book.ipynb:Net[1]", "--weights", f"run/{records.WEIGHTS}"]
    assert netlet(*command, "--dataset", data)[0] == 0
    digest = records.load_run("run").source_digest
    with pytest.raises(NetError, match=r"and the run's is book.ipynb:Net\[1\]; restore it, or"):
        refuse_changed_code("run", "book.ipynb:Net", digest)


def test_a_run_of_an_earlier_version_says_no_source_and_is_used_as_before(
    run: Path, data: str, netlet: Netlet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = run / records.RECORD
    record = json.loads(path.read_text())
    for key in ("source_path", "source_cell", "source_digest"):
        del record[key]
    del record["budget"]["judged_on"]
    path.write_text(json.dumps(record | {"schema": 3}))
    assert records.load_run(run).source_digest == ""
    monkeypatch.chdir(tmp_path / "one")
    assert evaluate(netlet, run, data)[0] == 0


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_is_not_resumed_with_another_net(
    data: str, netlet: Netlet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_net("one")
    with monkeypatch.context() as patch:
        patch.setattr("netlet.training.recorder.weights_to_bytes", stop)
        assert netlet("train", "one/model.py", "--dataset", data, "-o", "run", *FAST)[0] == 130
    config = RunConfig.from_dict(load_checkpoint(Path("run"))[1], "run")
    assert config.net == "one/model.py:Net"
    write_net("one", OTHER)
    code, _, err = netlet("train", "one/model.py", "--resume", "run")
    assert code == 2
    assert "one/model.py, or one/blocks.py, which it imports, has changed since the run" in err
    assert "restore it, or start a new run" in err
    with pytest.raises(NetError, match="has changed since the run"):
        load_experiment(config, trust=True)
    write_net("one")
    assert netlet("train", "one/model.py", "--resume", "run")[0] in (0, 1)
    assert records.load_run("run").source_digest == config.source_digest


def test_seeds_of_another_source_are_no_part_of_a_study() -> None:
    one, other = (
        make_study(make_seed_result(seed, 980), source_digest=digest * 64)
        for seed, digest in ((0, "a"), (1, "b"))
    )
    assert find_difference(one, other) == "source of the net"
    assert find_difference(one, dataclasses.replace(other, source_digest="")) is None


def test_a_module_is_known_by_its_whole_file_and_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_net("kit", NET.replace("from blocks", "from .blocks"))
    digests = set()
    for blocks in (BLOCKS, BLOCKS + "WIDTH = 3\n", BLOCKS + "\n\n"):
        (tmp_path / "kit" / "blocks.py").write_text(blocks)
        code = find_code("kit.model:Net")
        assert code is not None
        assert code.path == str(tmp_path / "kit" / "model.py")
        digests.add(code.digest)
        assert find_net("kit.model:Net").code == code
    assert len(digests) == 2
    shutil.rmtree("kit")
    assert find_code("kit.model:Net") is None


def test_modules_above_two_files_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, blocks in (("one", BLOCKS), ("two", BLOCKS.replace("28)", "28, bias=False)"))):
        write_net(name, blocks=blocks)
        (Path(name) / "pyproject.toml").touch()
        (Path(name) / "nets").mkdir()
        (Path(name) / "model.py").rename(Path(name) / "nets" / "model.py")
    sizes = [
        len(list(find_net(f"{name}/nets/model.py").builder().parameters()))
        for name in ("one", "two", "one")
    ]
    assert sizes == [2, 1, 2]


def test_neighbors_of_two_files_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_net("one")
    write_net("two", blocks=BLOCKS.replace("28)", "28, bias=False)"))
    sizes = [
        len(list(find_net(f"{name}/model.py").builder().parameters())) for name in ("one", "two")
    ]
    assert sizes == [2, 1]


def test_paths_below_the_working_directory_are_shown_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative_path(tmp_path / "a" / "model.py") == "a/model.py"
    assert relative_path("/elsewhere/model.py") == "/elsewhere/model.py"


class Linked:
    """Finds a package in its folder, as ``pip install --editable`` has it found."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(self.folder)]) if name == self.name else None


@pytest.mark.parametrize("address", ["paper_layers.nets:net", "mine.py:net"])
def test_code_of_a_linked_package_counts(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, source = tmp_path / "work", tmp_path / "source"
    package = source / "paper_layers"
    package.mkdir(parents=True)
    work.mkdir()
    monkeypatch.chdir(work)
    (package / "__init__.py").touch()
    (package / "pool.py").write_text("factor = 1\n")
    (package / "nets.py").write_text("from paper_layers.pool import factor\ndef net(): pass\n")
    Path("mine.py").write_text("from paper_layers.nets import net as one\ndef net(): one()\n")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Linked("paper_layers", source)])
    before = find_code(address)
    assert before
    moved = tmp_path / "elsewhere"
    source.rename(moved)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path[:-1], Linked("paper_layers", moved)])
    again = find_code(address)
    assert again
    assert again.digest == before.digest
    (moved / "paper_layers" / "pool.py").write_text("factor = 2\n")
    changed = find_code(address)
    assert changed
    assert changed.digest != before.digest


@pytest.mark.parametrize("net_file", ["one/mine.py", "one/mine.ipynb"])
def test_what_code_puts_on_the_path_changes_no_digest(
    net_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "lib/kit"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lib" / "blocks.py").write_text("from kit import width\n")
    (tmp_path / "lib" / "kit" / "__init__.py").write_text("width = 1\n")
    lines = (
        "import sys\nsys.path.append('../../lib')\nimport torch, kit\nfrom blocks import width\n"
    )
    text = f"{lines}def net(): return torch.nn.Linear(784, width)\n"
    path = tmp_path / net_file
    monkeypatch.chdir(path.parent)
    path.write_text(text) if path.suffix == ".py" else write_notebook(path, text)
    address, lib = f"{path.name}:net", str(tmp_path / "lib")
    before = find_code(address)
    assert before
    # As after the code has run, in a kernel or a script.
    for changed in ([*sys.path, lib], [lib, *sys.path], ["../lib", *sys.path]):
        monkeypatch.setattr(sys, "path", changed)
        assert find_code(address) == before
    # Every process has these.
    monkeypatch.setattr(sys, "path", [*sys.path, lib])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}../lib")
    named = find_code(address)
    assert named
    assert named.digest != before.digest
    monkeypatch.delenv("PYTHONPATH")
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "linked.pth").write_text("import os\n../lib\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    assert find_code(address) == named


def test_netlet_itself_is_no_part_of_the_code_of_a_net(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    imports = Imports([tmp_path], elsewhere=True)
    assert imports.follow(path, ast.parse("from netlet.nets import build")) == []
    assert imports.others == []


@pytest.mark.parametrize(
    ("net", "named", "more"),
    [("Net", "Net", ""), ("Sequential", "FUNCTION", "; FUNCTION is one of yours that builds it")],
)
def test_a_run_of_python_without_an_address_says_how_to_give_one(
    net: str, named: str, more: str
) -> None:
    run = records.load_run(ROOT / "results" / "swift-scribble-seed0")
    with pytest.raises(NetError) as caught:
        find_net_of_run(dataclasses.replace(run, net=net), "runs/a", trusted=True)
    assert str(caught.value) == (
        f"runs/a: its net is {net}, of a file that the run does not name; pass "
        f"net_name='file.py:{named}' to netlet.fit, or use the net itself with its weights: "
        f"file.py:{named} --weights runs/a/weights.safetensors{more}"
    )
