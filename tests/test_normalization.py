"""How images are normalized: said, recorded, and guessed for weights that somebody else trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet
from PIL import Image
from torch import nn

from netlet.budgets import Score
from netlet.data import Dataset
from netlet.errors import RecipeError
from netlet.evaluation import evaluate, find_better_normalization
from netlet.experiments import load_trained_net
from netlet.recipes import Recipe

NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(1, 10, 28)
    def forward(self, x):
        return self.head(torch.relu(x - 0.5)).flatten(1)
"""
MEAN_STD = ("--mean", "0", "--std", "1")


@pytest.fixture(autouse=True)
def weights(netlet: Netlet, blobs_for_mnist: Path, blob_data: Dataset) -> str:
    """Weights of a net that was trained on gray levels 0 to 1, and takes others for noise."""
    Path("net.py").write_text(NET)
    # Each class is a bright bar: its template is the mean of its images.
    bright = torch.relu(blob_data.train.images.float() / 255 - 0.5)
    labels = blob_data.train.labels
    weight = torch.stack([bright[labels == k].mean(0) for k in range(10)])
    weight = weight - weight.mean(0)
    # Any other offset adds a constant that belongs to no image: the last class then wins.
    weight[9] += 1
    bias = torch.zeros(10)
    bias[9] = -float(bright.sum((1, 2, 3)).mean())
    torch.save({"head.weight": weight, "head.bias": bias}, "w.pt")
    return "w.pt"


@pytest.mark.slow
def test_evaluate_says_how_it_normalizes_and_suggests_what_is_better(netlet: Netlet) -> None:
    code, out, err = netlet("evaluate", "net.py", "--weights", "w.pt")
    assert code == 0
    assert (
        out.splitlines()[-1]
        == "images normalized with mean 0.1307, std 0.3081 (change with --mean and --std)"
    )
    (line,) = err.splitlines()
    assert "with mean 0.1307, std 0.3081, but " in line
    assert "with --mean 0 --std 1; pass both options, since the weights were" in line
    found = json.loads(netlet("evaluate", "net.py", "--weights", "w.pt", *MEAN_STD, "--json")[1])
    assert (found["mean"], found["std"]) == (0, 1)
    assert f"{found['score']['percent']:.2f}% with --mean 0" in line
    assert netlet("evaluate", "net.py", "--weights", "w.pt", *MEAN_STD)[2] == ""
    assert netlet("evaluate", "net.py", "--weights", "w.pt", "--mean", "0.2")[2] == ""


def test_a_good_score_is_not_questioned(blob_data: Dataset) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    good, poor = Score("test", 98, 100), Score("test", 97, 100)
    assert find_better_normalization(net, blob_data.held_out, Recipe(), 10, good) is None
    # An untrained net is no better with any other.
    assert find_better_normalization(net, blob_data.held_out, Recipe(), 10, poor) is None


def test_images_from_minus_one_to_one_are_tried_too(blob_data: Dataset) -> None:
    halves = Recipe(mean=0.5, std=0.5)

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bars = torch.stack([x[:, 0, 2 + 2 * k : 5 + 2 * k].mean((1, 2)) for k in range(10)], 1)
            return torch.where(x.amin((1, 2, 3)).lt(-0.99)[:, None], bars, -bars)

    found = evaluate(Net(), blob_data.held_out, Recipe(), 10).score
    better = find_better_normalization(Net(), blob_data.held_out, Recipe(), 10, found)
    assert better is not None
    assert (better[0].mean, better[0].std) == (halves.mean, halves.std)


@pytest.mark.slow
def test_exports_normalize_as_they_are_told_and_say_so(netlet: Netlet) -> None:
    onnx = pytest.importorskip("onnx")
    command = ("export", "net.py", "--weights", "w.pt")
    code, out, err = netlet(*command, "--to", "onnx", *MEAN_STD)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "normalization included: mean 0, std 1"
    metadata = {p.key: p.value for p in onnx.load("Net.onnx").metadata_props}
    assert metadata["normalization"] == "mean 0, std 1 of gray levels 0 to 1, inside"
    code, out, err = netlet(*command, "--to", "page", "--json")
    assert code == 0
    assert (json.loads(out)["mean"], json.loads(out)["std"]) == (0.1307, 0.3081)
    assert "with --mean 0 --std 1" in err
    assert "<dt>normalization</dt><dd>mean 0.1307, std 0.3081</dd>" in Path("Net.html").read_text()
    code, out, err = netlet(
        "play", "net.py", "--weights", "w.pt", "--no-open", "-o", "page.html", *MEAN_STD
    )
    assert code == 0
    assert "the page normalizes images with mean 0, std 1 (change with --mean and --std)" in err
    assert "mean 0, std 1" in Path(out.strip()).read_text()


@pytest.mark.slow
def test_the_export_with_other_options_is_another_function(netlet: Netlet) -> None:
    scores = []
    for options in ((), MEAN_STD):
        out = netlet("export", "net.py", "--weights", "w.pt", "--to", "page", *options, "--json")[1]
        scores.append(json.loads(out)["verification"]["export"]["correct"])
    assert scores[0] < scores[1]


@pytest.mark.slow
def test_predict_takes_the_options_too(netlet: Netlet, blob_data: Dataset) -> None:
    for k in range(3):
        Image.fromarray(np.asarray(blob_data.held_out.images[k, 0])).save(f"{k}.png")
    command = (
        "predict",
        "0.png",
        "1.png",
        "2.png",
        "--raw",
        "--net",
        "net.py",
        "--weights",
        "w.pt",
    )
    code, out, _ = netlet(*command, *MEAN_STD)
    assert code == 0
    assert (
        out.splitlines()[-1]
        == "images normalized with mean 0, std 1 (change with --mean and --std)"
    )
    found = json.loads(netlet(*command, *MEAN_STD, "--json")[1])
    assert (found["mean"], found["std"]) == (0, 1)
    expected = [str(label) for label in blob_data.held_out.labels[:3].tolist()]
    assert [entry["digit"] for entry in found["predictions"]] == expected
    other = json.loads(netlet(*command, "--json")[1])
    assert other["predictions"] != found["predictions"]


@pytest.mark.parametrize("command", ["evaluate", "export", "play"])
def test_a_deviation_of_zero_is_refused_in_one_line(netlet: Netlet, command: str) -> None:
    options = ("--to", "c") if command == "export" else ("--no-open",) if command == "play" else ()
    code, out, err = netlet(command, "net.py", "--weights", "w.pt", "--std", "0", *options)
    assert (code, out) == (2, "")
    assert "std=0.0 is out of range; give a number above 0" in err
    with pytest.raises(RecipeError, match="std=0 is out of range"):
        load_trained_net("net.py", Path("w.pt"), std=0)
