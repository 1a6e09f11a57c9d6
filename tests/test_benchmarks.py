"""The benchmarks: both sides of a comparison do the same."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import linux_only
from PIL import Image
from torch import nn

from benchmarks import busy, c_latency, c_sides, grade_class, pipeline, transforms
from benchmarks.harness import make_parser
from benchmarks.nets import NETS
from netlet import catalog, data
from netlet.data.augment import apply_warp, draw_inverse_maps
from netlet.experiments import EXPERIMENTS
from netlet.recipes import AUGMENTS, STEADY, Warp
from tools import export, speed

ROOT = Path(__file__).parent.parent
BENCHMARKS = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))
WARPS = {
    "rotation": Warp(rotate_deg=20),
    "rotation_nearest": Warp(rotate_deg=7, fill=1, interpolation="nearest"),
    "affine": Warp(rotate_deg=15, shift_px=2.3, scale=0.1, shear_deg=9),
    "affine_nearest": Warp(rotate_deg=10, scale=0.05, interpolation="nearest"),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_imported(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("name", WARPS)
def test_pillow_and_netlet_warp_alike(name: str) -> None:
    op, images = WARPS[name], data.make_scribble(train=20, test=10).train.images
    with mock.patch.object(torch, "rand", lambda *size, dtype, **_: torch.ones(size, dtype=dtype)):
        maps = draw_inverse_maps(op, len(images), torch.Generator())
    expected = apply_warp(images.float(), maps, op)[:, 0]
    with mock.patch.object(transforms, "_uniform", lambda low, high: high):
        pictures = [Image.fromarray(image[0].numpy()) for image in images]
        warped = [np.array(transforms.random_warp(picture, op)) for picture in pictures]
    difference = (expected - torch.from_numpy(np.stack(warped))).abs()
    # Pillow rounds to whole gray levels, and few pixels lie between two nearest ones.
    assert (difference > 1).float().mean() < 0.002
    assert (expected - images[:, 0]).abs().mean() > 5


def test_a_transform_normalizes_as_the_recipe_says() -> None:
    recipe = STEADY.replace(augment=(), mean=0.25, std=0.5)
    transform = transforms.make_transform(recipe)
    pixels = torch.tensor([[0, 255], [51, 102]], dtype=torch.uint8)
    expected = torch.tensor([[[-0.5, 1.5], [-0.1, 0.3]]])
    torch.testing.assert_close(transform(pixels), expected)


def test_pillow_has_no_elastic_deformation() -> None:
    with pytest.raises(SystemExit, match="no elastic deformation"):
        transforms.make_transform(STEADY.replace(augment=AUGMENTS["elastic"]))


@pytest.mark.parametrize("row", pipeline.ROWS)
def test_both_sides_of_a_row_have_one_recipe(row: str) -> None:
    training = pipeline.find_training(row)
    if row in NETS:
        assert training.recipe == catalog.find_recipe("document_001")
        assert training.experiment is None
    else:
        assert training.recipe == EXPERIMENTS[row].recipe
        assert training.experiment == row
    transforms.make_transform(training.recipe)
    net = training.builder()
    (group,) = pipeline.make_optimizer(net, training.recipe).param_groups
    assert group["lr"] == training.recipe.peak_lr
    assert len(group["params"]) == len(list(net.parameters()))


def test_the_recipes_dropout_replaces_the_nets_own() -> None:
    net = nn.Sequential(nn.Dropout(0.3), nn.Sequential(nn.Dropout2d(0.1)))
    drops = net[0], net[1][0]
    pipeline.set_dropout(net, None)
    assert [drop.p for drop in drops] == [0.3, 0.1]
    pipeline.set_dropout(net, 0.2)
    assert [drop.p for drop in drops] == [0.2, 0.2]


def test_records_of_both_layouts_are_drawn() -> None:
    old = {
        "net": "mnistnet_1",
        "images": 6_400,
        "usual_images_per_s": 2_588,
        "netlet_images_per_s": 23_212,
        "ratio": 8.99,
    }
    new = {
        **old,
        "experiment": "mnistnet_1.documented",
        "recipe": "document_001",
        "backend": "compiled",
        "precision": "bf16",
        "parameters": 7_416,
    }
    other = {**new, "net": "lenet5", "experiment": None}
    raced = {"net": "mnistnet_1", "images": 12_000, "ratio": 9.41}
    assert "| `mnistnet_1` | 2,588 | 23,212 | 8.99 |" in speed.pipeline_table(
        {"rows": [old]}, raced
    )
    drawn = speed.pipeline_table({"rows": [new, other]}, raced)
    row = "| `mnistnet_1` | 7,416 | `document_001` | compiled, bf16 | 2,588 | 23,212 | 8.99 |"
    assert row in drawn
    assert "`benchmarks/nets.py` has `lenet5`." in drawn
    assert "peak" not in drawn
    shared = speed.pipeline_table({"rows": [{**new, "peak_share": 0.483}]}, raced)
    assert row[:-2] + " | 48% |" in shared
    assert "matrix product" in shared


def is_running(process: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True)
    return done.stdout.strip() not in ("", "Z")


def test_busy_loops_end_with_the_block() -> None:
    def interrupt() -> None:
        with busy.run_busy_loops(2) as running:
            loops.extend(running)
            assert all(is_running(loop.pid) for loop in running)
            raise KeyboardInterrupt

    loops: list[subprocess.Popen[bytes]] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert [loop.returncode for loop in loops] == [-signal.SIGKILL] * 2


def test_busy_loops_end_with_a_killed_parent() -> None:
    code = (
        "import os, signal\nfrom benchmarks.busy import run_busy_loops\n"
        "with run_busy_loops(1) as (loop,):\n"
        "    print(loop.pid, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    loop, deadline = int(done.stdout), time.monotonic() + 20
    try:
        while is_running(loop) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not is_running(loop)
    finally:
        if is_running(loop):
            os.kill(loop, signal.SIGKILL)


def test_a_busy_loop_that_ends_early_is_an_error() -> None:
    def end_early() -> None:
        with busy.run_busy_loops(1) as (loop,):
            loop.kill()
            loop.wait()

    with pytest.raises(RuntimeError, match="ended early"):
        end_early()


def test_ratios_on_a_busy_machine_are_medians_over_the_turns() -> None:
    times = [(2.0, 3.0, 8.0), (1.0, 2.0, 3.0), (4.0, 4.0, 20.0)]
    used = (2, 1, 1)  # of threads, alone and beside one and three loops
    turns = [
        [{"seconds": s, "precision": "bf16", "threads": n} for s, n in zip(turn, used, strict=True)]
        for turn in times
    ]
    rows = [
        busy.summarize(("eager", given), [{("eager", given): turn} for turn in turns])
        for given in (2, 0)
    ]
    assert rows[0]["seconds"] == [2.0, 3.0, 8.0]
    assert rows[0]["ratios"] == [1.5, 4.0]
    table = speed.busy_table({"loops": [1, 3], "rows": rows})
    assert "| eager, bf16 | 2 | 2.00 s | 3.00 s | 1.50 | 8.00 s | 4.00 |" in table
    assert "| eager, bf16 | chosen: 2 alone, 1 and 1 beside the loops | 2.00 s |" in table


def test_the_section_on_busy_machines_needs_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    assert speed.draw_busy() == ""
    row = {"backend": "eager", "threads": 1, "precision": "bf16"}
    record = {
        "environment": {"cpu": "EPYC", "cores": 2, "torch": "2.13"},
        "experiment": "mnistnet_1.documented",
        "turns": 3,
        "loops": [1],
        "rows": [{**row, "seconds": [2.0, 3.0], "ratios": [1.5]}],
    }
    (tmp_path / "busy.json").write_text(json.dumps(record))
    assert speed.draw_busy().startswith("## On a busy machine\n")
    assert "medians of 3 rounds" in speed.draw_busy()


@linux_only
def test_a_program_that_crashes_is_not_timed_and_its_row_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = c_sides.find_crash(lambda: ctypes.string_at(0))
    assert crash == "crashes (SIGSEGV)"
    assert c_sides.find_crash(lambda: None) == ""
    record = json.loads((export.RESULTS / "c_latency.json").read_text())
    size = record["nets"][0]["rows"][-1]["size"]
    record["nets"][0]["rows"][-1] = {"side": "another", "crash": crash, "size": size}
    assert re.search(r"another +crashes \(SIGSEGV\) +- +- +- ", c_latency.format_record(record))
    (tmp_path / "c_latency.json").write_text(json.dumps(record))
    monkeypatch.setattr(export, "RESULTS", tmp_path)
    (row,) = (row for row in export.c_latency().splitlines() if "another" in row)
    assert "| another | crashes (SIGSEGV) | - |" in row
    assert row.endswith("| - |")


def test_a_record_is_refused_where_the_environment_limits_threads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("OMP_", "MKL_", "GOMP_"))]:
        monkeypatch.delenv(name)
    parser = make_parser("A benchmark.")
    assert parser.parse_args(["--out", "x.json"]).out == Path("x.json")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert parser.parse_args([]).out is None
    with pytest.raises(SystemExit):
        parser.parse_args(["--out", "x.json"])
    assert "unset OMP_NUM_THREADS" in capsys.readouterr().err


def test_the_growth_of_memory_is_that_after_the_first_submissions() -> None:
    memory = [mib << 20 for mib in (100, 300, *([200] * 10))]
    found = grade_class.describe_growth(
        [*memory[:2], *(n + i * 2048 for i, n in enumerate(memory[2:]))]
    )
    assert found["kib_per_submission"] == 2
    assert (found["warm_mib"], found["largest_mib"]) == (200, 300)


@pytest.mark.slow
def test_a_generated_class_has_every_kind_of_submission(tmp_path: Path) -> None:
    expected = grade_class.write_class(tmp_path, 420)
    assert len(expected) == len(list((tmp_path / "submissions").iterdir())) == 420
    states = [state for _, state in expected.values()]
    assert set(states) == {"PASS", "FAIL", "ERROR", "REVIEW", "NOT YET"}
    assert states.count("PASS") == 392
    assert len({kind for kind, _ in expected.values()}) == 40
