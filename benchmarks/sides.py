"""What a race measures: each public function is one side, to be run in a process of its own.

``benchmarks/race.py`` calls a function by its name, which also stands in the record.

Seconds are those of training only, from the first access to the training images to the final
weights, unless a name says otherwise. Other people's recipes are written anew from their published
descriptions, and keep their data in memory if the original does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

Figures = dict[str, Any]


def train_mnist_fast(images: int, threads: int, layout: str) -> Figures:
    """Time T: train_mnist_fast's recipe."""
    import torch

    from benchmarks.peers import train_mnist_fast
    from netlet import data

    torch.set_num_threads(threads)
    began = time.perf_counter()
    digits = data.load("mnist")
    found = train_mnist_fast(digits.train.take(torch.arange(images)), digits.held_out, layout)
    return {**found, "warm_s": time.perf_counter() - began}


def experiment(images: int, name: str, threads: int) -> Figures:
    """Time an experiment of netlet's, without progress output or records."""
    import torch

    from netlet import data
    from netlet.experiments import EXPERIMENTS

    torch.set_num_threads(threads)
    began = time.perf_counter()
    digits = data.load("mnist")
    digits = dataclasses.replace(digits, train=digits.train.take(torch.arange(images)))
    run = EXPERIMENTS[name].run(digits, seed=0)
    return {
        "train_s": run.times["train_s"],
        "warm_s": time.perf_counter() - began,
        "correct": run.last_epoch.correct,
        "epochs": len(run.epochs),
        "parameters": run.cost["parameters"],
        "backend": run.backend,
        "precision": run.precision,
    }


def usual(images: int, name: str, workers: int) -> Figures:
    """Time the first epoch of an experiment in the usual pipeline.

    ``benchmarks/pipeline.py`` describes that pipeline.
    """
    from benchmarks.pipeline import find_training, time_usual_pipeline

    parameters = sum(p.numel() for p in find_training(name).builder().parameters())
    return {
        "train_s": time_usual_pipeline(name, images, workers, epochs=1)[0],
        "epochs": 1,
        "parameters": parameters,
    }


def keras_convnet(images: int) -> Figures:
    """Time Keras's own MNIST example on JAX: the second epoch, since the first compiles."""
    from benchmarks.peers import keras_convnet

    return keras_convnet(*_arrays(images))


def keras_chain(images: int, name: str) -> Figures:
    """Time an experiment's net on Keras and JAX: the second epoch, without augmentation."""
    from benchmarks.peers import keras_chain
    from netlet.backends.cpu.build_program import read_program
    from netlet.experiments import EXPERIMENTS

    chosen = EXPERIMENTS[name]
    return keras_chain(
        *_arrays(images), read_program(chosen.net.builder(), (1, 28, 28)), chosen.recipe
    )


def _arrays(images: int) -> tuple[Any, Any]:
    """Return training images as float32 ``N H W C`` from 0 to 1, and their labels."""
    from netlet import data

    train = data.load("mnist").train
    pixels = train.images[:images, 0, :, :, None].numpy()
    return (pixels / 255).astype("float32"), train.labels[:images].numpy()


def peak(images: int, threads: int, precision: str) -> Figures:
    """Return the multiply-adds per second of a large matrix product, the best of 12."""
    import torch

    torch.set_num_threads(threads)
    n = 2_048
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(n, n).to(kind), torch.randn(n, n).to(kind)
    seconds = []
    for _ in range(12):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return {"macs_per_s": n**3 / min(seconds)}


def step_macs(net: nn.Module) -> int:
    """Return the multiply-adds per image of a training step of a net of MNIST images.

    These are the forward pass and the gradients of weights and inputs. The gradient of the images
    is not needed and not counted.
    """
    from netlet.analysis import trace

    seen = trace(net)
    macs = [step.macs or 0 for step in seen.leaves() if step.macs]
    return 3 * sum(macs) - macs[0]


def cold(images: int, name: str, threads: int) -> Figures:
    """Time a whole ``netlet train`` from outside, including start-up and the record."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "netlet",
            "train",
            name,
            "--threads",
            str(threads),
            "--out",
            folder,
        ]
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)  # 1: budget missed
        cold_s = time.perf_counter() - began
        record = Path(folder) / "run.json"
        return {
            "cold_s": cold_s,
            "cold_beyond_training_s": cold_s - json.loads(record.read_text())["times"]["train_s"],
        }


def study(images: int, name: str, seeds: int) -> Figures:
    """Time ``netlet study`` with several seeds, and ``netlet train`` once for each of them."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        _netlet("study", name, "--seeds", str(seeds), "--out", f"{folder}/study")
        middle = time.perf_counter()
        for seed in range(seeds):
            _netlet("train", name, "--seed", str(seed), "--out", f"{folder}/{seed}")
        return {"study_s": middle - began, "one_by_one_s": time.perf_counter() - middle}


def _netlet(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netlet", *words], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):  # 1: budget missed
        sys.exit(f"netlet {' '.join(words)}: {done.stderr}")


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
