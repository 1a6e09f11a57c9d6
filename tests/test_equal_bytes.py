"""Equal runs write equal bytes: nothing random and no time is in a file, except where it is meant."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Netlet
from safetensors.torch import load_file
from torch import nn

from netlet import data, nets, records
from netlet.errors import NetError, TrainingError
from netlet.nets.shipped_weights import WEIGHTS_FOLDER
from netlet.nets.weights import load_weights, save_weights, weights_digest
from netlet.recipes import PLAIN
from netlet.records import RECORD, WEIGHTS
from netlet.training import Recorder, fit

FAST = ("--set", "epochs=1", "--set", "backend=eager")


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without all that differs between equal trainings on one machine."""
    record = copy.deepcopy(record)
    del record["started_at"], record["times"]
    for epoch in record["epochs"]:
        del epoch["train_s"], epoch["score_s"]
    for environment in (record["environment"], record["stretches"][0]["environment"]):
        # Somebody may edit netlet's sources between the two runs.
        del environment["commit"], environment["sources"]
    return record


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory, digits_file: Path) -> tuple[Path, Path]:
    """The folders of two equal runs, from two processes."""
    folder = tmp_path_factory.mktemp("twice")
    for name in ("one", "two"):
        command = [sys.executable, "-m", "netlet", "train", "speck", "--dataset", str(digits_file)]
        done = subprocess.run(
            [*command, "--out", name, *FAST],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
    return folder / "one", folder / "two"


@pytest.mark.slow
def test_equal_trainings_write_equal_weights_and_records(twice: tuple[Path, Path]) -> None:
    one, two = twice
    assert (one / WEIGHTS).read_bytes() == (two / WEIGHTS).read_bytes()
    first, second = (json.loads((folder / RECORD).read_text()) for folder in twice)
    assert without_times(first) == without_times(second)
    assert first["times"] != second["times"]


COMMANDS = [
    (("export", "RUN", "--to", "onnx"), "x.onnx"),
    (("export", "RUN", "--to", "c"), "x"),
    (("export", "RUN", "--to", "page"), "x.html"),
    (("card", "RUN"), "x.md"),
    (("report", "speck"), "x.html"),
    (("data", "make", "--train", "20", "--test", "10"), "x.npz"),
]
MORE_COMMANDS = [
    *COMMANDS,
    (("export", "RUN", "--to", "c", "--int8", "--dataset", "DATA"), "x"),
    (("export", "RUN", "--to", "c", "--with", "example"), "x"),
    (("export", "RUN", "--to", "arduino"), "x"),
    (("play", "RUN", "--no-open"), "x.html"),
    *((("report", "speck"), f"x.{suffix}") for suffix in ("md", "svg", "pdf", "png", "csv")),
    (("frontier", "speck"), "x.html"),
    (("data", "show", "DATA"), "x.png"),
]


def name_command(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def place_words(words: tuple[str, ...], run: Path, data: Path) -> list[str]:
    places = {"RUN": str(run), "DATA": str(data)}
    return [places.get(word, word) for word in words]


def assert_equal_files(one: Path, two: Path) -> None:
    names = [
        sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (one, two)
    ]
    assert names[0] == names[1] != []
    for name in names[0]:
        if (one / name).is_file():
            assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(("words", "out"), COMMANDS, ids=name_command)
def test_equal_commands_write_equal_files(
    words: tuple[str, ...],
    out: str,
    twice: tuple[Path, Path],
    digits_file: Path,
    netlet: Netlet,
    tmp_path: Path,
) -> None:
    for place in ("a", "b"):
        code, _, err = netlet(*place_words(words, twice[0], digits_file), "--out", f"{place}/{out}")
        assert code == 0, err
        time.sleep(1.1)  # so that a time in a file would differ
    assert_equal_files(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
@pytest.mark.parametrize(("words", "out"), MORE_COMMANDS, ids=name_command)
def test_other_processes_write_equal_files(
    words: tuple[str, ...], out: str, twice: tuple[Path, Path], digits_file: Path, tmp_path: Path
) -> None:
    """Each process has other hashes of text."""
    for place in ("a", "b"):
        command = place_words(words, twice[0], digits_file)
        done = subprocess.run(
            [sys.executable, "-m", "netlet", *command, "--out", f"{place}/{out}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert_equal_files(tmp_path / "a", tmp_path / "b")


def test_metadata_of_weights_is_in_order(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    metadata = {name: name.upper() for name in "hgfedcba"}
    for name, keys in (("one", metadata), ("two", dict(sorted(metadata.items())))):
        save_weights(net, tmp_path / f"{name}.safetensors", keys)
    content = (tmp_path / "one.safetensors").read_bytes()
    assert content == (tmp_path / "two.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    assert size % 8 == 0
    assert list(json.loads(content[8 : 8 + size])["__metadata__"]) == list("abcdefgh")
    for name, tensor in load_file(tmp_path / "one.safetensors").items():
        assert torch.equal(tensor, net.state_dict()[name])


def test_shipped_weights_have_the_digest_in_their_metadata() -> None:
    for path in WEIGHTS_FOLDER.glob("*.safetensors"):
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header["__metadata__"]
        net = nets.build(nets.find_net(metadata["net"]).builder, 0)
        load_weights(net, path)
        assert weights_digest(net) == metadata["digest"], path


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = weights_digest(net)
    broken = copy.deepcopy(net)
    for name in ("0.weight", "1.running_var"):
        broken.load_state_dict(net.state_dict())
        broken.state_dict()[name].view(-1)[0] = value
        for path in (tmp_path / "w.safetensors", tmp_path / "w.pt"):
            save_weights(broken, path) if path.suffix != ".pt" else torch.save(
                broken.state_dict(), path
            )
            with pytest.raises(NetError, match=rf"{name} has values that are not finite"):
                load_weights(net, path)
    assert weights_digest(net) == before


def test_a_mask_that_is_infinite_in_the_net_too_is_loaded(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    net.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    save_weights(net, tmp_path / "w.safetensors")
    load_weights(net, tmp_path / "w.safetensors")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
def test_weights_of_another_type_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    torch.save(
        {name: value.to(dtype) for name, value in net.state_dict().items()}, tmp_path / "w.pt"
    )
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(
        NetError,
        match=rf"wrong type: weight is {name}, in the net float32.*; save them in the net's type",
    ):
        load_weights(net, tmp_path / "w.pt")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floating_point_weights_are_converted_if_asked(dtype: torch.dtype, tmp_path: Path) -> None:
    net, file = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), tmp_path / "w.pt"
    saved = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }
    torch.save(saved, file)
    name = str(dtype).removeprefix("torch.")
    note = load_weights(net, file, convert=True)
    assert note == f"w.pt: its weights were converted from {name} to float32"
    for key, value in net.state_dict().items():
        assert torch.equal(value, saved[key].to(value.dtype))
    torch.save(net.state_dict(), file)
    assert load_weights(net, file, convert=True) == ""
    before = weights_digest(net)
    torch.save({**saved, "0.weight": torch.full((2, 2), 1e300, dtype=torch.float64)}, file)
    with pytest.raises(NetError, match=r"0\.weight has values that are not finite"):
        load_weights(net, file, convert=True)  # too large for float32
    torch.save({**saved, "0.weight": torch.ones(2, 2, dtype=torch.int32)}, file)
    with pytest.raises(NetError, match=r"wrong type: 0\.weight is int32"):
        load_weights(net, file, convert=True)
    assert weights_digest(net) == before


class Unused(nn.Module):
    """A net with a buffer that becomes infinite in training, and that no score depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(784, 10)
        self.register_buffer("largest", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.largest.fill_(float("inf"))
        return self.linear(x.flatten(1))


def test_a_training_whose_weights_diverge_writes_no_record(
    digits_file: Path, tmp_path: Path
) -> None:
    recipe = PLAIN.replace(epochs=1, backend="eager", precision="float32")
    recorder = Recorder(tmp_path / "run")
    with pytest.raises(TrainingError) as caught:
        fit(Unused(), data.load(str(digits_file)), recipe, callbacks=[recorder])
    assert str(caught.value) == (
        "after epoch 1, largest has values that are not finite (NaN or infinite): the training "
        "diverged; use a lower peak_lr"
    )
    assert not (tmp_path / "run" / RECORD).exists()
    assert not (tmp_path / "run" / WEIGHTS).exists()


@pytest.mark.slow
def test_the_order_of_metadata_does_not_change_the_digest(twice: tuple[Path, Path]) -> None:
    run = records.load_run(twice[0])
    net = nets.build(nets.find_net("speck").builder, 0)
    load_weights(net, twice[0] / WEIGHTS)
    assert weights_digest(net) == run.weights_digest
