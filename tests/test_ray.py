"""Studies on a Ray cluster: the same weights, whatever happens to workers, nodes and the driver.

Without Ray this file is skipped by its name.
"""

from __future__ import annotations

import math
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import class_of_students
import pytest
from class_of_students import spot_data, write_submission
from helpers import Netlet, needs_sandbox, set_options

from netlet import catalog, records
from netlet.classroom import earlier_grades
from netlet.data import make_scribble, save_npz
from netlet.errors import BudgetError, TrainingError
from netlet.experiments.execution.ray_options import RayOptions

pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")

import ray
from ray import exceptions
from ray.cluster_utils import Cluster

from netlet.experiments.execution import Message, WorkerDiedError, ray_cluster, ray_task
from netlet.experiments.execution.ray_cluster import RayExecutor

ROOT = Path(__file__).parent.parent
FAST = set_options(epochs=4, batch_size=50, precision="float32", ema_decay=0.5)
_WAIT_S = 120.0
GO_ON = "go-on"  # the file that Waiting waits for

# A net that takes its time, so that something can happen to it in the middle of an epoch. Like all
# nets of users it is only in the driver's folder.
SLOW = """
import os, signal, time
from pathlib import Path
import torch
from torch import nn
class Slow(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            time.sleep(0.1)
        return super().forward(x)
class Doomed(Slow):
    def __init__(self):
        super().__init__()
        self.steps = 0
    def forward(self, x):
        self.steps += self.training
        if self.steps > 9:  # the kernel's out-of-memory killer sends this signal, too
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
class Waiting(Slow):
    go_on = Path("GO_ON")
    def __init__(self):
        super().__init__()
        self.steps = 0
    def forward(self, x):
        self.steps += self.training
        while self.steps > 9 and not self.go_on.exists():  # in the second epoch
            time.sleep(0.05)
        return super().forward(x)
"""


@pytest.fixture
def digits(digits_file: Path, tmp_path: Path) -> str:
    shutil.copy(digits_file, tmp_path)
    (tmp_path / "slow.py").write_text(SLOW.replace("GO_ON", str(tmp_path / GO_ON)))
    return digits_file.name


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Start a head node without processors and two nodes with one each."""
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    monkeypatch.setenv("RAY_ADDRESS", started.address)
    try:
        for _ in range(2):
            started.add_node(num_cpus=1)
        yield started
    finally:
        ray.shutdown()
        started.shutdown()


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("ray://", "'ray://' is not known; use local, ray or ray://HOST:PORT"),
        ("ray://head", "'ray://head' is not known"),
        ("ray,gpu=1", "'gpu=1' is not known; use local, ray or ray://HOST:PORT"),
        ("ray,gpus=-1", "'gpus=-1' is not known"),
        ("ray,memory_gib=4GB", "'memory_gib=4GB' is not known; use local, ray or ray://HOST:PORT"),
        ("ray,code=mine", "'code=mine' is not known"),
    ],
)
def test_options_that_name_no_cluster_are_refused(on: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        RayOptions.parse(on)


def test_options_are_read() -> None:
    assert RayOptions.parse("ray") == RayOptions()
    options = RayOptions.parse("ray://[::1]:10001,gpus=.5,code=send,memory_gib=1.5")
    assert options == RayOptions("ray://[::1]:10001", 0.5, True, memory_gib=1.5)
    assert options.resources(threads=2) == {"CPU": 2, "GPU": 0.5, "memory": 3 * 2**29}
    assert RayOptions().resources(threads=1) == {"CPU": 1}


def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**settings: Any) -> None:
        raise Exception("the node timed out during startup\nand more")  # as Ray does

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(
        TrainingError, match=r"^Ray cannot be started here: .* during startup; run without"
    ):
        RayExecutor(RayOptions())


def test_an_executor_on_ray_behaves_as_any_other() -> None:
    """Results, errors, shared values, messages, a death and a cancellation."""
    executor = RayExecutor(RayOptions(), 1)
    try:
        assert executor.submit(math.hypot, 3, 4).result(_WAIT_S) == 5
        with pytest.raises(BudgetError, match="nothing_like_it"):
            executor.submit(catalog.find_budget, "nothing_like_it").result(_WAIT_S)
        channel = executor.open_channel()
        sent = Message(7, "epoch", {"epochs": 1}, {"checkpoint": bytes(200_000)})
        executor.submit(type(channel.sender).send, channel.sender, sent).result(_WAIT_S)
        assert channel.poll(_WAIT_S) == [sent]
        images = make_scribble(train=20, test=10)
        shared = channel.share(images)
        found = executor.submit(type(shared).fetch, shared).result(_WAIT_S)
        assert found.digest == images.digest
        assert found.train.sha256() == images.train.sha256()
        channel.wake()
        assert channel.poll(_WAIT_S) == []
        channel.close()

        with pytest.raises(WorkerDiedError, match="died"):
            executor.submit(os.abort).result(_WAIT_S)
        running, waiting = executor.submit(time.sleep, 1_000), executor.submit(math.sqrt, 4)
        assert running.cancel()
        assert running.cancelled()
        assert waiting.result(_WAIT_S) == 2
        left = executor.submit(time.sleep, 1_000)
        with RayExecutor(RayOptions()) as other:  # of the same Ray, which goes on afterwards
            assert other.submit(math.sqrt, 9).result(_WAIT_S) == 3
        with RayExecutor(RayOptions(memory_gib=0.25)) as other:
            reserved = "__import__('ray').get_runtime_context().get_assigned_resources()"
            found = other.submit(eval, reserved).result(_WAIT_S)
            assert found == {"CPU": 1, "memory": 2**28}
        said: list[str] = []
        with RayExecutor(RayOptions(memory_gib=9_999), say=said.append) as other:
            assert other.capacity == 1
        assert said == [
            "no node of the Ray cluster has 1 CPU and 9999 GiB of memory for tasks yet; waiting for "
            "one, Ctrl-C to stop"
        ]
        for options in (RayOptions("ray://other:10001"), RayOptions(send_code=True)):
            with pytest.raises(TrainingError, match=r"already; call ray.shutdown\(\) first"):
                RayExecutor(options)
    finally:
        executor.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        left.result(0)
    assert not ray.is_initialized()
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(math.sqrt, 4)


def test_a_task_sees_only_the_gpus_that_it_has_reserved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray_task, "_here", {"sources": "same", "node": "one"})
    monkeypatch.setenv("NETLET_NODE", "")
    call = pickle.dumps((os.getenv, ("CUDA_VISIBLE_DEVICES",), {}))
    for gpus, file, expected in (
        ([0], tmp_path, "0"),
        ([], tmp_path / "none", "0"),
        ([], tmp_path, ""),
    ):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # as Ray sets it
        monkeypatch.setattr(ray, "get_gpu_ids", lambda gpus=gpus: gpus)
        monkeypatch.setattr(ray_task, "_GPU_FILES", (str(file),))
        assert pickle.loads(ray_task.answer_call("same", call, [])) == ("result", expected)
    assert os.environ["NETLET_NODE"] == "one"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (exceptions.OutOfMemoryError("low"), WorkerDiedError, "ran out of memory, and Ray ended"),
        (exceptions.NodeDiedError("gone"), WorkerDiedError, "its node died"),
        (exceptions.WorkerCrashedError(), WorkerDiedError, "its process or its node died"),
        (exceptions.ObjectLostError("00", b"", ""), WorkerDiedError, "its process or its node"),
        (exceptions.TaskCancelledError(), CancelledError, "^$"),
        (exceptions.RaySystemError("odd\nlines"), TrainingError, "could not run it: System error"),
        (ConnectionError("the head is gone"), TrainingError, "could not run it: the head is gone"),
    ],
)
def test_errors_of_ray_say_whether_another_worker_may_succeed(
    error: Exception, kind: type[Exception], message: str
) -> None:
    answer: Future[bytes] = Future()
    answer.set_exception(error)
    with pytest.raises(kind, match=message) as raised:
        ray_cluster._unpack(answer)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, WorkerDiedError) == (kind is WorkerDiedError)


def wait_for(found: Any) -> None:
    end = time.monotonic() + _WAIT_S
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def digests(folder: Path) -> dict[int, str]:
    return {seed.seed: seed.weights_digest for seed in records.load_study(folder).seeds}


@pytest.mark.slow
def test_tasks_keep_their_processors_while_they_send_messages(cluster: Cluster) -> None:
    """``ray.get`` in a task lends its processors to another task, and both would run."""
    task = """
import time
for number in range(20):
    sender.send(Message(seed, "tick", {"number": number, "end": number == 19}))
    time.sleep(0.05)
"""
    with RayExecutor(RayOptions()) as executor:
        channel = executor.open_channel()
        try:
            values = {"sender": channel.sender, "Message": Message}
            futures = [executor.submit(exec, task, {**values, "seed": s}) for s in range(6)]
            for future in futures:
                future.result(_WAIT_S)
            running, most = set(), 0
            for message in channel.poll(_WAIT_S):
                running.add(message.task)
                most = max(most, len(running))
                if message.values["end"]:
                    running.remove(message.task)
            assert (most, running) == (2, set())  # two nodes with one processor each
        finally:
            channel.close()


@pytest.mark.slow
@pytest.mark.usefixtures("checkpoint_of_every_epoch")
def test_a_removed_node_changes_no_bit(
    netlet: Netlet, digits: str, tmp_path: Path, cluster: Cluster
) -> None:
    """The seed of the node goes on with the other one, after its last complete epoch."""
    common = ("study", "slow.py:Waiting", "--dataset", digits, "--seeds", "2", *FAST)
    logs = [tmp_path / "far" / f"seed-{seed}" / records.EPOCHS for seed in (0, 1)]
    failures: list[BaseException] = []

    def remove_a_node() -> None:
        try:
            wait_for(lambda: all(log.is_file() for log in logs))
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        except BaseException as error:
            failures.append(error)
        finally:
            (tmp_path / GO_ON).touch()

    remover = threading.Thread(target=remove_a_node)
    remover.start()
    code, _, err = netlet(*common, "--on", "ray", "--out", "far")
    remover.join()
    assert not failures
    assert code == 0, err
    code, _, err = netlet(*common, "--out", "near")
    assert code == 0, err
    assert digests(tmp_path / "far") == digests(tmp_path / "near")
    study = records.load_study(tmp_path / "far")
    assert sorted(len(seed.trained_on) for seed in study.seeds) == [1, 2]
    nodes = {machine["node"] for seed in study.seeds for machine in seed.trained_on}
    assert len(nodes) == 2
    assert all("Ray node " in node for node in nodes)
    assert all(machine["cpu"] for seed in study.seeds for machine in seed.trained_on)
    runs = [records.load_run(tmp_path / "far" / f"seed-{seed}") for seed in (0, 1)]
    (moved,) = (run for run in runs if run.resumed_after)
    assert 1 <= moved.resumed_after[0] < 4


@pytest.mark.slow
def test_a_driver_outside_of_the_cluster_trains_the_same_weights(
    netlet: Netlet, digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "ray_client_server_port": port}
    )
    common = ("study", "slow.py:Doomed", "--dataset", digits, "--seeds", "2", *FAST)
    try:
        started.add_node(num_cpus=1)
        where = ("--on", f"ray://127.0.0.1:{port}", "--out", "far")
        code, _, err = netlet(*common[:1], "slow.py:Slow", *common[2:], *where)
        assert code == 0, err
        code, _, err = netlet(*common, *where[:-1], "doomed")
    finally:
        ray.shutdown()
        started.shutdown()
    assert code == 2
    assert "died); run the same command for them" in err.splitlines()[-1]
    code, _, err = netlet(*common[:1], "slow.py:Slow", *common[2:], "--out", "near")
    assert code == 0, err
    assert digests(tmp_path / "far") == digests(tmp_path / "near")


@pytest.mark.slow
@pytest.mark.usefixtures("checkpoint_of_every_epoch")
def test_a_worker_that_dies_is_tried_again_then_reported(
    netlet: Netlet, digits: str, tmp_path: Path, cluster: Cluster
) -> None:
    common = ("--dataset", digits, "--on", "ray", "--seeds", "1", *FAST)
    code, out, err = netlet("study", "slow.py:Doomed", *common, "--out", "s")
    assert (code, out) == (2, "")
    assert "1 of 1 seed is not finished (seed 0: " in err.splitlines()[-1]
    assert "died" in err.splitlines()[-1]
    assert "run the same command for them" in err.splitlines()[-1]
    # Each attempt keeps the epoch of 6 steps that it completes, and the third is the last.
    assert (tmp_path / "s" / "seed-0" / "checkpoint.pt").is_file()


@pytest.mark.slow
def test_nodes_with_another_netlet_are_refused(
    netlet: Netlet, digits: str, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "src" / "netlet", other / "netlet")
    init = other / "netlet" / "__init__.py"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "9.'))
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(other)})
    common = ("study", "code_2", "--dataset", digits, "--seeds", "1", *FAST)
    code, out, err = netlet(*common, "--on", "ray")
    assert (code, out) == (2, "")
    (line,) = (line for line in err.splitlines() if line.startswith("netlet: "))
    assert "the driver has netlet 0." in line
    assert "has netlet 9.0." in line
    assert "sources " in line
    assert "code=send" in line
    assert not (tmp_path / "studies").exists()
    code, _, err = netlet(*common, "--on", "ray,code=send")
    assert code == 0, err


@pytest.mark.slow
def test_a_killed_driver_loses_no_finished_seed(
    netlet: Netlet, digits: str, tmp_path: Path, cluster: Cluster
) -> None:
    common = ("study", "slow.py:Slow", "--dataset", digits, "--seeds", "4", *FAST)
    command = [sys.executable, "-m", "netlet", *common, "--on", "ray", "--out", "far"]
    driver = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for(lambda: list((tmp_path / "far").glob("seed-*/run.json")))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("far/seed-*/run.json")}
    begun = list((tmp_path / "far").glob("seed-*/checkpoint.pt"))
    assert 1 <= len(finished) < 4
    code, _, err = netlet(*common, "--on", "ray", "--out", "far")
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert begun
    assert err.count(": seed ") == 4 - len(finished)
    code, _, err = netlet(*common, "--out", "near")
    assert code == 0, err
    assert digests(tmp_path / "far") == digests(tmp_path / "near")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])  # Ctrl-C; Slurm's scancel
def test_a_signal_keeps_finished_seeds_and_ends_the_tasks(
    digits: str, tmp_path: Path, cluster: Cluster, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "netlet", "study", "slow.py:Slow", "--dataset", digits]
    command += ["--seeds", "6", *FAST, "--on", "ray", "--out", "far"]
    driver = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list((tmp_path / "far").glob("seed-*/run.json")))
    driver.send_signal(number)
    _, err = driver.communicate(timeout=_WAIT_S)
    assert driver.returncode == 130, err
    assert (
        "finished seeds and checkpoints are kept in far, run the same command for the rest" in err
    )
    assert "Traceback" not in err
    ray.init(address=cluster.address, log_to_driver=False)
    wait_for(lambda: ray.available_resources().get("CPU") == 2)


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_named(
    netlet: Netlet, digits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, out, err = netlet("study", "code_2", "--dataset", digits, "--seeds", "1", "--on", "ray")
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith("netlet: the Ray cluster at 127.0.0.1:1 cannot be used: ")
    assert "ray start --head" in line


@pytest.mark.slow
@needs_sandbox
def test_a_class_is_graded_on_the_nodes_as_here(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.chdir(tmp_path)
    save_npz(spot_data(), Path("spots.npz"))
    Path("class.toml").write_text("params_below = 8_000\naccuracy_at_least = 95\n")
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "class").mkdir()
    for name in ("right.zip", "right-repository", "wrong-liar", "hostile-reads", "hostile-lookup"):
        write_submission(tmp_path / "class", name, class_of_students.submissions(secret)[name][0])
    common = ("grade", "class", "--dataset", "spots.npz", "--budget", "class.toml")
    for more in (("--on", "ray", "--out", "far"), ("--out", "near")):
        code, _, err = netlet(*common, *more)
        assert code == 1, err
    far, near = (earlier_grades.read_grades(Path(folder)) for folder in ("far", "near"))
    assert {one.name: one.state for one in near.values()} == {
        "right": "PASS",
        "right-repository": "PASS",
        "wrong-liar": "FAIL",
        "hostile-reads": "ERROR",
        "hostile-lookup": "REVIEW",
    }
    # The noise of the copies is another one.
    changed = {"perturbed": None, "seconds": 0, "problem": ""}
    assert {name: one.replace(**changed) for name, one in far.items()} == {
        name: one.replace(**changed) for name, one in near.items()
    }
