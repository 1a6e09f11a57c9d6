"""Logs of trainings: TensorBoard's own reader, W&B offline and trackio read back what was recorded."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from helpers import Inline, Netlet, few_fast, flat_net, set_options
from torch import nn

import netlet as package
from netlet import records
from netlet.data import Dataset
from netlet.errors import NetletWarning, TrainingError
from netlet.experiments import configure_run, find_experiment, run_study
from netlet.recipes import Recipe
from netlet.records import Epoch
from netlet.training import Callback, Recorder
from netlet.training.logs import LOGS, LoggedRun, check_logs, epoch_values, run_log
from netlet.training.logs import tensorboard as tensorboard_log

TAGS = [
    "accuracy/test",
    "accuracy/train",
    "images_per_second",
    "learning_rate",
    "loss/test",
    "loss/train",
]
RECIPE = Recipe(name="brief", epochs=3, batch_size=200, backend="eager", precision="float32")
FAST = set_options(epochs=2, batch_size=200, backend="eager", precision="float32")


def needs(name: str) -> None:
    pytest.importorskip(name, reason=f"needs the extra {name!r}")


class Kept:
    """A log that keeps what it gets in memory; fails in the epoch ``broken`` if it is set."""

    runs: ClassVar[dict[str, dict[int, Mapping[str, float]]]]
    seen: ClassVar[list[LoggedRun]]
    closed: ClassVar[list[str]]
    broken = 0
    place = "memory"

    def __init__(self, run: LoggedRun) -> None:
        self.run = run
        type(self).seen.append(run)
        self.points = type(self).runs.setdefault(run.name, {})

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        if epoch == self.broken:
            raise OSError(28, "No space left on device")
        assert epoch not in self.points
        self.points[epoch] = dict(values)

    def close(self) -> None:
        self.closed.append(self.run.name)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> type[Kept]:
    """A log in the place of TensorBoard's, whether that is installed or not."""

    log = type("Log", (Kept,), {"runs": {}, "seen": [], "closed": []})
    monkeypatch.setattr(run_log, "LOGS", {"tensorboard": log})
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: found("json" if name in LOGS else name)
    )
    return log


def read_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars in a folder, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def expect(epochs: Sequence[Epoch]) -> dict[str, list[tuple[int, float]]]:
    """Return what a log must hold: the recorded numbers as float32."""
    import numpy as np

    return {
        tag: [(epoch.epoch, float(np.float32(epoch_values(epoch)[tag]))) for epoch in epochs]
        for tag in TAGS
    }


def test_tensorboard_reads_back_what_was_recorded(blob_data: Dataset, tmp_path: Path) -> None:
    needs("tensorboard")
    recorder = Recorder(tmp_path / "run")
    run = package.fit(
        flat_net(), blob_data, RECIPE, callbacks=[recorder], progress=False, log="tensorboard"
    )
    found = read_tensorboard(tmp_path / "run" / "tensorboard")
    assert found == expect(run.epochs)
    assert found["accuracy/test"][-1] == (3, pytest.approx(run.last_epoch.score.percent))
    assert (tmp_path / "run" / records.RECORD).is_file()


def test_the_recipe_is_in_tensorboards_hparams(blob_data: Dataset, tmp_path: Path) -> None:
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = LoggedRun("a", "b", tmp_path, {"epochs": 3, "peak_lr": 0.5, "recipe": "brief"})
    log = tensorboard_log.TensorBoardLog(run)
    log.write(1, {"loss/train": 0.25})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    data = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    started = HParamsPluginData.FromString(data).session_start_info.hparams
    assert started["peak_lr"].number_value == 0.5
    assert started["recipe"].string_value == "brief"


@pytest.mark.slow
def test_a_resumed_run_has_every_epoch_once(
    netlet: Netlet, blobs_for_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("tensorboard")
    after = Recorder.on_checkpoint

    def stop(self: Recorder, checkpoint: Any) -> None:
        after(self, checkpoint)
        if len(checkpoint.epochs) == 1:
            raise KeyboardInterrupt

    command = ("train", "4 P 4", *FAST, "-o", "run", "--log", "tensorboard")
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_checkpoint", stop)
        assert netlet(*command)[0] == 130
    code, _, err = netlet("train", "--resume", "run", "--log", "tensorboard")
    assert code in (0, 1), err
    assert "logged to run/tensorboard" in err
    assert read_tensorboard(Path("run/tensorboard")) == expect(records.load_run("run").epochs)


def test_the_weights_are_the_same_with_and_without_a_log(
    blob_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("tensorboard")
    monkeypatch.chdir(tmp_path)
    digests = set()
    for log in (None, "tensorboard", ["tensorboard"]):
        net = package.build(flat_net, 0)
        run = package.fit(net, blob_data, RECIPE, progress=False, name="flat", log=log)
        digests.add(run.weights_digest)
    assert len(digests) == 1
    folders = sorted(str(path) for path in Path("logs").iterdir())
    assert folders == ["logs/flat-seed0", "logs/flat-seed0-2"]


def check_logs_of_seeds(folder: Path, kept: type[Kept], name: str) -> None:
    assert sorted(kept.runs) == [f"{name}-seed0", f"{name}-seed1"] == sorted(kept.closed)
    for seed in (0, 1):
        run = records.load_run(folder / f"seed-{seed}")
        points = kept.runs[f"{name}-seed{seed}"]
        assert points == {epoch.epoch: epoch_values(epoch) for epoch in run.epochs}
    first = kept.seen[0]
    assert first.folder == folder / "seed-0"
    assert first.group == name
    wanted = {"experiment": name, "net": name, "seed": 0, "data": "mnist", "epochs": 2}
    assert wanted.items() <= first.settings.items()
    assert all(isinstance(value, str | int | float | bool) for value in first.settings.values())


def test_the_driver_of_a_study_logs_a_run_for_each_seed(
    blob_data: Dataset, blobs_for_mnist: Path, tmp_path: Path, kept: type[Kept]
) -> None:
    experiment = find_experiment("4 P 4")
    recipe = RECIPE.replace(epochs=2)
    config = configure_run(experiment.replace(recipe=recipe), blob_data)
    for _ in range(2):  # finished seeds are not trained again, nor logged
        run_study(config, [0, 1], tmp_path, 1, progress=False, executor=Inline(), log="tensorboard")
        check_logs_of_seeds(tmp_path, kept, "4 P 4")
        assert len(kept.seen) == 2


@pytest.mark.slow
@pytest.mark.parametrize("command", ["study", "climb"])
def test_studies_and_ladders_log_what_their_processes_train(
    netlet: Netlet, blobs_for_mnist: Path, kept: type[Kept], command: str
) -> None:
    Path("one.toml").write_text(
        'title = "One"\n[[rung]]\nexperiment = "swift"\ntitle = "First"\ntarget = "Any."\n'
        'set = { epochs = 2, batch_size = 200, backend = "eager", precision = "float32" }\n'
    )
    words = ("swift", *FAST) if command == "study" else ("one.toml",)
    more = ("--seeds", "2", "--workers", "1", "-o", "both", "--log", "tensorboard")
    code, _, err = netlet(command, *words, *more)
    assert code in (0, 1), err
    folder = Path("both")
    if command == "climb":
        folder = next(path.parent.parent for path in folder.rglob(records.RECORD))
    assert len(kept.runs) == 2
    for seed in (0, 1):
        run = records.load_run(folder / f"seed-{seed}")
        points = kept.runs[f"{run.name}-seed{seed}"]
        assert points == {epoch.epoch: epoch_values(epoch) for epoch in run.epochs}


def test_a_log_that_fails_does_not_end_the_training(
    netlet: Netlet, blobs_for_mnist: Path, kept: type[Kept]
) -> None:
    kept.broken = 2
    command = ("train", "4 P 4", *FAST, "-o", "run", "--log", "tensorboard")
    code, _, err = netlet(*command)
    assert code in (0, 1)
    lines = [line for line in err.splitlines() if "logging" in line]
    assert lines == [
        "netlet: warning: logging to tensorboard has failed (OSError: [Errno 28] No space left on "
        "device); the training continues without it"
    ]
    assert "logged to" not in err
    assert list(kept.runs["4 P 4-seed0"]) == [1]
    assert len(records.load_run("run").epochs) == 2


@pytest.mark.parametrize("error", [RuntimeError("cannot\nopen"), SystemExit(1)])
def test_a_log_that_cannot_be_opened_does_not_end_the_training(
    blob_data: Dataset, kept: type[Kept], error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: LoggedRun) -> Kept:
        raise error

    monkeypatch.setattr(run_log, "LOGS", {"tensorboard": fail})
    with pytest.warns(NetletWarning, match="logging to tensorboard has failed") as caught:
        run = package.fit(
            package.build(flat_net, 0), blob_data, RECIPE, progress=False, log="tensorboard"
        )
    assert len(caught) == 1
    assert len(run.epochs) == RECIPE.epochs


def test_a_study_opens_a_log_that_cannot_be_opened_only_once(
    blob_data: Dataset,
    blobs_for_mnist: Path,
    tmp_path: Path,
    kept: type[Kept],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(run: LoggedRun) -> Kept:
        opened.append(run.name)
        raise OSError("the server cannot be reached")

    opened: list[str] = []
    monkeypatch.setattr(run_log, "LOGS", {"tensorboard": fail})
    config = configure_run(find_experiment("4 P 4").replace(recipe=RECIPE), blob_data)
    with pytest.warns(NetletWarning, match="the server cannot be reached") as caught:
        study = run_study(
            config, [0, 1], tmp_path, 1, progress=False, executor=Inline(), log="tensorboard"
        )
    assert len(opened) == len(caught) == 1
    assert [one.seed for one in study.seeds] == [0, 1]


def test_a_log_of_a_failed_training_is_finished(blob_data: Dataset, kept: type[Kept]) -> None:
    class Stop(Callback):
        def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
            if len(epochs) == 2:
                raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        package.fit(
            flat_net(), blob_data, RECIPE, callbacks=[Stop()], progress=False, log="tensorboard"
        )
    assert kept.closed == list(kept.runs) == ["Sequential-seed0"]
    assert list(kept.runs["Sequential-seed0"]) == [1]


@pytest.mark.parametrize("command", few_fast(["train", "study", "climb", "search"], 1))
def test_a_log_that_cannot_be_written_is_refused_before_the_work(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    name = {"climb": "own", "search": "speck"}.get(command, "swift")
    code, out, err = netlet(command, name, "--log", "tensorbord")
    assert (code, out) == (2, "")
    assert "no log 'tensorbord'; did you mean 'tensorboard'? choose one of tensorboard" in err
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in LOGS else found(name, *rest),
    )
    code, out, err = netlet(command, name, "--log", "tensorboard")
    assert (code, out) == (2, "")
    assert "tensorboard is not installed; run pip install '.[tensorboard]' in a checkout" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_wandb_is_refused_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError, match="no API key of Weights & Biases; run 'wandb login'"):
        check_logs(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_logs(["wandb"])


class Module:
    """Stands for the package of wandb or trackio: keeps what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    Settings = dict

    def init(self, **options: Any) -> Any:
        self.calls.append(("init", options))
        outer, name = self, options["name"]

        class Run:
            def log(self, values: dict[str, float], step: int) -> None:
                outer.calls.append((name, step, values))

            def finish(self) -> None:
                outer.calls.append((name, "finish"))

        Run.name = name
        return Run()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_wandb_and_trackio_are_asked_for_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Module()
    monkeypatch.setitem(__import__("sys").modules, name, module)
    run = LoggedRun("swift-seed0", "swift", tmp_path / "run", {"epochs": 2})
    log = LOGS[name](run)
    log.write(1, {"loss/train": 0.5})
    log.close()
    (_, options), *rest = module.calls
    assert rest == [("swift-seed0", 1, {"loss/train": 0.5}), ("swift-seed0", "finish")]
    shared = {key: options[key] for key in ("project", "name", "group", "config")}
    assert shared == {
        "project": "netlet",
        "name": "swift-seed0",
        "group": "swift",
        "config": {"epochs": 2, "folder": str(tmp_path / "run")},
    }
    assert ("dir" in options) == (name == "wandb")
    assert log.place == f"{name}, project netlet, run swift-seed0"


@pytest.mark.slow
def test_wandb_offline_holds_what_was_recorded(
    blob_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(tmp_path / "run")
    run = package.fit(
        flat_net(), blob_data, RECIPE, callbacks=[recorder], progress=False, log="wandb"
    )
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    assert read_wandb(file) == [
        {**{tag: pytest.approx(value) for tag, value in epoch_values(epoch).items()}}
        for epoch in run.epochs
    ]


def read_wandb(file: Path) -> list[dict[str, float]]:
    """Return the points in a file of wandb's, whose own process may still be writing it."""
    from wandb.proto import wandb_internal_pb2

    deadline, kinds, found = time.monotonic() + 60, [], []
    while "exit" not in kinds:
        assert time.monotonic() < deadline, "wandb does not write the end of the run"
        found = [*map(wandb_internal_pb2.Record.FromString, read_log(file.read_bytes()))]
        kinds = [record.WhichOneof("record_type") for record in found]
        time.sleep(0.02)
    points = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            points.append({key: value for key, value in items.items() if key[0] != "_"})
    return points


def read_log(content: bytes) -> Iterator[bytes]:
    """Yield the records of a file in the log format of LevelDB, after wandb's header of 7 bytes.

    Records lie in blocks of 32 KiB. Each part of one has a header: a checksum of 4 bytes, its
    length in 2, and in 1 whether it is whole (1), or a first (2), middle (3) or last (4) part.
    """
    at, block, record = 7, 1 << 15, b""
    while at + 7 <= len(content):
        if block - at % block < 7:  # too little is left for a header
            at += block - at % block
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield record
            record = b""


@pytest.mark.slow
def test_trackio_holds_what_was_recorded(
    blob_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    needs("trackio")
    monkeypatch.chdir(tmp_path)
    run = package.fit(flat_net(), blob_data, RECIPE, progress=False, log="trackio", name="flat")
    from trackio.sqlite_storage import SQLiteStorage

    logs = SQLiteStorage.get_logs("netlet", "flat-seed0")
    points = [{key: log[key] for key in TAGS} for log in logs]
    expected = [epoch_values(epoch) for epoch in run.epochs]
    assert points == [{tag: pytest.approx(values[tag]) for tag in TAGS} for values in expected]


@pytest.mark.slow
def test_a_search_logs_a_run_for_each_trial(
    netlet: Netlet, blobs_without_test: Path, kept: type[Kept]
) -> None:
    needs("optuna")
    code, _, err = netlet(
        "search", "speck", "--trials", "2", "--workers", "1", "--log", "tensorboard"
    )
    assert code == 0, err
    lines = [json.loads(line) for line in Path("trials/speck.jsonl").read_text().splitlines()]
    for line in lines:
        points = kept.runs[f"speck-seed{line['seed']}"]
        assert [points[n]["accuracy/val"] for n in sorted(points)] == [
            100 * correct / line["total"] for correct in line["correct_by_epoch"]
        ]
