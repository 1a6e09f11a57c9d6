"""How many threads a training uses, also beside other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import Netlet, linux_only
from torch import nn

from netlet import processor_load
from netlet.backends import choose_threads, torch_threads, use_torch_threads
from netlet.data import Dataset
from netlet.processor_load import ProcessorLoad
from netlet.recipes import Recipe

RECIPE = Recipe(epochs=1, batch_size=20, backend="eager")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    with use_torch_threads(2):
        yield


def make_net(blob_data: Dataset) -> nn.Module:
    size = blob_data.train.images[0].numel()
    return nn.Sequential(nn.Flatten(), nn.Linear(size, blob_data.classes))


def pretend_step_times(monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> None:
    monkeypatch.setattr(torch_threads, "_time_step", lambda _b, _x, _y, threads: seconds[threads])


def test_one_thread_is_chosen_only_if_it_is_clearly_faster(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = make_net(blob_data)
    before = [parameter.clone() for parameter in net.parameters()]
    pretend_step_times(monkeypatch, {2: 0.05, 1: 0.02})
    assert choose_threads(net, blob_data, RECIPE, "float32") == 1
    pretend_step_times(monkeypatch, {2: 0.021, 1: 0.02})
    assert choose_threads(net, blob_data, RECIPE, "float32") == 2
    assert torch.get_num_threads() == 2
    for parameter, value in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, value, rtol=0, atol=0)


def test_choosing_threads_trains_a_copy_and_draws_no_random_number(blob_data: Dataset) -> None:
    net = nn.Sequential(make_net(blob_data), nn.Dropout(0.5))
    digest, state = str(net.state_dict()), torch.get_rng_state()
    assert choose_threads(net, blob_data, RECIPE, "float32") in (1, 2)
    assert str(net.state_dict()) == digest
    assert torch.equal(torch.get_rng_state(), state)


@linux_only
def test_the_compiled_backend_keeps_its_threads(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_step_times(monkeypatch, {2: 0.05, 1: 0.01})
    recipe = RECIPE.replace(backend="compiled")
    assert choose_threads(make_net(blob_data), blob_data, recipe, "float32") == 2


def test_a_net_that_fails_is_left_to_the_training(blob_data: Dataset) -> None:
    class Fails(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError

    assert choose_threads(Fails(2, 3), blob_data, RECIPE, "float32") == 2


def test_the_load_of_other_programs_is_what_the_system_counts_without_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters, clock, own = tmp_path / "stat", iter((100.0, 110.0)), iter((1.0, 4.0))
    monkeypatch.setattr(processor_load, "_COUNTERS", counters)
    monkeypatch.setattr(processor_load.os, "sysconf", lambda _: 100)
    monkeypatch.setattr(processor_load.os, "times", lambda: (next(own), 0.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(processor_load.time, "monotonic", lambda: next(clock))
    counters.write_text("cpu  1000 0 0 5000 700 0 0 0 0 0\ncpu0 1 1 1 1\n")
    load = ProcessorLoad()
    counters.write_text("cpu  2000 100 50 5500 900 0 0 50 0 0\ncpu0 1 1 1 1\n")
    assert load.of_others() == pytest.approx((12.0 - 3.0) / 10)


def test_an_unknown_load_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_load, "_COUNTERS", tmp_path / "missing")
    assert ProcessorLoad().of_others() == 0


def test_train_says_that_it_uses_one_thread_and_records_it(
    netlet: Netlet, blobs_for_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessorLoad, "of_others", lambda _: 1.9)
    pretend_step_times(monkeypatch, {2: 0.05, 1: 0.01})
    words = ("train", "speck", "--epochs", "1", "--set", "backend=eager", "--out")
    _, _, err = netlet(*words, "adapted")
    assert "training uses 1 thread instead of 2 (pass --threads 2 to use 2)" in err
    assert read_threads("adapted") == 1
    _, _, err = netlet(*words, "given", "--threads", "2")
    assert "instead of" not in err
    assert read_threads("given") == 2


def read_threads(folder: str) -> int:
    return json.loads((Path(folder) / "run.json").read_text())["environment"]["threads"]  # type: ignore[no-any-return]
