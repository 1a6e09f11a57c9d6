"""Tests on real MNIST; skipped where it is not on the machine."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import run_module, start_interruptible

import netlet
from netlet.data import Dataset
from netlet.experiments import EXPERIMENTS


@pytest.mark.slow
@pytest.mark.mnist
def test_one_short_epoch_of_document_001s_recipe_learns(mnist: Dataset) -> None:
    part = dataclasses.replace(mnist, train=mnist.train.take(torch.arange(12_800)))
    run = netlet.fit(
        netlet.build(netlet.nets.mnistnet_1, 0),
        part,
        netlet.catalog.find_recipe("document_001").replace(epochs=1),
        val=1_280,
    )
    assert run.last_epoch.split == "val"
    assert run.last_epoch.correct > 0.85 * 1_280


@pytest.mark.slow
@pytest.mark.mnist
def test_the_pipeline_benchmark_runs_on_few_images(mnist: Dataset, tmp_path: Path) -> None:
    done = run_module(
        "benchmarks.pipeline",
        *[
            "--rows",
            "code_2.documented",
            "--images",
            "256",
            "--repeats",
            "1",
            "--workers",
            "0",
            "--out",
        ],
        tmp_path / "speed.json",
    )
    assert "code_2" in done.stdout
    (row,) = json.loads((tmp_path / "speed.json").read_text())["rows"]
    assert row["ratio"] > 0


@pytest.mark.slow
@pytest.mark.mnist
def test_the_busy_benchmark_runs(mnist: Dataset, tmp_path: Path) -> None:
    words = ["--backends", "compiled", "--threads", "1", "--loops", "1", "--turns", "1", "--out"]
    done = run_module("benchmarks.busy", *words, tmp_path / "busy.json")
    assert "| compiled, " in done.stdout
    (row,) = json.loads((tmp_path / "busy.json").read_text())["rows"]
    assert len(row["seconds"]) == 2


@pytest.mark.slow
@pytest.mark.mnist
def test_the_race_benchmark_runs_on_few_images(mnist: Dataset, tmp_path: Path) -> None:
    done = run_module(
        "benchmarks.race",
        *[
            "--experiments",
            "dash",
            "--turns",
            "1",
            "--images",
            "512",
            "--only",
            "T",
            "cold",
            "--out",
        ],
        tmp_path / "race.json",
    )
    assert "train_mnist_fast" in done.stdout
    found = json.loads((tmp_path / "race.json").read_text())
    peer, dash = found["rows"]
    assert (peer["parameters"], dash["parameters"]) == (215_194, 17_040)
    assert dash["cold_s"] > dash["warm_s"] > dash["train_s"] > 0
    assert dash["ratio"] == pytest.approx(
        dash["train_s"] / peer["train_s"], abs=0.01 / peer["train_s"]
    )
    assert 0 < found["peak"]["share"] < 1


@pytest.mark.slow
@pytest.mark.mnist
def test_ctrl_c_leaves_a_run_that_can_be_resumed(mnist: Dataset, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "netlet", "train", "code_1", "-o", f"{tmp_path}/mine"]
    running = start_interruptible(command)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("training "):
            break
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    resume = f"'netlet train --resume {tmp_path}/mine'"
    assert f"interrupted; {resume} continues after the last complete epoch" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize("name", ["swift", "mnistnet_1"])
def test_recipes_reach_the_required_accuracy_on_the_validation_split(
    mnist: Dataset, name: str
) -> None:
    """Scored on ``val``; the scores on ``test`` are in the records under results/."""
    run = EXPERIMENTS[name].run(mnist, seed=1_000, val=5_000)
    assert run.last_epoch.correct >= 4_955
    assert run.train_score.correct >= 0.995 * run.train_score.total
