"""Executors run functions elsewhere, lose one task when a worker dies, and leave no process behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import linux_only

from netlet.errors import SandboxError, TrainingError
from netlet.experiments.execution import (
    LocalExecutor,
    Message,
    Sender,
    SocketChannel,
    WorkerDiedError,
    open_channel,
    open_executor,
)
from netlet.experiments.execution import channel as channel_module
from netlet.experiments.execution.runner import TaskRunner
from netlet.files import process_exists
from netlet.worker_server import own_server_socket, worker_context


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(1) as found:
        yield found


def double(value: int) -> int:
    return 2 * value


def refuse(reason: str) -> None:
    raise SandboxError("stopped; run it again", reason)


def raise_unpicklable() -> None:
    raise ValueError(threading.Lock())


def leave(code: int) -> None:
    sys.exit(code)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_answering() -> bytes:
    """Let the process die after half of its answer."""

    def send_half(pipe: Connection, content: bytes, *_: object) -> None:
        os.write(pipe.fileno(), bytes(content)[: len(content) // 2])
        die()

    Connection._send = send_half  # type: ignore[attr-defined]
    return bytes(1_000)


def write_process(path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(600)


def wait_for(path: Path) -> int:
    """Return the number of the process that :func:`write_process` runs in."""
    deadline = time.monotonic() + 60
    while not (path.is_file() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def assert_ends(process: int) -> None:
    deadline = time.monotonic() + 20
    while process_exists(process):
        assert time.monotonic() < deadline, "the process outlives its driver"
        time.sleep(0.05)


def test_a_worker_returns_results_and_raises_the_same_errors(executor: LocalExecutor) -> None:
    assert list(executor.map(double, range(5))) == [0, 2, 4, 6, 8]
    with pytest.raises(SandboxError, match="stopped; run it again") as caught:
        executor.submit(refuse, "memory").result()
    assert caught.value.reason == "memory"
    assert "in refuse" in "".join(caught.value.__notes__)  # where it was raised
    for function, arguments, message in (
        (raise_unpicklable, (), "ValueError: <unlocked _thread.lock"),
        (leave, (3,), "SystemExit: 3"),
    ):
        with pytest.raises(RuntimeError, match=message):
            executor.submit(function, *arguments).result()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        executor.submit(lambda: None).result()
    assert executor.submit(double, 4).result() == 8


@linux_only
def test_an_exit_code_is_right_while_another_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of a process asks every other for its exit code, which a fork server gives once."""
    read, reading = forkserver.read_signed, threading.Event()

    def read_slowly(descriptor: int) -> int:
        if not reading.is_set():
            reading.set()
            time.sleep(0.5)
        return read(descriptor)

    with LocalExecutor(2) as executor:
        executor.submit(double, 1).result()
        monkeypatch.setattr(forkserver, "read_signed", read_slowly)
        dead = executor.submit(die)
        assert reading.wait(60)
        assert executor.submit(double, 2).result() == 4
        with pytest.raises(WorkerDiedError, match=r"\(code -9\)"):
            dead.result()


def test_a_worker_that_dies_fails_only_its_own_task(executor: LocalExecutor) -> None:
    for function, code in ((die, -9), (die_while_answering, -9)):
        before, dies, after = (
            executor.submit(double, 1),
            executor.submit(function),
            executor.submit(double, 2),
        )
        assert before.result() == 2
        with pytest.raises(
            WorkerDiedError, match=rf"killed, .*memory .* \(code {code}\)"
        ) as caught:
            dies.result()
        assert caught.value.code == code
        assert after.result() == 4


def test_the_error_of_a_dead_worker_can_be_pickled() -> None:
    for error in (WorkerDiedError(-9), WorkerDiedError(), WorkerDiedError(3, "gone", "slowly")):
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), vars(again)) == (str(error), vars(error))


def test_only_a_killed_worker_is_said_to_have_lacked_memory() -> None:
    assert str(WorkerDiedError()) == "its process died"
    assert (str(WorkerDiedError(-11)), WorkerDiedError(-11).remedy) == (
        "its process died (code -11)",
        "",
    )
    killed = WorkerDiedError(-9)
    assert "killed, as the system does when memory runs out" in str(killed)
    assert killed.remedy == "with fewer workers (--workers)"


def test_ctrl_c_in_the_driver_ends_running_workers(tmp_path: Path) -> None:
    futures: list[Future[Any]] = []
    processes: list[int] = []

    def interrupted() -> None:
        with open_executor(None, 1) as executor:
            futures.append(executor.submit(write_process, tmp_path / "process"))
            futures.append(executor.submit(double, 1))
            processes.append(wait_for(tmp_path / "process"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not process_exists(processes[0])
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(timeout=1)


ORPHANED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_execution import write_process
from netlet.experiments.execution import LocalExecutor
if __name__ == "__main__":
    with LocalExecutor(1) as executor:
        executor.submit(write_process, Path(sys.argv[2])).result()
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder with a path that leaves room for a socket, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("length", [20, 75, 76, 100])  # above 75, a socket has no place there
def test_a_worker_ends_soon_after_its_driver_was_killed(
    tmp_path: Path, short_folder: Path, length: int
) -> None:
    script, place = tmp_path / "driver.py", tmp_path / "process"
    script.write_text(ORPHANED)
    words = [sys.executable, str(script), str(Path(__file__).parent), str(place)]
    temporary = short_folder / "n".ljust(length - len(str(short_folder)) - 1, "n")
    temporary.mkdir()
    driver = subprocess.Popen(words, env=os.environ | {"TMPDIR": str(temporary)})
    process = wait_for(place)
    driver.kill()
    driver.wait()
    assert_ends(process)
    deadline = time.monotonic() + 20  # the server removes its folder after the worker has ended
    while left := os.listdir(temporary):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def drive(path: Path) -> None:
    LocalExecutor(1).submit(write_process, path)
    time.sleep(600)


@pytest.mark.slow
@linux_only
def test_the_end_of_a_driver_leaves_the_server_of_its_parent(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    executor.submit(double, 1).result()  # starts the server
    socket = own_server_socket()
    context = multiprocessing.get_context("forkserver")
    driver = context.Process(target=drive, args=(tmp_path / "process",))
    driver.start()
    process = wait_for(tmp_path / "process")
    driver.kill()
    driver.join()
    assert_ends(process)
    assert socket
    assert os.path.exists(socket)


@linux_only
@pytest.mark.slow
def test_workers_start_without_a_temporary_folder(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(ORPHANED.replace("write_process, Path(sys.argv[2])", "print, sys.argv[2]"))
    patch = "import tempfile\ndef refuse(): raise FileNotFoundError\ntempfile.gettempdir = refuse\n"
    script.write_text(patch + script.read_text())
    words = [sys.executable, str(script), str(Path(__file__).parent), "started"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "started\n"


def describe_process() -> tuple[str | None, str, int]:
    return os.environ.get("NETLET_TEST"), os.getcwd(), torch.get_num_threads()


def test_a_worker_has_the_environment_of_its_driver_and_its_own_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLET_TEST", "é")
    monkeypatch.chdir(tmp_path)
    with LocalExecutor(1, threads=2) as executor:
        assert executor.submit(describe_process).result() == ("é", str(tmp_path), 2)


@linux_only
def test_a_variable_that_libraries_read_at_their_start_needs_a_new_interpreter(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.submit(double, 1).result()
    module = "netlet.experiments.execution.task"
    assert worker_context(module).get_start_method() == "forkserver"
    monkeypatch.setenv("OMP_SCHEDULE", "static")
    assert worker_context(module).get_start_method() == "spawn"


def test_the_end_of_a_task_waits_for_no_silence_of_the_others(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_channel(executor) as channel, TaskRunner(executor, channel, double) as runner:
        monkeypatch.setattr(runner, "_tasks", {1: None, 2: None})
        rest = [Message(1, "epoch", {"n": n}) for n in range(3)]

        def poll(timeout_s: float) -> list[Message]:
            time.sleep(0.01)
            return [Message(2, "epoch", {}), *(rest[:1] and [rest.pop(0)])]

        monkeypatch.setattr(channel, "poll", poll)
        found = runner._receive_until_quiet(1)  # returns, though task 2 never stops to send
    assert [message.values["n"] for message in found if message.task == 1] == [0, 1, 2]


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(TrainingError, match="'nowhere' is not known"), open_executor("nowhere", 1):
        pass


def send_twice(sender: Sender, content: bytes) -> int:
    sender.send(Message(7, "started", {"epochs": 0}))
    sender.send(Message(7, "epoch", {"name": "é\n"}, {"checkpoint": content, "weights": b""}))
    return os.getpid()


def receive(channel: SocketChannel, count: int) -> list[Message]:
    found: list[Message] = []
    deadline = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < deadline
        found += channel.poll(0.5)
    return found


def test_messages_of_a_worker_arrive_in_order(executor: LocalExecutor) -> None:
    content = os.urandom(300_000)
    with open_channel(executor) as channel:
        assert isinstance(channel, SocketChannel)
        assert executor.submit(send_twice, channel.sender, content).result() != os.getpid()
        first, second = receive(channel, 2)
    assert first == Message(7, "started", {"epochs": 0})
    assert second.values == {"name": "é\n"}
    assert second.content == {"checkpoint": content, "weights": b""}
    # A closed channel costs no task its result.
    assert executor.submit(send_twice, channel.sender, content).result()


def test_a_closed_channel_leaves_no_connection_of_tasks_in_this_process() -> None:
    with ThreadPoolExecutor(1) as executor, open_channel(executor) as channel:
        assert isinstance(channel, SocketChannel)
        executor.submit(send_twice, channel.sender, b"x").result()
        connection = channel_module._connections[channel.sender.key]
        assert connection is not None
    assert channel.sender.key not in channel_module._connections
    assert connection.closed


def test_only_who_has_the_key_is_heard() -> None:
    channel = SocketChannel(local=True)
    try:
        silent = Client(("127.0.0.1", channel.sender.port))  # keeps nobody else waiting
        stranger = Client(("127.0.0.1", channel.sender.port))
        stranger.send_bytes(Message(1, "epoch").to_bytes())
        send_twice(channel.sender, b"x")
        assert [message.task for message in receive(channel, 2)] == [7, 7]
        assert channel.poll(0.1) == []
        silent.close()
        stranger.close()
        channel.wake()
        start = time.monotonic()
        assert channel.poll(60) == []
        assert time.monotonic() - start < 30
    finally:
        channel.close()


DAMAGED = (
    b"",
    b"x" * 40,
    (4).to_bytes(8) + b"null",
    (15).to_bytes(8) + b'[1,"k",{},{"a"',
    (18).to_bytes(8) + b'[1,"k",{},{"a":2}]' + b"123",
    (20).to_bytes(8) + b'[1,"k",{},{"a":"2"}]',
    b"\xff" * 16,
    Message(1, "epoch", {}, {"a": b"123"}).to_bytes()[:-1],
)


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        Message.from_bytes(content)


def resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@linux_only
@pytest.mark.slow
def test_ten_thousand_tasks_need_no_more_memory_than_a_few() -> None:
    with LocalExecutor(2) as executor:
        list(executor.map(double, range(1_000)))
        processes = [os.getpid(), *{child.pid for child in multiprocessing.active_children()}]
        assert len(processes) >= 3
        before = [resident_bytes(process) for process in processes]
        for _ in range(10):
            assert sum(executor.map(double, range(1_000))) == sum(range(0, 2_000, 2))
        after = [resident_bytes(process) for process in processes]
    for one, other in zip(before, after, strict=True):
        assert other - one < 4 << 20


def test_a_script_that_each_worker_would_run_again_is_refused(tmp_path: Path) -> None:
    start = "from netlet.experiments.execution import LocalExecutor\n"
    task = "print(type(LocalExecutor(1)).__name__)\n"
    script = tmp_path / "mine.py"
    script.write_text(f"{start}{task}")
    refused = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.count("Traceback") == 1  # no worker has begun to run it
    assert refused.stderr.splitlines()[-1] == (
        f"netlet.errors.NetletError: {script}, line 2: this starts worker processes, which import "
        'the script, so each would start others; put it below the line if __name__ == "__main__":'
    )
    text = (
        f"import cProfile\n{start}if __name__ == '__main__':\n    cProfile.run({task.strip()!r})\n"
    )
    script.write_text(text)  # code made from text has lines of its own
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("LocalExecutor\n")
