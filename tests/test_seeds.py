"""The seeds of a study come back by value from any executor, whatever happens to its workers."""

from __future__ import annotations

import dataclasses
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from netlet import data, records
from netlet.data import Dataset
from netlet.errors import NetError, NetletWarning, TrainingError
from netlet.experiments import configure_run, find_experiment, run_study
from netlet.experiments.execution import (
    Message,
    Sender,
    SocketChannel,
    WorkerDiedError,
    open_channel,
    runner,
    task,
)
from netlet.experiments.execution.channel import SocketSender
from netlet.experiments.execution.net_files import pack_net, unpack_net
from netlet.experiments.execution.runner import checkpoint_interval
from netlet.experiments.execution.task import RunTask, TaskResult, run_task
from netlet.experiments.execution.turns import TurnsExecutor
from netlet.experiments.seeds import _SeedTraining
from netlet.files import host_name
from netlet.locks import lock_folder
from netlet.nets import find_code, user_imports
from netlet.records import RunConfig
from netlet.training.run_folder import RunFolder

CHECKPOINT_ONLY = ["checkpoint.pt"]
KILLED = "its process was killed, as the system does when memory runs out (code -9)"
FINISHED = ["epochs.jsonl", "run.json", "weights.safetensors"]


@dataclasses.dataclass
class DyingSender:
    """Lets a worker die after some messages."""

    sender: Sender
    left: int

    def send(self, message: Message) -> bool:
        if not self.left:
            raise WorkerDiedError(-9)
        self.left -= 1
        return self.sender.send(message)


class InlineExecutor(Executor):
    """Runs each task at once in this process, but by value, as on another machine.

    Args:
        deaths: Seed -> after how many messages its worker dies, for each of its tasks.
        change: Changes a task before it is run.
        restore: Is called after each task.
    """

    def __init__(
        self,
        deaths: Mapping[int, Sequence[int]] | None = None,
        change: Callable[[RunTask], RunTask] = lambda run: run,
        restore: Callable[[], object] = lambda: None,
    ) -> None:
        self._deaths = {seed: list(after) for seed, after in (deaths or {}).items()}
        self._change, self._restore = change, restore
        self.tasks: list[RunTask] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        (run,) = args
        self.tasks.append(run)
        if after := self._deaths.get(run.number):
            run = dataclasses.replace(run, sender=DyingSender(run.sender, after.pop(0)))
        future: Future[TaskResult] = Future()
        try:
            result = fn(pickle.loads(pickle.dumps(self._change(run))))
            future.set_result(pickle.loads(pickle.dumps(result)))
        except Exception as error:
            future.set_exception(error)
        finally:
            self._restore()
        return future


@pytest.fixture(scope="module")
def images(digits_file: Path) -> Dataset:
    return data.load(str(digits_file))


def configure(images: Dataset, digits_file: Path, net: str = "8 P 8", **settings: Any) -> RunConfig:
    """Return a short run of a net, with other settings of its recipe."""
    experiment = find_experiment(net)
    short = {"epochs": 3, "batch_size": 60, "averaging": "ema", "ema_decay": 0.5}
    short |= {"augment": (), "precision": "float32", "backend": "eager"}
    quick = experiment.replace(recipe=experiment.recipe.replace(**short | settings))
    return configure_run(quick, images, dataset=str(digits_file))


@pytest.fixture
def config(images: Dataset, digits_file: Path) -> RunConfig:
    return configure(images, digits_file)


@pytest.fixture(autouse=True)
def _forget_images(monkeypatch: pytest.MonkeyPatch, checkpoint_of_every_epoch: None) -> None:
    """Let each test begin like a new worker, which sends every checkpoint."""
    monkeypatch.setattr(task, "_loaded", {})


def train(config: RunConfig, folder: Path, executor: Executor, seeds: int = 1) -> records.Study:
    return run_study(config, range(seeds), folder, 1, executor=executor, progress=False)


def test_the_files_of_a_seed_are_those_of_a_run(
    config: RunConfig, images: Dataset, tmp_path: Path
) -> None:
    from netlet.experiments import load_experiment
    from netlet.training import Recorder

    train(config, tmp_path / "s", InlineExecutor())
    alone = Recorder(tmp_path / "alone", config.to_dict())
    run = load_experiment(config).run(images, 0, callbacks=[alone], progress=False)
    place = tmp_path / "s" / "seed-0"
    assert sorted(os.listdir(place)) == sorted(os.listdir(tmp_path / "alone")) == FINISHED
    weights = "weights.safetensors"
    assert (place / weights).read_bytes() == (tmp_path / "alone" / weights).read_bytes()
    found = records.load_run(place)
    assert found.to_json() == (place / "run.json").read_text()
    kept = {"times": run.times, "epochs": run.epochs, "started_at": run.started_at}
    assert dataclasses.replace(found, **kept) == run
    lines = (place / "epochs.jsonl").read_text()
    assert lines == records.epoch_lines(found.epochs, found.data["name"])


def test_a_first_message_that_is_lost_costs_nothing(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Message] = []
    hear = _SeedTraining._hear

    def lose_first(self: _SeedTraining, seed: int, message: Message) -> None:
        if not lost and "checkpoint" in message.content:
            lost.append(message)
        else:
            hear(self, seed, message)

    monkeypatch.setattr(_SeedTraining, "_hear", lose_first)
    study = train(config, tmp_path / "s", InlineExecutor())
    assert len(lost) == len(study.seeds) == 1
    assert sorted(os.listdir(tmp_path / "s" / "seed-0")) == FINISHED


def test_another_worker_goes_on_from_the_last_checkpoint(config: RunConfig, tmp_path: Path) -> None:
    whole = train(config, tmp_path / "whole", InlineExecutor())
    executor = InlineExecutor({0: [2, 0]})  # after the first epoch, and before any message
    with pytest.warns(NetletWarning) as caught:
        study = train(config, tmp_path / "s", executor)
    assert {str(one.message) for one in caught} == {
        f"seed 0: {KILLED}; another worker continues after 1 epoch; to avoid this, run it with fewer "
        "workers (--workers)"
    }
    assert study.seeds[0].weights_digest == whole.seeds[0].weights_digest
    assert records.load_run(tmp_path / "s" / "seed-0").resumed_after == (1,)
    assert [run.checkpoint is None for run in executor.tasks] == [True, False, False]


@pytest.mark.slow
def test_a_worker_that_dies_between_checkpoints_costs_the_epochs_since_the_last(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config, tmp_path / "whole", InlineExecutor())
    monkeypatch.setattr(runner, "checkpoint_interval", lambda workers: 60.0)
    executor = InlineExecutor({0: [3, 9]})  # after two epochs; the second one finishes
    with pytest.warns(NetletWarning, match="another worker continues after 0 epochs"):
        study = train(config, tmp_path / "s", executor)
    assert study.seeds[0].weights_digest == whole.seeds[0].weights_digest
    assert len(executor.tasks) == 2
    assert (tmp_path / "s" / "seed-0" / "epochs.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize(("interval_s", "sent"), [(0.0, 4), (60.0, 1)])
def test_progress_of_each_epoch_is_sent_and_checkpoints_at_intervals(
    config: RunConfig, interval_s: float, sent: int
) -> None:
    messages: list[Message] = []

    class Keeps:
        def send(self, message: Message) -> bool:
            messages.append(message)
            return True

    result = run_task(RunTask(0, config.to_dict(), checkpoint_s=interval_s, sender=Keeps()))
    messages = [message for message in messages if message.kind != task.STEP]
    assert [message.values["epochs"] for message in messages] == [0, 1, 2, 3]
    assert all("score" in message.values for message in messages[1:])
    assert ["checkpoint" in one.content for one in messages] == [True] * sent + [False] * (4 - sent)
    for message in messages[1:]:  # the files of a checkpoint are sent together with it
        assert ("log" in message.values) == ("weights" in message.content) == (sent == 4)
    assert result.log.count("\n") == 3


def test_progress_of_short_epochs_is_left_out_on_many_workers(config: RunConfig) -> None:
    messages: list[Message] = []

    class Keeps:
        def send(self, message: Message) -> bool:
            messages.append(message)
            return True

    values = {"checkpoint_s": 60.0, "progress_s": 60.0, "sender": Keeps()}
    result = run_task(RunTask(0, config.to_dict(), **values))  # type: ignore[arg-type]
    assert [message.kind for message in messages] == [task.STARTED]
    assert (result.sent, result.log.count("\n")) == (1, 3)


def test_a_clock_says_which_checkpoints_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 14.9, 15.0, 19.0, 30.0, 34.0])
    monkeypatch.setattr(task, "time", SimpleNamespace(monotonic=lambda: next(times)))
    clock = task.MessageClock(5)
    assert [clock.is_due() for _ in range(6)] == [True, False, True, False, True, False]


def test_many_workers_send_checkpoints_more_rarely(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [checkpoint_interval(workers) for workers in (1, 100, 2_000)] == [5, 5, 100]
    assert [runner.progress_interval(workers) for workers in (1, 100, 2_000)] == [0, 0, 40]
    monkeypatch.setattr(runner, "checkpoint_interval", checkpoint_interval)
    executor = InlineExecutor()
    executor.capacity = 400  # type: ignore[attr-defined]
    train(config, tmp_path / "s", executor)
    assert (executor.tasks[0].checkpoint_s, executor.tasks[0].progress_s) == (20, 8)


def test_a_seed_whose_workers_all_die_is_reported_and_can_be_resumed(
    config: RunConfig, tmp_path: Path
) -> None:
    folder, executor = tmp_path / "s", InlineExecutor({0: [2, 1, 1]})
    with pytest.raises(TrainingError) as caught, warnings.catch_warnings(action="ignore"):
        train(config, folder, executor, seeds=2)
    assert str(caught.value) == (
        f"1 of 2 seeds is not finished (seed 0: {KILLED}); finished seeds are kept in {folder}, "
        "run the same command for the rest with fewer workers (--workers)"
    )
    assert len(executor.tasks) == 4
    assert sorted(os.listdir(folder / "seed-0")) == [*CHECKPOINT_ONLY, FINISHED[0], FINISHED[2]]
    assert sorted(os.listdir(folder / "seed-1")) == FINISHED
    rest = InlineExecutor()
    study = train(config, folder, rest, seeds=2)
    assert [run.number for run in rest.tasks] == [0]
    assert rest.tasks[0].checkpoint is not None
    whole = train(config, tmp_path / "whole", InlineExecutor(), seeds=2)
    assert [one.weights_digest for one in study.seeds] == [
        one.weights_digest for one in whole.seeds
    ]


def test_an_executor_that_breaks_loses_only_what_it_has_not_finished(
    config: RunConfig, tmp_path: Path
) -> None:
    class Breaking(InlineExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if self.tasks:
                raise BrokenExecutor("a process was terminated")
            return super().submit(fn, *args, **kwargs)

    folder = tmp_path / "s"
    with pytest.raises(TrainingError) as caught:
        train(config, folder, Breaking(), seeds=3)
    assert str(caught.value) == (
        "2 of 3 seeds are not finished (seeds 1, 2: BrokenExecutor: a process was terminated); "
        f"finished seeds are kept in {folder}, run the same command for the rest"
    )
    assert os.listdir(folder) == ["seed-0"]


def test_a_worker_that_cannot_reach_the_driver_still_returns_its_result(
    config: RunConfig, tmp_path: Path
) -> None:
    nobody = SocketSender(host_name(), (), 9, b"key")
    executor = InlineExecutor(change=lambda run: dataclasses.replace(run, sender=nobody))
    train(config, tmp_path / "s", executor)
    assert sorted(os.listdir(tmp_path / "s" / "seed-0")) == FINISHED


def test_the_images_come_from_the_driver(
    config: RunConfig, images: Dataset, tmp_path: Path
) -> None:
    elsewhere = dataclasses.replace(config, dataset=str(tmp_path / "gone.npz"), val=60)
    elsewhere = dataclasses.replace(elsewhere, data=images.hold_out(60).describe())
    with pytest.raises(TrainingError, match=r"seed 0: .*gone\.npz"):
        train(elsewhere, tmp_path / "s", InlineExecutor())
    study = run_study(
        elsewhere, [0], tmp_path / "s", 1, executor=InlineExecutor(), progress=False, data=images
    )
    alone = train(
        dataclasses.replace(elsewhere, dataset=config.dataset), tmp_path / "a", InlineExecutor()
    )
    assert study.seeds[0].weights_digest == alone.seeds[0].weights_digest


def test_each_warning_of_the_workers_is_repeated_once(
    images: Dataset, digits_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netlet.backends import select

    monkeypatch.setattr(select, "_MIN_IMAGES_TO_COMPILE", 0)
    monkeypatch.setenv("CC", "/bin/false")
    config = configure(images, digits_file, backend="auto")
    with pytest.warns(NetletWarning) as caught:
        train(config, tmp_path / "s", InlineExecutor(), seeds=2)
    assert [str(one.message) for one in caught] == [
        "training falls back to eager mode: /bin/false failed: it gives no reason"
    ]


def test_a_seed_that_cannot_be_written_costs_the_others_nothing(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_epochs = RunFolder.save_epochs

    def fail(place: RunFolder, *content: Any) -> None:
        if place.path.name == "seed-0":
            raise TrainingError("the disk is full; free some space")
        save_epochs(place, *content)

    monkeypatch.setattr(RunFolder, "save_epochs", fail)
    with pytest.raises(TrainingError, match=r"seed 0: the disk is full; free some space\)"):
        train(config, tmp_path / "s", InlineExecutor(), seeds=2)
    assert sorted(os.listdir(tmp_path / "s" / "seed-0")) == CHECKPOINT_ONLY
    assert sorted(os.listdir(tmp_path / "s" / "seed-1")) == FINISHED


@pytest.mark.slow
def test_a_seed_that_another_process_resumes_is_left_to_it(
    config: RunConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    with pytest.raises(TrainingError), warnings.catch_warnings(action="ignore"):
        train(config, folder, InlineExecutor({0: [1, 1, 1]}))
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock_folder(folder / "seed-0", "netlet train"):
            locked.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait(60)
    try:
        with pytest.raises(TrainingError, match=r"seed-0: process .* is writing there; wait until"):
            train(config, folder, InlineExecutor(), seeds=2)
    finally:
        done.set()
        thread.join()
    assert sorted(os.listdir(folder / "seed-1")) == FINISHED


@pytest.fixture
def _own_imports(tmp_path: Path) -> Iterator[None]:
    """Forget the modules of a test and their folders, which other tests may have as well."""
    path, appended = list(sys.path), list(user_imports._appended)
    yield
    sys.path[:], user_imports._appended[:] = path, appended
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


BLOCKS = "from torch import nn\ndef head(classes):\n    return nn.Conv2d(1, classes, 28)\n"
NET = """
import torch
from torch import nn
{import_}

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.head = head(num_classes)

    def forward(self, x):
        return self.head(x).flatten(1)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("_own_imports")
@pytest.mark.parametrize(
    ("net", "import_", "blocks"),
    [
        ("model.py:Net", "from blocks import head", "blocks.py"),
        ("a/b/model.py:Net", "from kit.blocks import head", "kit/blocks.py"),
        ("a/b/c/d/e/model.py:Net", "from blocks import head", "blocks.py"),
        ("pack.sub.model:Net", "from ..blocks import head", "pack/blocks.py"),
        ("loose.sub.model:Net", "from ..blocks import head", "loose/blocks.py"),
        ("model:Net", "from blocks import head", "blocks.py"),
    ],
)
def test_a_machine_without_the_code_of_the_net_trains_it(
    net: str,
    import_: str,
    blocks: str,
    images: Dataset,
    digits_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = tmp_path / "code"
    place = net.partition(":")[0]
    model = code / (place if "/" in place or ".py" in place else f"{place.replace('.', '/')}.py")
    for path, text in ((model, NET.format(import_=import_)), (code / blocks, BLOCKS)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if "pack" in path.parts:
            for folder in (code / "pack", code / "pack" / "sub"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "__init__.py").touch()
    (code / "pyproject.toml").write_text("")
    monkeypatch.chdir(code)
    config = configure(images, digits_file, net)
    assert config.source_digest

    def move_away(run: RunTask) -> RunTask:
        code.rename(tmp_path / "elsewhere")
        monkeypatch.chdir(tmp_path)
        return run

    def move_back() -> None:
        (tmp_path / "elsewhere").rename(code)
        monkeypatch.chdir(code)

    train(config, tmp_path / "s", InlineExecutor(change=move_away, restore=move_back))
    run = records.load_run(tmp_path / "s" / "seed-0")
    assert (run.source_path, run.source_digest) == (str(model), config.source_digest)


def test_the_code_of_a_net_is_used_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(NET.format(import_=BLOCKS))
    address = f"{path}:Net"
    packed = pack_net(address)
    assert packed is not None
    with unpack_net(packed) as found:
        assert found == address
    path.write_text(NET.format(import_=BLOCKS).replace("head(x)", "head(-x)"))
    with unpack_net(packed) as found:
        assert found != address
        code = find_code(found)
        assert code is not None
        assert code.digest == packed.digest
    assert not Path(found.partition(":")[0]).exists()
    assert pack_net("swift") is None
    outside = dataclasses.replace(packed, digest="other", contents={"../x.py": b""})
    with pytest.raises(NetError, match=r"\.\./x\.py: leads out"), unpack_net(outside):
        pass


@pytest.mark.slow
def test_runs_that_take_turns_have_the_weights_of_runs_alone(
    images: Dataset, digits_file: Path, tmp_path: Path
) -> None:
    config = configure(images, digits_file, "16 P 8", epochs=2)
    events: list[tuple[int, int]] = []
    with TurnsExecutor(2) as executor:
        study = run_study(
            config,
            [0, 1, 2],
            tmp_path / "turns",
            2,
            on_event=lambda event: events.append((event.seed, event.epochs)),
            executor=executor,
        )
        assert executor.submit(abs, -3).result() == 3
    # Two seeds at a time, each epoch of one after that of the other.
    assert [seed for seed, epochs in events if epochs == 1] == [0, 1, 2]
    assert events.index((1, 1)) < events.index((0, 2)) < events.index((2, 1))
    alone = run_study(config, [0, 1, 2], tmp_path / "alone", 1, progress=False)
    assert [one.weights_digest for one in study.seeds] == [
        one.weights_digest for one in alone.seeds
    ]


def test_a_study_without_seeds_is_refused(
    images: Dataset, digits_file: Path, tmp_path: Path
) -> None:
    config = configure(images, digits_file, "16 P 8", epochs=1)
    with pytest.raises(TrainingError, match="there are no seeds to train; name some, like range"):
        run_study(config, range(0), tmp_path / "none", 1)
    with pytest.raises(TrainingError, match="seed 3 is given twice; name each seed once"):
        run_study(config, [3, 4, 3], tmp_path / "none", 1)
    assert not (tmp_path / "none").exists()


def test_a_group_of_runs_says_which_failed_and_what_happened_to_its_process(
    images: Dataset, digits_file: Path
) -> None:
    config = configure(images, digits_file, "16 P 8", epochs=1, peak_lr=1000.0)
    with TurnsExecutor(4) as executor:
        futures = [
            executor.submit(
                run_task, RunTask(seed, dataclasses.replace(config, seed=seed).to_dict())
            )
            for seed in (0, 1)
        ]
        for future in futures:
            with pytest.raises(TrainingError, match="try a lower peak_lr"):
                future.result()
    executor = TurnsExecutor(4)
    with open_channel(executor) as channel:
        assert isinstance(channel, SocketChannel)
        assert channel._listener.address[0] == "127.0.0.1"  # all of its tasks run here
    waiting = executor.submit(run_task, RunTask(0, config.to_dict()))
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled()
