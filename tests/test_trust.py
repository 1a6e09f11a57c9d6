"""A record is data: code that only a record, a ladder or a checkpoint names is not run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet, draw_blobs, set_options

from netlet import records
from netlet.errors import NetError
from netlet.experiments import build_experiment, find_ladder, load_experiment, load_trained_net
from netlet.records import RunConfig
from netlet.training import load_checkpoint

FAST = set_options(epochs=1, batch_size=60)
NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, num_classes=10):
        super().__init__(nn.Conv2d(1, num_classes, 28), nn.Flatten())
"""
# What somebody else puts in place of the net; the name of a module does the same.
EVIL = f"open('EXECUTED', 'w'){NET}"
REFUSAL = "loading this net would run the code in this "


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An own data set in the current folder, where net.py is, too."""
    monkeypatch.chdir(tmp_path)
    (images, labels), (more, answers) = draw_blobs(120, 0), draw_blobs(60, 1)
    path = tmp_path / "own.npz"
    np.savez(path, images=images, labels=labels, test_images=more, test_labels=answers)
    (tmp_path / "net.py").write_text(NET)
    yield "own.npz"
    assert not (tmp_path / "EXECUTED").exists()


@pytest.fixture
def received(data: str, netlet: Netlet) -> Path:
    """The folder of a run as somebody sends it, with a net that does something else, too."""
    code, _, err = netlet("train", "net.py:Net", "--dataset", data, "-o", "received", *FAST)
    assert code in (0, 1), err
    folder = Path("received")
    (folder / "net.py").write_text(EVIL)
    rename_net(folder, "received/net.py:Net")
    return folder


def rename_net(folder: Path, net: str) -> None:
    record = folder / records.RECORD
    values = json.loads(record.read_text())
    values["net"] = net
    record.write_text(json.dumps(values))


def test_no_command_runs_a_net_that_only_a_record_names(
    received: Path, data: str, netlet: Netlet, tmp_path: Path
) -> None:
    for net in ("received/net.py:Net", "os:abort", "this:s"):
        rename_net(received, net)
        would_run = f"{tmp_path}/{net}" if "/" in net else net
        kind = "file" if "/" in net else "module"
        for command in (
            ("evaluate", received, "--dataset", data),
            ("export", received, "--to", "onnx"),
            ("predict", "picture.png", "--net", received),
            ("play", received, "--no-open"),
        ):
            code, out, err = netlet(*map(str, command))
            assert (code, out) == (2, "")
            assert f"{would_run}: {REFUSAL}{kind}; if you trust it, pass --trust" in err
            assert len(err.splitlines()) == 1
        with pytest.raises(NetError, match=re.escape(REFUSAL)):
            load_trained_net(str(received))


def test_commands_that_need_no_net_never_run_one(received: Path, netlet: Netlet) -> None:
    for command in (
        ("runs", "."),
        ("card", "received"),
        ("report", "received", "-o", "report.md"),
        ("compare", "received", "received"),
        ("frontier", "."),
    ):
        netlet(*command)
    assert netlet("train", "--resume", "received")[0] in (0, 1, 2)


def test_a_trusted_record_runs_its_net(data: str, netlet: Netlet) -> None:
    assert netlet("train", "net.py:Net", "--dataset", data, "-o", "own", *FAST)[0] in (0, 1)
    assert netlet("evaluate", "own", "--dataset", data)[0] == 2
    assert netlet("evaluate", "own", "--dataset", data, "--trust")[0] == 0
    weights = f"own/{records.WEIGHTS}"
    assert netlet("evaluate", "net.py:Net", "--weights", weights, "--dataset", data)[0] == 0
    assert load_trained_net("own", trust=True).name == "net.py:Net"


def test_a_checkpoint_runs_code_that_the_command_line_names(
    data: str, netlet: Netlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("netlet.training.recorder.weights_to_bytes", stop)
        code, _, err = netlet("train", "net.py:Net", "--dataset", data, "-o", "own", *FAST)
    assert code == 130
    assert "'netlet train net.py:Net --resume own' continues" in err
    code, _, err = netlet("train", "--resume", "own")
    assert code == 2
    assert REFUSAL in err
    assert f"{Path.cwd()}/net.py:Net" in err
    config = RunConfig.from_dict(load_checkpoint(Path("own"))[1], "own")
    with pytest.raises(NetError, match=re.escape(REFUSAL)):
        load_experiment(config)
    code, _, err = netlet("train", "other.py:Net", "--resume", "own")
    assert code == 2
    assert "was started from" in err
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert "resumes with 'netlet train ../net.py:Net --resume ../own'" in netlet("runs", "..")[1]
    Path("../net.py").rename("moved.py")  # with the digest of the run
    Path("../own.npz").rename("own.npz")
    code, _, err = netlet("train", "--resume", "../own")
    assert code == 2
    assert "net.py, the code of its net, has been moved or deleted" in err
    assert "name the net where it is now: 'netlet train FILE.py:NET --resume ../own'" in err
    Path("own.npz").rename("hidden.npz")
    code, _, err = netlet("train", "moved.py:Net", "--resume", "../own")
    assert (code, "own.npz: this data set" in err, "put it back there" in err) == (2, True, True)
    Path("hidden.npz").rename("own.npz")
    # As if all had been copied, and the data set where it was has changed since.
    images, labels = draw_blobs(120, 2)
    np.savez("../own.npz", images=images, labels=labels, test_images=images, test_labels=labels)
    code, _, err = netlet("train", "moved.py:Net", "--resume", "../own")
    assert code in (0, 1), err


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_ladder_is_data(data: str, netlet: Netlet) -> None:
    Path("evil.py").write_text(EVIL)
    Path("own.toml").write_text(
        'title = "Own"\nabout = "One."\n[[rung]]\nexperiment = "evil.py:Net"\n'
        'name = "a"\ntitle = "A"\ntarget = "t"\n'
    )
    code, _, err = netlet("climb", "own.toml", "--dataset", data)
    assert code == 2
    assert f"{Path.cwd()}/evil.py:Net: {REFUSAL}" in err
    with pytest.raises(NetError, match=re.escape(REFUSAL)):
        build_experiment(find_ladder("own.toml").rungs[0])


def test_a_trial_is_data(data: str, netlet: Netlet) -> None:
    pytest.importorskip("optuna")
    Path("evil.py").write_text(EVIL)
    trial = {"net": "evil.py:Net", "recipe": "steady", "changes": {}, "seed": 0, "draw": 0}
    trial |= {"params": None, "correct": 1, "total": 2, "parameters": 3, "epochs": 1, "loss": 0.5}
    Path("trials.jsonl").write_text(json.dumps(trial) + "\n")
    threads = torch.get_num_threads()
    code, _, err = netlet("search", "crest", "--repeat", "1", "-o", "trials.jsonl")
    torch.set_num_threads(threads)
    assert code == 2
    assert REFUSAL in err
