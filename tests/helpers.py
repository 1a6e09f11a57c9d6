"""Functions that several test files use: small data sets, seeds and studies."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from netlet.data import MNIST, Source, write_idx
from netlet.data.sources import File, Part
from netlet.errors import NetletError, SandboxError
from netlet.recipes import QUICK
from netlet.records import CalibrationBin, Mistake, SeedResult, Study, to_json_value
from netlet.sandbox import find_program

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests" / "fixtures"

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux: GCC, ELF object files, or /proc"
)

# The fixture ``netlet``: arguments of the command line -> exit code, stdout, stderr.
Netlet = Callable[..., tuple[int, str, str]]


def _why_no_sandbox() -> str:
    """Return why untrusted code cannot be run here; empty if it can."""
    try:
        find_program()
    except SandboxError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(_why_no_sandbox()), reason=_why_no_sandbox())


def few_fast(values: Iterable[Any], fast: int) -> list[Any]:
    """Return the parameters of a test, of which all but the first few belong to the slow suite."""
    values = list(values)
    slow = [pytest.param(*_as_tuple(value), marks=pytest.mark.slow) for value in values[fast:]]
    return [*values[:fast], *slow]


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def vector_widths() -> list[tuple[str, ...]]:
    """Return flags for a C compiler: for this processor, and for ones with fewer lanes.

    Without ``__SSE2__`` int8 has no vectors, as on a microcontroller; with ``__ARM_NEON`` instead
    it has those of processors whose instructions it does not know.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return [("-march=native",), ()]
    cpuinfo = Path("/proc/cpuinfo")
    features = cpuinfo.read_text(encoding="utf-8").split() if cpuinfo.exists() else []
    levels = {"x86-64-v3": "avx2", "x86-64-v2": "sse4_2"}
    known = [(f"-march={level}",) for level, feature in levels.items() if feature in features]
    return [
        ("-march=native",),
        *known,
        ("-msse2",),
        ("-U__SSE2__",),
        ("-U__SSE2__", "-D__ARM_NEON"),
    ]


def set_options(**values: object) -> tuple[str, ...]:
    """Return ``--set key=value`` for each of the values."""
    return tuple(word for key, value in values.items() for word in ("--set", f"{key}={value}"))


def run_module(module: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run ``python -m MODULE WORDS...`` at the root of the repository, and expect exit code 0."""
    command = [sys.executable, "-m", module, *map(str, words)]
    # Without what tests set for OpenMP: benchmarks write no record with it.
    own = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True)


def start_interruptible(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process that Ctrl-C (SIGINT) ends, also where the tests themselves ignore it.

    A shell starts a command in the background with SIGINT ignored, and children inherit that.
    """
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def flat_net() -> nn.Module:
    """Build the smallest net for MNIST."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def draw_blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images ``N H W`` of ten easy classes, a bright bar at the height of the class."""
    random = np.random.default_rng(seed)
    labels = (np.arange(n) % 10).astype(np.uint8)
    images = random.integers(0, 60, (n, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 5 + 2 * label, 4:24] = 250
    return images, labels


def write_blob_source(
    folder: Path, train: int = 600, test: int = 100, suffix: str = ".gz"
) -> Source:
    """Write four IDX files named like MNIST's into ``folder``, and return their source."""
    parts = []
    for part, n, seed in ((MNIST.train, train, 0), (MNIST.test, test, 1)):
        files = []
        for file, values in zip((part.images, part.labels), draw_blobs(n, seed), strict=True):
            write_idx(folder / f"{file.name}{suffix}", values)
            raw = encode_idx(values)
            packed = gzip.compress(raw, mtime=0)
            files.append(File(file.name, len(raw), md5_of(raw), md5_of(packed)))
        parts.append(Part(part.name, *files, n))
    return dataclasses.replace(MNIST, train=parts[0], test=parts[1])


def encode_idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.tobytes()


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def make_seed_result(
    seed: int,
    correct: int,
    *,
    total: int = 1_000,
    train_correct: int = 590,
    running: int = 580,
    best: int | None = None,
    verdict: str = "PASS",
    train_s: float = 1.0,
    first: int = 0,
) -> SeedResult:
    """Return the result of a seed with two epochs and ten classes.

    The images from ``first`` on are the wrong ones, each classified as the next class. ``running``
    is the training score of the last epoch, counted while the net still changed.
    """
    wrong = range(first, first + total - correct)
    # number of a calibration bin -> images, correct ones, mean confidence
    in_bin = {7: (total - correct, 0, 0.75), 9: (correct, correct, 0.99)}
    return SeedResult(
        seed=seed,
        correct=correct,
        correct_by_epoch=(correct - 1 if best is None else best, correct),
        train_correct=train_correct,
        train_correct_by_epoch=(running - 10, running),
        train_losses=(0.5, 0.25),
        held_out_losses=(0.4, 0.2),
        verdict=verdict,
        mistakes=tuple(
            Mistake(image % total, image % 10, (image + 1) % 10, 0.75) for image in wrong
        ),
        calibration=tuple(
            CalibrationBin(k / 10, (k + 1) / 10, *in_bin.get(k, (0, 0, 0.0))) for k in range(10)
        ),
        train_s=train_s,
        total_s=2.0,
        weights_digest=f"{seed:064x}",
    )


def make_study(*seeds: SeedResult, **changes: object) -> Study:
    """Return a study of these seeds on 600 training and 1,000 test images; the net is one layer."""
    total = seeds[0].correct + len(seeds[0].mistakes)
    sizes = {"kernel": [3, 3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}
    row = {"name": "0", "kind": "Conv2d", "output": [10, 1, 1], "parameters": 3, "macs": 9}
    row |= {"field": [3, 3], "jump": [1, 1], **sizes, "shared": False}
    field_row = {"name": "0", "kind": "Conv2d", "n_in": [28, 28], "k": [3, 3], "s": [1, 1]}
    field_row |= {"p": [0, 0], "d": [1, 1], "n_out": [1, 1], "r_in": [1, 1], "j_in": [1, 1]}
    field_row |= {"r_out": [3, 3], "j_out": [1, 1]}
    counts = {"parameters": 3, "trainable": 3, "macs": 9, "field": [3, 3], "input_bytes": 3_136}
    counts |= {"forward_backward_bytes": 80, "parameter_bytes": 12, "activation_bytes": 40}
    summary = {"net": "Net", "input": [1, 28, 28], "rows": [row], **counts, "notes": []}
    summary |= {"non_trainable": 0, "total_bytes": 3_228}
    checksums = {"train": "a" * 64, "test": "b" * 64}
    digest_lines = "".join(f"{name} {sum_}\n" for name, sum_ in sorted(checksums.items()))
    values: dict[str, object] = {
        "name": "swift",
        "net": "swift",
        "recipe": to_json_value(QUICK.replace(epochs=2)),
        "budget": None,
        "cost": {
            "parameters": 3,
            "macs": 9,
            "weight_bytes": 12,
            "activation_bytes": 40,
            "kinds": {"Conv2d": ["0"]},
            "epochs": 2,
        },
        "data": {
            "name": "mnist",
            "digest": hashlib.sha256(digest_lines.encode()).hexdigest(),
            "checksums": checksums,
            "images": {"train": 600, "test": total},
            "shape": [1, 28, 28],
            "classes": 10,
            "class_names": list("0123456789"),
        },
        "split": "test",
        "total": total,
        "train_total": 600,
        "class_sizes": (total // 10,) * 10,
        "lr_by_epoch": (0.01, 0.0),
        "summary": summary,
        "receptive_field": {"size": [3, 3], "rows": [field_row], "why_unknown": ""},
        "precision": "float32",
        "backend": "eager",
        "seeds": seeds,
        "environment": {
            "threads": 1,
            "cores": 2,
            "cpu": "a processor",
            "netlet": "0",
            "torch": "2",
            "python": "3",
            "numpy": "2",
            "device": "cpu",
            "system": "Linux",
        },
    }
    return Study(**values | changes)  # type: ignore[arg-type]


class Inline(Executor):
    """Runs tasks at once in this process, which has blobs instead of MNIST; some die or fail."""

    def __init__(self, *errors: Exception | None) -> None:
        self._errors = list(errors)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            if self._errors and (error := self._errors.pop(0)) is not None:
                raise error
            future.set_result(fn(*args, **kwargs))
        except NetletError as caught:
            future.set_exception(caught)
        return future


def is_unfinished(name: str) -> bool:
    """Return whether a file's name is that of the unfinished version of another one."""
    return name.startswith(".") and ".netlet-" in name and name.endswith(".part")


def write_notebook(path: Path, *cells: str, outputs: str = "", count: int | None = None) -> Path:
    """Write a notebook with code cells.

    Args:
        path: Its path, which is returned.
        cells: The code of each cell.
        outputs: What each cell has printed.
        count: The number in brackets beside each cell.
    """
    shown = [{"output_type": "stream", "name": "stdout", "text": outputs}] if outputs else []
    made = [
        {"cell_type": "code", "execution_count": count, "outputs": shown, "source": cell}
        for cell in cells
    ]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4}))
    return path
