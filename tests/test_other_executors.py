"""Executors of other libraries train a study as this machine's processes do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from netlet import data, records
from netlet.experiments import configure_run, find_experiment, run_study

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def open_dask() -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@contextlib.contextmanager
def open_loky() -> Iterator[Executor]:
    loky = pytest.importorskip("loky")
    with loky.ProcessPoolExecutor(1) as executor:
        yield executor


@pytest.mark.parametrize("open_other", [open_dask, open_loky], ids=["dask", "loky"])
def test_a_study_by_another_executor_has_the_same_weights(
    open_other: Callable[[], contextlib.AbstractContextManager[Executor]],
    digits_file: Path,
    tmp_path: Path,
) -> None:
    images = data.load(str(digits_file))
    experiment = find_experiment("16 P 8")
    quick = experiment.replace(recipe=experiment.recipe.replace(epochs=2, batch_size=60))
    # Only this process knows where the images are.
    config = configure_run(quick, images, dataset="elsewhere.npz")
    epochs: list[int] = []
    with open_other() as executor:
        study = run_study(
            config,
            [0, 1],
            tmp_path / "other",
            1,
            lambda event: epochs.append(event.epochs),
            executor=executor,
            data=images,
        )
    assert epochs == [0, 1, 2, 2] * 2  # each epoch, and the end of each seed
    local = run_study(config, [0, 1], tmp_path / "local", 2, progress=False, data=images)
    assert [one.weights_digest for one in study.seeds] == [
        one.weights_digest for one in local.seeds
    ]
    run = records.load_run(tmp_path / "other" / "seed-1")
    assert len(run.epochs) == 2
