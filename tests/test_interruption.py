"""Interrupted runs resume bit-for-bit: killed processes, Ctrl-C and full disks, all real."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import FIXTURES, Netlet, few_fast, flat_net, start_interruptible, write_blob_source
from torch import nn

import netlet
from netlet import nets, records
from netlet.budgets import Budget, budget_from_json
from netlet.cli import main
from netlet.data import SOURCES, Dataset, Source
from netlet.errors import DamagedRecordError, NetletWarning, RecordError, TrainingError
from netlet.nets import find_net
from netlet.nets.weights import weights_digest
from netlet.recipes import Recipe, recipe_from_json
from netlet.records import RunConfig
from netlet.records.upgrade import OLD_LAYER_NAMES
from netlet.training import (
    Callback,
    Checkpoint,
    Plan,
    Progress,
    Recorder,
    fit,
    load_checkpoint,
)

SETTINGS = (
    "--set",
    "epochs=3",
    "--set",
    "batch_size=60",
    "--set",
    "averaging=ema",
    "--set",
    "ema_decay=0.9",
    "--set",
    "dropout=0.2",
)


def train(
    source: Source, data: str, folder: str, arguments: tuple[str, ...], write_to_die_in: int | None
) -> None:
    """Run ``netlet train``; optionally die by SIGKILL in the middle of the n-th write."""
    SOURCES["mnist"] = source
    os.environ["NETLET_DATA"] = data
    os.chdir(folder)
    torch.set_num_threads(1)
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if write_to_die_in is not None:
        _die_in(write_to_die_in)
    main(["train", *arguments])


def _die_in(nth: int) -> None:
    """Count the system calls that write a file, and die at the n-th."""
    left = [nth]

    def dying(step: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*args, **kwargs)

        return counted

    for name in ("fsync", "fchmod", "replace", "rename"):
        setattr(os, name, dying(getattr(os, name)))
    opened = os.open
    created = dying(opened)

    def opening(path: str, flags: int, *rest: object, **kwargs: object) -> object:
        creates = flags & os.O_CREAT
        return (created if creates else opened)(path, flags, *rest, **kwargs)  # type: ignore[operator]

    os.open = opening  # type: ignore[assignment]


class ProcessPool:
    """Starts trainings in processes that have already imported torch."""

    def __init__(self, source: Source, data: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            [
                "netlet.cli",
                "netlet.experiments",
                "netlet.training",
                "torch._dynamo",
                "test_interruption",
            ]
        )
        self._source, self._data = source, data

    def start(
        self, folder: Path, *arguments: str, write_to_die_in: int | None = None
    ) -> multiprocessing.context.ForkServerProcess:
        folder.mkdir(exist_ok=True)
        process = self._context.Process(
            target=train,
            args=(self._source, str(self._data), str(folder), arguments, write_to_die_in),
        )
        process.start()
        return process

    def finish(self, folder: Path, *arguments: str) -> int | None:
        process = self.start(folder, *arguments)
        process.join(100)
        return process.exitcode


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> ProcessPool:
    data = tmp_path_factory.mktemp("pool")
    source = write_blob_source(data, train=240)
    return ProcessPool(source, data)


RUN = "runs/mnistnet_1-seed5"
BEGIN = ("mnistnet_1", "--seed", "5", *SETTINGS)


@pytest.fixture(scope="module")
def uninterrupted(
    pool: ProcessPool, tmp_path_factory: pytest.TempPathFactory
) -> tuple[records.Run, float]:
    """Return the run without an interruption, and about how long it takes."""
    folder = tmp_path_factory.mktemp("whole")
    assert pool.finish(folder, *BEGIN) in (0, 1)
    began = time.monotonic()
    assert pool.finish(folder, *BEGIN, "--out", "again") in (0, 1)
    return records.load_run(folder / RUN), time.monotonic() - began


def assert_same_result(run: records.Run, whole: records.Run) -> None:
    assert run.weights_digest == whole.weights_digest
    assert run.last_epoch == whole.last_epoch
    assert [e.train_loss for e in run.epochs] == [e.train_loss for e in whole.epochs]
    assert [e.held_out for e in run.epochs] == [e.held_out for e in whole.epochs]
    assert run.mistakes == whole.mistakes


def resume(pool: ProcessPool, folder: Path) -> records.Run:
    """Resume the run if its folder exists, else start it."""
    arguments = ("--resume", RUN) if (folder / RUN).exists() else BEGIN
    assert pool.finish(folder, *arguments) in (0, 1)
    return records.load_run(folder / RUN)


# Different every day, so that all moments are tried in the long run. The ids are not: processes that
# collect the tests before and after midnight must agree on them.
MOMENTS = random.Random(time.strftime("%Y%m%d"))
IDS = [f"moment-{number}" for number in range(6)]


@pytest.mark.parametrize("share", few_fast((round(MOMENTS.random(), 3) for _ in IDS), 1), ids=IDS)
def test_resume_after_kill_is_bit_identical(
    pool: ProcessPool, uninterrupted: tuple[records.Run, float], tmp_path: Path, share: float
) -> None:
    whole, seconds = uninterrupted
    process = pool.start(tmp_path, *BEGIN)
    time.sleep(share * seconds)
    process.kill()
    process.join()
    assert_same_result(resume(pool, tmp_path), whole)


@pytest.mark.slow
@pytest.mark.parametrize("nth", few_fast(MOMENTS.sample(range(1, 55), 6), 2), ids=IDS)
def test_resume_after_kill_during_a_write_is_bit_identical(
    pool: ProcessPool, uninterrupted: tuple[records.Run, float], tmp_path: Path, nth: int
) -> None:
    """A run makes more than fifty system calls for writing; the process dies before one of them."""
    whole, _ = uninterrupted
    process = pool.start(tmp_path, *BEGIN, write_to_die_in=nth)
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    for path in (tmp_path / "runs").rglob("*.json"):
        json.loads(path.read_text())  # never a partial record
    assert_same_result(resume(pool, tmp_path), whole)
    assert not list((tmp_path / RUN).glob(".*")), "unfinished files are removed"
    assert sorted(path.name for path in (tmp_path / RUN).iterdir()) == [
        "epochs.jsonl",
        "run.json",
        "weights.safetensors",
    ]


@pytest.mark.slow
def test_resume_after_several_kills_is_bit_identical(
    pool: ProcessPool, uninterrupted: tuple[records.Run, float], tmp_path: Path
) -> None:
    whole, _ = uninterrupted
    for nth in (20, 14, 10):
        arguments = ("--resume", RUN) if (tmp_path / RUN).exists() else BEGIN
        process = pool.start(tmp_path, *arguments, write_to_die_in=nth)
        process.join(100)
        assert process.exitcode == -signal.SIGKILL
    run = resume(pool, tmp_path)
    assert_same_result(run, whole)
    assert len(run.resumed_after) >= 3
    assert not whole.resumed_after
    assert pool.finish(tmp_path, "--resume", RUN) in (
        0,
        1,
    )  # resuming a finished run prints its verdict
    assert records.load_run(tmp_path / RUN) == run


@pytest.fixture
def shell(pool: ProcessPool, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts ``netlet`` in a process, with the blobs as MNIST."""
    import pickle

    (tmp_path / "source.pickle").write_bytes(pickle.dumps(pool._source))
    code = (
        "import pickle, sys\nfrom netlet.data import SOURCES\n"
        f"SOURCES['mnist'] = pickle.load(open({str(tmp_path / 'source.pickle')!r}, 'rb'))\n"
        "from netlet.cli import main\nmain(sys.argv[1:])\n"
    )

    def run(*arguments: str) -> subprocess.Popen[str]:
        return start_interruptible(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**os.environ, "NETLET_DATA": str(pool._data), "OMP_NUM_THREADS": "1"},
        )

    return run


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run_and_prints_the_command(
    shell: Callable[..., subprocess.Popen[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--set", "epochs=5000", "--set", "batch_size=60", "--set", "backend=eager")
    process = shell("train", "code_2", *words)
    lines = tmp_path / "runs/code_2-seed0/epochs.jsonl"
    # With the second line, the checkpoint of the first epoch has been written.
    while not lines.exists() or len(lines.read_text().splitlines()) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        "interrupted; 'netlet train --resume runs/code_2-seed0' continues after the last complete epoch"
        in err
    )
    assert "Traceback" not in err
    checkpoint, config = load_checkpoint(tmp_path / "runs/code_2-seed0")
    assert len(checkpoint.epochs) >= 1
    assert config["name"] == "code_2"


# --- errors when resuming


FAST = Recipe(
    epochs=3, batch_size=60, peak_lr=0.01, averaging="tail", tail_share=0.5, precision="float32"
)


class StopsAfter(Callback):
    def __init__(self, after: int) -> None:
        self.after = after

    def on_epoch_end(self, epochs: object, net: nn.Module) -> None:
        if len(epochs) == self.after:  # type: ignore[arg-type]
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("averaging", ["none", "ema", "tail"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "soap"])
def test_resume_from_python_is_bit_identical(
    blob_data: Dataset, tmp_path: Path, averaging: str, optimizer: str
) -> None:
    def few_weights() -> nn.Module:  # few, since SOAP computes an eigenbasis
        return nn.Sequential(nn.Conv2d(1, 3, 5, 5), nn.Flatten(), nn.Linear(75, 10))

    recipe = FAST.replace(averaging=averaging, optimizer=optimizer, precision="auto")
    whole = fit(netlet.build(few_weights, 0), blob_data, recipe)
    with pytest.raises(KeyboardInterrupt):
        fit(
            netlet.build(few_weights, 0),
            blob_data,
            recipe,
            callbacks=[StopsAfter(3), Recorder(tmp_path / "run")],
        )
    checkpoint, _ = load_checkpoint(tmp_path / "run")
    assert len(checkpoint.epochs) == 2
    again = Recorder(tmp_path / "run", resumed=True)
    resumed = fit(
        netlet.build(few_weights, 7), blob_data, recipe, resume=checkpoint, callbacks=[again]
    )
    assert resumed.weights_digest == whole.weights_digest
    assert resumed.resumed_after == (2,)
    assert resumed.times["total_s"] >= checkpoint.elapsed_s
    assert records.load_run(tmp_path / "run") == resumed


def test_run_interrupted_before_its_record_is_evaluated_when_resumed(blob_data: Dataset) -> None:
    class KeepsLast(Callback):
        def on_checkpoint(self, checkpoint: Checkpoint) -> None:
            self.last = checkpoint

    keeps = KeepsLast()
    whole = fit(netlet.build(flat_net, 0), blob_data, FAST, callbacks=[keeps])
    assert len(keeps.last.epochs) == 3
    resumed = fit(netlet.build(flat_net, 1), blob_data, FAST, resume=keeps.last)
    assert resumed.resumed_after == (3,)
    assert_same_result(resumed, whole)
    assert resumed.confusion == whole.confusion


def write_as_version_0_1(path: Path, net: str) -> None:
    """Rewrite a checkpoint with the keys and layer names of version 0.1."""
    content = torch.load(path, weights_only=True)
    state = content["checkpoint"]
    old_names = {new: old for old, new in OLD_LAYER_NAMES.get(net, {}).items()}
    for tensors in ("net", "average"):
        state[tensors] = {
            ".".join(old_names.get(part, part) for part in name.split(".")): value
            for name, value in state[tensors].items()
        }
    state["optimiser"] = state.pop("optimizer")
    del state["setting"]
    state["optimiser"]["taken"] = state["optimiser"].pop("steps")
    config = json.loads((FIXTURES / "records" / "checkpoint_config.json").read_text())
    torch.save({"format": 2, "assignment": config | {"net": net}, "checkpoint": state}, path)


def test_checkpoint_of_version_0_1_can_be_resumed(blob_data: Dataset, tmp_path: Path) -> None:
    net, builder = "dash", nets.NETS["dash"].builder
    with pytest.raises(KeyboardInterrupt):
        fit(
            netlet.build(builder, 0),
            blob_data,
            FAST,
            callbacks=[Recorder(tmp_path / "run", {"net": net}), StopsAfter(2)],
        )
    write_as_version_0_1(tmp_path / "run" / records.CHECKPOINT_FILE, net)
    checkpoint, config = load_checkpoint(tmp_path / "run")
    assert RunConfig.from_dict(config, "run").net == net
    assert checkpoint.optimizer["steps"] == 10
    whole = fit(netlet.build(builder, 0), blob_data, FAST)
    resumed = fit(netlet.build(builder, 1), blob_data, FAST, resume=checkpoint)
    assert resumed.weights_digest == whole.weights_digest


def test_changed_net_and_damaged_checkpoint_are_rejected(
    blob_data: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(flat_net(), blob_data, FAST, callbacks=[Recorder(tmp_path / "run"), StopsAfter(2)])
    checkpoint, _ = load_checkpoint(tmp_path / "run")
    of_earlier_version = dataclasses.replace(checkpoint, setting={})
    for before, reason in (
        (checkpoint, r"was another one \(another net\)"),
        (of_earlier_version, r"not the one that this run started with \(1.bias differs\)"),
    ):
        changed = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=False))
        with pytest.raises(TrainingError, match=reason):
            fit(changed, blob_data, FAST, resume=before)
    (tmp_path / "run" / records.CHECKPOINT_FILE).write_bytes(
        (tmp_path / "run" / records.CHECKPOINT_FILE).read_bytes()[:500]
    )
    with pytest.raises(
        TrainingError, match=r"cannot be read as a checkpoint \(\w+\); start a new run"
    ):
        load_checkpoint(tmp_path / "run")
    (tmp_path / "run" / records.CHECKPOINT_FILE).unlink()
    with pytest.raises(
        TrainingError, match=r"nothing to resume, no checkpoint\.pt; start a new run"
    ):
        load_checkpoint(tmp_path / "run")
    with pytest.raises(TrainingError, match="no such folder; pass the folder of the run"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.fixture
def interrupted(blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on the command line, interrupted in its second epoch."""
    monkeypatch.chdir(tmp_path)

    def stop(self: Recorder, checkpoint: object) -> None:
        original(self, checkpoint)
        if len(checkpoint.epochs) == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    original = Recorder.on_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_checkpoint", stop)
        with pytest.raises(SystemExit) as left:
            main(["train", "code_2", *SETTINGS, "--val", "50"])
    assert left.value.code == 130
    return Path("runs/code_2-seed0")


def ended(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["train", *arguments])
    return int(left.value.code or 0), capfd.readouterr().err


def test_resume_takes_its_settings_from_the_folder(
    interrupted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, err = ended(capfd, "--resume", str(interrupted), "--seed", "1")
    assert code == 2
    assert "--resume uses the options that the run was started with; remove --seed" in err
    code, err = ended(capfd, "code_2", "--out", str(interrupted))
    assert code == 2
    assert f"unfinished run; resume it with 'netlet train --resume {interrupted}', or name" in err
    code, err = ended(capfd, "--resume", str(interrupted))
    assert code == 0
    assert f"resuming {interrupted} after 1 of 3 epochs" in err
    run = records.load_run(interrupted)
    assert run.last_epoch.split == "val"
    assert run.recipe["epochs"] == 3
    assert run.resumed_after == (1,)
    code, err = ended(capfd, "code_2", "--out", str(interrupted))
    assert (code, err) == (
        2,
        f"netlet: {interrupted}: holds a finished run; name another folder with --out\n",
    )


def test_resume_with_missing_or_changed_data_is_rejected(
    interrupted: Path,
    blobs_for_mnist: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    before = (interrupted / records.CHECKPOINT_FILE).read_bytes()
    monkeypatch.setenv("NETLET_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, err = ended(capfd, "--resume", str(interrupted))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "mnist: train-images-idx3-ubyte is missing" in err
    monkeypatch.setitem(SOURCES, "mnist", write_blob_source(tmp_path / "other", train=500))
    monkeypatch.setenv("NETLET_DATA", str(tmp_path / "other"))
    code, err = ended(capfd, "--resume", str(interrupted))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "mnist: the data set has changed since this run started; restore the old one" in err
    assert (interrupted / records.CHECKPOINT_FILE).read_bytes() == before


def test_python_continues_a_run_of_the_command_line_that_can_then_resume_it_again(
    interrupted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    began = RunConfig.from_dict(load_checkpoint(interrupted)[1], interrupted)
    assert began.budget is not None
    recipe = recipe_from_json(began.recipe).replace(name="mine")  # it trains alike
    digits, budget = netlet.data.load("mnist"), budget_from_json(began.budget)

    def go_on(budget: Budget | None = budget, callbacks: tuple[Callback, ...] = ()) -> records.Run:
        net, words = netlet.build(nets.NETS["code_2"].builder, 0), {"val": 50, "progress": False}
        words |= {"resume": interrupted, "budget": budget, "callbacks": callbacks}
        return fit(net, digits, recipe, **words)  # type: ignore[arg-type]

    for other, names in ((None, "none"), (budget.replace(name="tiny"), "tiny")):
        with pytest.raises(
            TrainingError,
            match=rf"{interrupted}: .* \(another budget: {budget.name} there, {names} now\)",
        ):
            go_on(other)
    with pytest.raises(KeyboardInterrupt) as stop:
        go_on(callbacks=(StopsAfter(3),))
    command = f"netlet train --resume {interrupted}"
    assert stop.value.__notes__ == [f"{command} continues after the last complete epoch"]
    shutil.copytree(interrupted, "copy")
    code, err = ended(capfd, "--resume", str(interrupted))
    assert (code, "after 2 of 3 epochs" in err) == (0, True)
    whole = records.load_run(interrupted)
    shutil.rmtree(interrupted)
    shutil.copytree("copy", interrupted)
    run = go_on()
    assert (run.name, run.net, run.budget) == ("code_2", "code_2", began.budget)
    assert_same_result(run, whole)
    assert go_on() == run  # read


# --- divergence and full disks


def test_nan_loss_stops_the_training_with_epoch_step_and_advice(
    blob_data: Dataset, tmp_path: Path
) -> None:
    class Poisoned(nn.Sequential):
        steps = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.steps += self.training
            return super().forward(x) * (math.nan if self.steps == 17 else 1)

    net = Poisoned(nn.Flatten(), nn.Linear(784, 10))
    with pytest.raises(
        TrainingError,
        match=r"the loss is nan at epoch 2, step 7; try a lower peak_lr than 0\.01, or precision=float32",
    ):
        fit(net, blob_data, FAST, callbacks=[Recorder(tmp_path / "run")])
    assert len((tmp_path / "run" / "epochs.jsonl").read_text().splitlines()) == 1
    assert len(load_checkpoint(tmp_path / "run")[0].epochs) == 1


def test_huge_loss_counts_as_divergence(blob_data: Dataset) -> None:
    class Explodes(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 1e7

    with pytest.raises(
        TrainingError, match=r"the loss is [\d.]+e\+\d+ at epoch 1, step 1; try a lower peak_lr"
    ):
        fit(Explodes(nn.Flatten(), nn.Linear(784, 10)), blob_data, FAST)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


class FillsTheDisk(Callback):
    """Fills the disk in the middle of the second epoch."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk

    def on_step(self, progress: Progress) -> None:
        if progress.epoch == 2 and not (self.disk / "rest").exists():
            with (self.disk / "rest").open("wb", buffering=0) as rest:
                try:
                    while True:
                        rest.write(bytes(4096))
                except OSError:
                    pass


def test_full_disk_gives_one_line_and_keeps_earlier_files(
    blob_data: Dataset, tiny_disk: Path
) -> None:
    folder = tiny_disk / "run"
    whole = fit(netlet.build(flat_net, 0), blob_data, FAST)
    with pytest.raises(
        TrainingError,
        match=r"cannot be written to \(No space left on device\); its earlier files are intact",
    ) as caught:
        fit(
            netlet.build(flat_net, 0),
            blob_data,
            FAST,
            callbacks=[Recorder(folder), FillsTheDisk(tiny_disk)],
        )
    assert "\n" not in str(caught.value)
    assert f"resume with 'netlet.fit(..., resume=\"{folder}\")'" in str(caught.value)
    checkpoint, _ = load_checkpoint(folder)
    assert len(checkpoint.epochs) == 1
    assert len((folder / "epochs.jsonl").read_text().splitlines()) == 1
    assert not list(folder.glob(".*"))
    (tiny_disk / "rest").unlink()
    again = [Recorder(folder, resumed=True)]
    assert (
        fit(flat_net(), blob_data, FAST, resume=checkpoint, callbacks=again).weights_digest
        == whole.weights_digest
    )


def test_full_disk_at_the_start_leaves_no_folder(blob_data: Dataset, tiny_disk: Path) -> None:
    with (tiny_disk / "rest").open("wb") as rest:
        rest.write(bytes(360 * 1024))
    with pytest.raises(
        TrainingError,
        match=r"cannot be created \(No space left on device\); choose another with --out",
    ):
        fit(flat_net(), blob_data, FAST, callbacks=[Recorder(tiny_disk / "run")])
    assert os.listdir(tiny_disk) == ["rest"]


def test_read_only_folder_gives_one_line_and_keeps_earlier_files(
    blob_data: Dataset, tiny_disk: Path
) -> None:
    def make_read_only() -> None:
        # A second mount of the same folder: the first one is busy while the run holds its lock.
        subprocess.run(["mount", "--bind", tiny_disk, tiny_disk], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", tiny_disk], check=True)

    class MakesItReadOnly(Callback):
        def on_step(self, progress: Progress) -> None:
            if progress.epoch == 2:
                make_read_only()

    folder = tiny_disk / "run"
    with pytest.raises(
        TrainingError,
        match=r"cannot be written to \(Read-only file system\); its earlier files are intact",
    ):
        fit(flat_net(), blob_data, FAST, callbacks=[Recorder(folder), MakesItReadOnly()])
    assert len(load_checkpoint(folder)[0].epochs) == 1
    with pytest.raises(
        TrainingError,
        match=r"cannot be created \(Read-only file system\); choose another with --out",
    ):
        fit(flat_net(), blob_data, FAST, callbacks=[Recorder(tiny_disk / "other")])
    subprocess.run(["umount", tiny_disk], check=True)


def test_deleted_run_folder_gives_an_error(blob_data: Dataset, tmp_path: Path) -> None:
    class Deletes(Callback):
        def on_epoch_end(self, epochs: object, net: nn.Module) -> None:
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
            (tmp_path / "run").write_text("in the way")

    with pytest.raises(TrainingError, match="cannot be written to"):
        fit(flat_net(), blob_data, FAST, callbacks=[Deletes(), Recorder(tmp_path / "run")])


# --- several processes


def test_runs_started_at_the_same_time_get_separate_folders(
    pool: ProcessPool, tmp_path: Path
) -> None:
    processes = [pool.start(tmp_path, "code_2", *SETTINGS) for _ in range(3)]
    for process in processes:
        process.join(100)
    assert {process.exitcode for process in processes} <= {0, 1}
    runs = [records.load_run(path) for path in records.find_runs(tmp_path / "runs")]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "code_2-seed0",
        "code_2-seed0-2",
        "code_2-seed0-3",
    ]
    assert len({run.weights_digest for run in runs}) == 1


@pytest.mark.slow
def test_a_run_that_another_process_continues_is_not_resumed_again(
    pool: ProcessPool, netlet: Netlet, tmp_path: Path
) -> None:
    process = pool.start(tmp_path, *BEGIN, "--set", "epochs=1000")
    while not (tmp_path / RUN / "epochs.jsonl").exists():
        assert process.is_alive()
        time.sleep(0.02)
    process_id = process.pid
    code, out, err = netlet("train", "--resume", RUN)
    assert (code, out) == (2, "")
    assert re.fullmatch(
        rf"netlet: {RUN}: process {process_id} on \S+ \(netlet train since .* UTC\) is writing "
        r"there; wait until it has ended\n",
        err,
    )
    process.kill()
    process.join()
    code, _, err = netlet("train", "--resume", RUN)
    assert "is writing there" not in err  # its data is gone, but not its lock


def test_checkpoint_can_be_resumed_twice(blob_data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(
            netlet.build(flat_net, 0),
            blob_data,
            FAST,
            callbacks=[Recorder(tmp_path / "run"), StopsAfter(2)],
        )
    checkpoint, _ = load_checkpoint(tmp_path / "run")
    digests = {
        fit(netlet.build(flat_net, 0), blob_data, FAST, resume=checkpoint).weights_digest
        for _ in range(2)
    }
    assert len(digests) == 1


def test_a_run_that_python_started_is_resumed_by_its_folder(
    blob_data: Dataset, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    command: Netlet = request.getfixturevalue("netlet")
    folder = tmp_path / "run"
    whole = fit(netlet.build(flat_net, 0), blob_data, FAST)
    with pytest.raises(KeyboardInterrupt) as stop:
        fit(
            netlet.build(flat_net, 0),
            blob_data,
            FAST,
            callbacks=[StopsAfter(2), Recorder(folder)],
        )
    call = 'netlet.fit(..., resume="run")'
    assert stop.value.__notes__ == [
        f'netlet.fit(..., resume="{folder}") continues after the last complete epoch'
    ]
    code, out, err = command("runs", ".")
    assert (code, f"\nthe unfinished run resumes with '{call}'" in out) == (0, True), err
    shutil.copytree(folder, tmp_path / "same")
    code, out, err = command("runs", ".")
    assert (code, f"\nthe first of 2 unfinished runs resumes with '{call}'" in out) == (0, True)
    shutil.rmtree(tmp_path / "same")
    assert f"the unfinished run resumes with '{call}'" in command("runs", "run")[1]
    code, _, err = command("train", "code_2", "--out", "run")
    assert (code, err) == (
        2,
        f"netlet: run: holds an unfinished run; resume it with '{call}', or name another folder "
        "with --out\n",
    )
    code, _, err = command("train", "--resume", "run")
    assert (code, err.strip().endswith(call)) == (2, True), err
    for load in (records.load_run, records.load_study, records.find_study):
        with pytest.raises(
            RecordError, match=r"run: the run is not finished; 'netlet runs .*run' shows how"
        ) as refused:
            load(folder)
        assert not isinstance(refused.value, DamagedRecordError)
    with pytest.raises(TrainingError, match=r'exists; pass resume=".*run" to go on, choose'):
        fit(netlet.build(flat_net, 0), blob_data, FAST, callbacks=[Recorder(folder)])
    resumed = fit(netlet.build(flat_net, 0), blob_data, FAST, resume=str(folder))
    assert resumed.weights_digest == whole.weights_digest
    assert records.load_run(folder) == resumed
    with pytest.raises(TrainingError, match="run is finished; to read it here, record it with"):
        fit(netlet.build(flat_net, 0), blob_data, FAST, resume=folder)


FLAT = """from torch import nn
class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""


def test_one_cell_begins_a_run_continues_it_and_reads_it_when_it_is_finished(
    blob_data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flat.py").write_text(FLAT)
    net = netlet.build(find_net("flat.py:Flat").builder, 0)
    words = {"net_name": "flat.py:Flat", "resume": "runs/mine"}
    with pytest.raises(KeyboardInterrupt):
        fit(net, blob_data, FAST, callbacks=[StopsAfter(1)], **words)
    assert Path("runs/mine", records.CHECKPOINT_FILE).is_file()
    run = fit(net, blob_data, FAST, **words)
    assert records.load_run("runs/mine") == run
    again = netlet.build(find_net("flat.py:Flat").builder, 0)
    assert fit(again, blob_data, FAST, progress=True, **words) == run
    said = capsys.readouterr().err
    assert f"runs/mine: read, since it is finished: {run.last_epoch.score}" in said
    assert weights_digest(again) == run.weights_digest
    assert fit(again, blob_data, FAST, **words) == run  # the net has these weights now
    with pytest.warns(NetletWarning, match="has been trained before"):
        fit(again, blob_data, FAST)
    with pytest.raises(TrainingError, match=r"was another one \(other initial weights"):
        fit(again, blob_data, FAST, **words)
    other, fresh = netlet.build(find_net("flat.py:Flat").builder, 0), FAST.replace(peak_lr=0.5)
    for recipe, more, difference in (
        (fresh, {}, rf"peak_lr {FAST.peak_lr} there, 0\.5 now"),
        (FAST, {"seed": 4}, "seed 0 there, 4 now"),
        (FAST, {"budget": Budget(params_below=9)}, "another budget"),
        (FAST, {"val": 50}, "600 train images and 100 test images there, 550"),
    ):
        before = weights_digest(other)
        with pytest.raises(TrainingError, match=rf"finished and was another one \({difference}"):
            fit(other, blob_data, recipe, **words, **more)
        assert weights_digest(other) == before
    Path("flat.py").write_text(FLAT.replace("nn.Flatten(), ", "nn.Flatten(), nn.Identity(), "))
    with pytest.raises(TrainingError, match=r"was another one \(other code of the net"):
        fit(netlet.build(find_net("flat.py:Flat").builder, 0), blob_data, FAST, **words)
    changed = Path("flat.py").read_text()
    Path("flat.py").write_text(FLAT + changed[changed.index("class Flat") :])
    with pytest.raises(TrainingError, match=r"; the run's is flat.py:Flat\[1\]\); name another"):
        fit(netlet.build(find_net("flat.py:Flat").builder, 0), blob_data, FAST, **words)


def test_another_net_of_the_same_code_does_not_go_on_with_a_run(
    blob_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = FLAT.replace("self):", "self, act=nn.ReLU, by=1.0):").replace(
        "nn.Linear(784, 10))", "nn.Linear(784, 10), act())\n        self.by = by"
    )
    Path("flat.py").write_text(
        f"{code}    def forward(self, x):\n        return super().forward(x) * self.by\n"
    )
    flat: Any = find_net("flat.py:Flat").builder
    words: dict[str, Any] = {"net_name": "flat.py:Flat", "resume": "run"}

    def build(**arguments: Any) -> nn.Module:
        return netlet.build(lambda: flat(**arguments), 0)

    with pytest.raises(KeyboardInterrupt):
        fit(build(), blob_data, FAST, callbacks=[StopsAfter(1)], **words)
    for more, difference in (
        ({}, "another net"),
        ({"net_name": None}, "net_name there, none now"),
    ):
        with pytest.raises(TrainingError, match=rf"was another one \({difference}"):
            fit(build(act=nn.GELU), blob_data, FAST, **words | more)
    Path("flat.py").write_text(Path("flat.py").read_text().replace("by=1.0", "by=2.0"))
    changed = find_net("flat.py:Flat").builder
    with pytest.raises(TrainingError, match=r"was another one \(other code of the net"):
        fit(netlet.build(changed, 0), blob_data, FAST, **words)
    Path("flat.py").write_text(Path("flat.py").read_text().replace("by=2.0", "by=1.0"))
    fit(build(), blob_data, FAST, **words)
    with pytest.raises(TrainingError, match=r"was another one \(another net"):
        fit(build(act=nn.GELU), blob_data, FAST, **words)
    with pytest.raises(TrainingError, match=r"with its weights, this net scores .*, and not"):
        fit(build(by=-1.0), blob_data, FAST, **words)


def test_a_recorder_beside_resume_is_that_of_its_folder(blob_data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words: dict[str, Any] = {"resume": folder}
    with pytest.raises(KeyboardInterrupt):
        fit(
            netlet.build(flat_net, 0),
            blob_data,
            FAST,
            callbacks=[StopsAfter(1), Recorder(folder)],
            **words,
        )
    with pytest.raises(TrainingError, match=r"but the Recorder has .*other; leave one of them out"):
        fit(
            netlet.build(flat_net, 0),
            blob_data,
            FAST,
            callbacks=[Recorder(tmp_path / "other")],
            **words,
        )
    run = fit(netlet.build(flat_net, 0), blob_data, FAST, callbacks=[Recorder(folder)], **words)
    assert records.load_run(folder) == run


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        ({"seed": 5}, "seed 0 there, 5 now"),
        ({"recipe": FAST.replace(peak_lr=0.5)}, f"peak_lr {FAST.peak_lr} there, 0.5 now"),
        ({"val": 50}, "600 train images and 100 test images there, 550 train images and 50 val"),
        ({"data": {"checksums": {"train": "0" * 64}}}, "other images of mine"),
        ({"data": {"name": "theirs"}}, "mine there, theirs now"),
    ],
)
def test_another_training_does_not_continue_a_checkpoint(
    blob_data: Dataset, arguments: dict[str, Any], difference: str
) -> None:
    class Keeps(Callback):
        def on_checkpoint(self, checkpoint: Checkpoint) -> None:
            self.last = checkpoint

    keeps, mine = Keeps(), dataclasses.replace(blob_data, name="mine")
    fit(netlet.build(flat_net, 0), mine, FAST, callbacks=[keeps])
    given = {"recipe": FAST} | arguments
    given["data"] = dataclasses.replace(mine, **arguments.get("data", {}))
    with pytest.raises(TrainingError, match=rf"was another one \({re.escape(difference)}"):
        fit(netlet.build(flat_net, 0), **given, resume=keeps.last)


@pytest.mark.filterwarnings("ignore:the net has been trained before")
def test_a_training_from_given_weights_still_says_so_after_it_was_resumed(
    blob_data: Dataset,
) -> None:
    class Keeps(Callback):
        def on_checkpoint(self, checkpoint: Checkpoint) -> None:
            self.last = checkpoint

    keeps, net = Keeps(), netlet.build(flat_net, 0)
    fit(net, blob_data, FAST)
    given = weights_digest(net)
    assert fit(net, blob_data, FAST, callbacks=[keeps]).initial_weights_digest == given
    resumed = fit(netlet.build(flat_net, 0), blob_data, FAST, resume=keeps.last)
    assert resumed.initial_weights_digest == given


def test_a_net_that_was_stopped_before_its_first_step_is_as_new(
    blob_data: Dataset, recwarn: pytest.WarningsRecorder
) -> None:
    class StopsAtOnce(Callback):
        def on_start(self, plan: Plan) -> None:
            raise KeyboardInterrupt

    net = netlet.build(flat_net, 0)
    with pytest.raises(KeyboardInterrupt):
        fit(net, blob_data, FAST, callbacks=[StopsAtOnce()])
    fit(net, blob_data, FAST)
    assert not [one for one in recwarn if issubclass(one.category, NetletWarning)]
    with pytest.warns(NetletWarning, match="has been trained before"):
        fit(net, blob_data, FAST)
