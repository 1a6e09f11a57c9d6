"""Weights files: netlet's and others', valid and invalid."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
from helpers import Netlet, few_fast
from torch import nn

from netlet import nets
from netlet.data import make_scribble, save_npz
from netlet.errors import NetError
from netlet.nets.weights import load_weights, save_weights, weights_digest
from netlet.records.upgrade import OLD_LAYER_NAMES


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/netlet-was-here"),))  # type: ignore[return-value]


def test_saved_weights_load_unchanged(tmp_path: Path) -> None:
    one, two = nets.mnistnet_1(), nets.mnistnet_1()
    save_weights(one, tmp_path / "w.safetensors", {"name": "x"})
    torch.save(one.state_dict(), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        assert weights_digest(two) != weights_digest(one)
        load_weights(two, tmp_path / name)
        assert weights_digest(two) == weights_digest(one)
        two = nets.mnistnet_1()


@pytest.mark.parametrize("name", OLD_LAYER_NAMES)
def test_weights_with_the_layer_names_of_version_0_1_load(name: str, tmp_path: Path) -> None:
    one, two = (nets.build(nets.NETS[name].builder, seed) for seed in (0, 1))
    old_names = {new: old for old, new in OLD_LAYER_NAMES[name].items()}
    state = {
        ".".join([old_names.get(layer, layer), *rest]): value
        for key, value in one.state_dict().items()
        for layer, *rest in [key.split(".")]
    }
    assert state.keys() != one.state_dict().keys()
    torch.save(state, tmp_path / "old.pt")
    load_weights(two, tmp_path / "old.pt")
    assert weights_digest(two) == weights_digest(one)


def test_weights_of_another_net_are_refused_and_the_net_is_unchanged(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    torch.save(
        {"0.weight": torch.zeros(2, 1, 5, 5), "0.bias": torch.zeros(2), "extra": torch.zeros(1)},
        tmp_path / "w.pt",
    )
    before = weights_digest(net)
    with pytest.raises(NetError) as caught:
        load_weights(net, tmp_path / "w.pt")
    message = str(caught.value)
    assert "missing: 1.weight, 1.bias, 1.running_mean" in message
    assert "unexpected: extra" in message
    assert "wrong shape: 0.weight is 2x1x5x5, in the net 2x1x3x3" in message
    assert weights_digest(net) == before


@pytest.mark.parametrize(
    ("channels", "classes", "width", "helps"),
    few_fast(
        [(3, 10, 4, True), (1, 5, 4, True), (3, 5, 4, True), (1, 10, 8, False), (3, 10, 8, False)],
        3,
    ),
)
def test_weights_for_other_images_are_refused_with_the_option_that_helps(
    channels: int, classes: int, width: int, helps: bool, netlet: Netlet, tmp_path: Path
) -> None:
    (tmp_path / "zoo.py").write_text(
        "from torch import nn\n\n\ndef zoo(shape=(1, 28, 28), classes=10):\n    return nn.Sequential("
        "nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear(4, classes))\n"
    )
    other = nn.Sequential(
        *(nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(width, classes)),
    )
    torch.save(other.state_dict(), tmp_path / "w.pt")
    words = ("export", "zoo.py:zoo", "--weights", "w.pt", "--to", "c")
    code, _, err = netlet(*words)
    assert (code, "these weights belong to another net; wrong shape: " in err) == (2, True)
    remedy = "; if they were trained on other images, pass --dataset to export, evaluate,"
    assert (remedy in err) == helps
    images = make_scribble(30, 30).with_channels(channels)
    names = tuple(map(str, range(classes)))
    kept = [split.labels < classes for split in (images.train, images.held_out)]
    few = dataclasses.replace(
        images,
        class_names=names,
        train=images.train.take(kept[0]),
        held_out=images.held_out.take(kept[1]),
    )
    save_npz(few, tmp_path / "own.npz")
    code, _, err = netlet(*words, "--dataset", "own.npz")
    assert code == (0 if helps else 2), err


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    witness = Path("/tmp/netlet-was-here")
    witness.unlink(missing_ok=True)
    torch.save({"weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(
        NetError, match=r"evil\.pt: refused, since loading it would run code stored in the file"
    ):
        load_weights(nn.Linear(1, 1), tmp_path / "evil.pt")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"rubbish", "expected a safetensors file, found a broken one"),
        ("w.pt", b"rubbish", "w.pt: "),
        ("w.pt", pickle.dumps([1, 2]), "w.pt: "),
    ],
)
def test_a_file_without_weights_is_reported(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NetError, match=message) as caught:
        load_weights(nn.Linear(1, 1), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_list_of_tensors_are_reported(tmp_path: Path) -> None:
    with pytest.raises(NetError, match="no such weights file"):
        load_weights(nn.Linear(1, 1), tmp_path / "w.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(NetError, match=r"expected a state_dict \(names and tensors\), found list"):
        load_weights(nn.Linear(1, 1), tmp_path / "list.pt")
