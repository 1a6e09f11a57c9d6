"""A study says that all of its seeds begin with the same initial weights."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import Inline

from netlet.data import Dataset
from netlet.errors import NetletWarning
from netlet.experiments import configure_run, find_experiment, run_study
from netlet.experiments.same_start import warn_of_same_start
from netlet.recipes import Recipe
from netlet.records import RunConfig

NETS = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def seeded():
    torch.manual_seed(3)
    return make()

def broken():
    raise ValueError("no")

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, x):
        return self.head(x.flatten(1))

model = make()
"""
FAST = Recipe(epochs=1, batch_size=300, precision="float32", backend="eager")


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.py"
    path.write_text(NETS)
    return path


def configure(net: str, images: Dataset) -> RunConfig:
    return configure_run(find_experiment(net).replace(recipe=FAST), images)


def said(config: RunConfig, seeds: Sequence[int]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_same_start(config, seeds)
    return [str(one.message) for one in caught]


def test_a_net_with_the_same_weights_for_each_seed_is_told(nets: Path, few: Dataset) -> None:
    for name in ("model", "seeded"):
        config = configure(f"own.py:{name}", few)
        (text,) = said(config, [4, 5, 6])
        assert text.startswith(f"own.py:{name}: its initial weights are the same for each seed")
        assert text.endswith(
            ", so the spread over seeds does not include the initialization; to include it, name a "
            "class or a function that draws new initial weights"
        )
        assert said(config, [4]) == []
    for name in ("make", "Net"):
        assert said(configure(f"own.py:{name}", few), [4, 5]) == []
    assert said(configure("speck", few), [4, 5]) == []
    # What is wrong with a net is said by its training.
    broken = dataclasses.replace(config, net_source=f"{nets}:broken")
    assert said(broken, [4, 5]) == []


def test_a_study_says_so_once(nets: Path, blobs_for_mnist: Path, blob_data: Dataset) -> None:
    config = configure("own.py:model", blob_data)
    for seeds, count in ((range(3), 1), (range(3), 0)):  # then there is nothing to train
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", NetletWarning)
            study = run_study(config, seeds, Path("s"), 1, executor=Inline(), data=blob_data)
        texts = [str(one.message) for one in caught]
        assert sum("the same for each seed" in text for text in texts) == count
        assert len(study.seeds) == 3
