"""How many threads a training uses, also beside other programs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import Netlet, linux_only
from torch import nn

from netlet import processor_load
from netlet.backends import choose_threads, torch_threads, use_torch_threads
from netlet.data import Dataset, load
from netlet.experiments import configure_run, find_experiment, parallelism, run_study
from netlet.processor_load import ProcessorLoad
from netlet.recipes import Recipe
from netlet.records import RunConfig
from netlet.training.throughput import measure_throughput

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


@pytest.mark.slow
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


@pytest.fixture
def quick_config(blob_data: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunConfig:
    """A run that is measured although it is short; nothing is remembered yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(parallelism, "_MIN_IMAGES", 1)
    experiment = find_experiment("8 P 8")
    return configure_run(experiment.replace(recipe=RECIPE), blob_data)


def choose(config: RunConfig, data: Dataset, seeds: int = 3) -> tuple[int, int]:
    chosen = parallelism.choose_parallelism(config, data, seeds, 2)
    return chosen.workers, chosen.threads


def test_a_study_uses_all_threads_in_one_process_if_that_is_faster(
    quick_config: RunConfig, blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for alone, together, expected in ((100.0, 120.0, (1, 2)), (100.0, 101.0, (2, 1))):
        monkeypatch.setattr(parallelism, "_measure", lambda *_, a=alone, t=together: (a, t))
        (parallelism.cache_folder() / "throughput.json").unlink(missing_ok=True)
        assert choose(quick_config, blob_data) == expected
        # It is measured once, and again for another batch size, or if the file is damaged.
        monkeypatch.setattr(parallelism, "_measure", lambda *_: pytest.fail("measured again"))
        assert choose(quick_config, blob_data, seeds=4) == expected
    measured: list[RunConfig] = []

    def measure(config: RunConfig, *_: object) -> tuple[float, float]:
        measured.append(config)
        return 1.0, 2.0

    monkeypatch.setattr(parallelism, "_measure", measure)
    recipe = {**quick_config.recipe, "batch_size": 30}
    choose(dataclasses.replace(quick_config, recipe=recipe), blob_data)
    for damaged in ("{", "[]", '{"a": [1]}'):
        (parallelism.cache_folder() / "throughput.json").write_text(damaged)
        assert choose(quick_config, blob_data) == (1, 2)
    assert len(measured) == 4
    monkeypatch.setattr(parallelism, "_MIN_IMAGES", 3 * len(blob_data.train) + 1)
    assert choose(quick_config, blob_data) == (2, 1)
    assert len(measured) == 4


def test_a_measurement_in_which_a_worker_failed_is_not_kept(
    quick_config: RunConfig, blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for failed in ((0.0, 120.0), (100.0, 0.0)):
        monkeypatch.setattr(parallelism, "_measure", lambda *_, f=failed: f)
        assert choose(quick_config, blob_data) == (2, 1)
    monkeypatch.setattr(parallelism, "_measure", lambda *_: (100.0, 120.0))
    assert choose(quick_config, blob_data) == (1, 2)


@pytest.mark.slow
def test_both_ways_to_use_the_processors_are_measured_in_workers(
    quick_config: RunConfig, blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(quick_config, blob_data) in ((2, 1), (1, 2))
    (rates,) = json.loads((parallelism.cache_folder() / "throughput.json").read_text()).values()
    assert all(rate > 0 for rate in rates)


def test_measuring_a_training_leaves_weights_and_random_numbers(blob_data: Dataset) -> None:
    net = nn.Sequential(make_net(blob_data), nn.Dropout(0.5))
    before, state = str(net.state_dict()), torch.get_rng_state()
    assert measure_throughput(net, blob_data, RECIPE, 0.01) > 0
    assert str(net.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seconds", [7, 8, 9])  # until step 15, 16, 17
def test_a_measurement_may_end_when_losses_are_read(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    clock = itertools.count()  # a second for each step after the first eight
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    images = (seconds + 1) * RECIPE.batch_size
    assert measure_throughput(make_net(blob_data), blob_data, RECIPE, seconds) == (
        pytest.approx(images / (seconds + 1))
    )


@pytest.mark.slow
def test_a_study_keeps_the_number_of_threads_that_it_was_begun_with(
    digits_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load(str(digits_file))
    experiment = find_experiment("8 P 8").replace(recipe=RECIPE)
    config = configure_run(experiment, images, dataset=str(digits_file), threads=2)
    begun = run_study(config, [0], tmp_path / "s", 1, data=images, progress=False)
    monkeypatch.setattr(parallelism, "choose_parallelism", lambda *_: pytest.fail("chosen anew"))
    once = dataclasses.replace(config, threads=1)
    study = run_study(once, [0, 1], tmp_path / "s", None, data=images, progress=False)
    assert study.environment["threads"] == begun.environment["threads"] == 2
    assert (
        json.loads((tmp_path / "s" / "seed-1" / "run.json").read_text())["environment"]["threads"]
        == 2
    )
