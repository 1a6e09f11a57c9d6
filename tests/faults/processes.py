"""Run ``netlet`` in processes that can be killed, limited and disturbed in every way."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from netlet.data import Source

PRELOAD = [
    "netlet.cli",
    "netlet.experiments",
    "netlet.training",
    "netlet.export",
    "netlet.stats",
    "netlet.backends.cpu",
    "torch._dynamo",
    "filelock",
    "requests",
    "pydantic",
    "optuna",
    "processes",
]
DIED = -signal.SIGKILL
# What changes a folder; the process dies before the n-th of them.
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod"}
_start = threading.Lock()


@dataclass(frozen=True)
class Crash:
    """A crash at a fixed place: before the n-th change of a file or folder.

    Workers change none. Each crashes before the n-th message that it sends for one of its tasks:
    which tasks share a process depends on the moment at which the others end.

    Attributes:
        nth: From 1; 0 only counts the changes, into the file ``changes`` in the log folder.
        worker: Whether each worker process crashes instead of the main one.
        lose: Seed; the file that is flushed to the disk at that moment loses part of its content,
            as after a power failure; of one that is added to, only what was not flushed before.
            None: nothing is lost.
    """

    nth: int
    worker: bool = False
    lose: int | None = None


@dataclass(frozen=True)
class Job:
    """A command to run in a process of its own.

    Attributes:
        words: Of the command line.
        folder: The working directory.
        log: Folder for its output; outside of ``folder``.
        env: Changes to the environment; None removes a variable.
        source: Takes the place of MNIST.
        crash: Where to die.
        prepare: Called before the command, with ``folder``; it may close or redirect streams.
    """

    words: tuple[str, ...]
    folder: Path
    log: Path
    env: Mapping[str, str | None] = field(default_factory=dict)
    source: Source | None = None
    crash: Crash | None = None
    prepare: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str
    seconds: float

    def complaint(self, allowed: tuple[int, ...] = (0, 1, 2)) -> str:
        """Return what is wrong with the way in which a command ended; empty if it is right."""
        if self.code not in allowed:
            return f"exit code {self.code}: {self.err[-300:]!r}"
        if "Traceback" in self.err or "Traceback" in self.out:
            return f"a traceback: {self.err[-1500:]!r}"
        last = self.err.strip().splitlines()[-1:] if self.code == 2 else []
        if self.code == 2 and not (last and last[0].startswith("netlet: ")):
            return f"exit code 2 without a line that says why: {self.err[-300:]!r}"
        if "(--debug shows where)" in self.err:
            return f"an error that nothing explains: {self.err[-300:]!r}"
        return ""


class Running:
    """A process that runs a command."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("forkserver")
        self._job = job
        job.folder.mkdir(parents=True, exist_ok=True)
        job.log.mkdir(parents=True, exist_ok=True)
        with _start:
            context.set_forkserver_preload(PRELOAD)
            self._ready, theirs = context.Pipe()
            self._process = context.Process(target=_run, args=(job, theirs))
            self._process.start()
            theirs.close()

    def wait_ready(self) -> None:
        """Wait until the command begins."""
        if self._ready.poll(60):
            with contextlib.suppress(EOFError):
                self._ready.recv()
        self._began = time.monotonic()

    def signal(self, number: int) -> None:
        """Send a signal to the main process alone."""
        assert self._process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def end(self, timeout_s: float = 120.0) -> Ended:
        """Wait until the process and those that it started have ended.

        Raises:
            TimeoutError: It hangs, or its workers outlive it; all are killed.
        """
        wait([self._process.sentinel], timeout_s)
        # The start of a process asks every other for its exit code, which can be read only once.
        with _start:
            code = self._process.exitcode
        group = self._process.pid
        assert group is not None
        seconds = time.monotonic() - getattr(self, "_began", time.monotonic())
        if not _group_ends(group, 10.0 if code is not None else 0.0):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            what = "hangs" if code is None else "leaves processes behind"
            raise TimeoutError(f"netlet {' '.join(self._job.words)} {what}")
        self._ready.close()
        texts = [
            (self._job.log / name).read_text(encoding="utf-8", errors="replace")
            for name in ("out", "err")
        ]
        assert code is not None
        return Ended(code, texts[0], texts[1], seconds)


def run(job: Job, timeout_s: float = 120.0) -> Ended:
    """Run a command to its end."""
    process = Running(job)
    process.wait_ready()
    return process.end(timeout_s)


def _group_ends(group: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def _run(job: Job, ready: Any) -> None:
    """Run a command in a process that has imported everything already."""
    import torch

    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for key, value in job.env.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
    os.chdir(job.folder)
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(job.log / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    if job.prepare:
        job.prepare(job.folder)
    _open_streams()
    torch.set_num_threads(1)
    _fork_workers()
    if job.source:
        from netlet.data import SOURCES

        SOURCES["mnist"] = job.source  # type: ignore[index]
    if job.crash:
        _crash(job.crash, job.folder, job.log / "changes")
    from netlet.cli import main

    ready.send(True)
    try:
        main(list(job.words))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            code = 120  # as the interpreter does
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.flush()
        os._exit(code)


def _open_streams() -> None:
    """Open the standard streams as a new interpreter does; closed ones are None."""
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = None
        with contextlib.suppress(OSError):
            os.fstat(number)
            mode, buffering = ("w" if number else "r"), (1 if number == 2 else -1)
            stream = open(number, mode, buffering, encoding, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def _fork_workers() -> None:
    """Let workers of a study start at once, as copies of this process, which has one thread."""
    original = multiprocessing.get_context
    multiprocessing.get_context = lambda _=None: original("fork")  # type: ignore[assignment,misc]


def _crash(crash: Crash, folder: Path, log: Path) -> None:
    """Die before the n-th change of a file or folder below ``folder``, or before a message."""
    main_process, counts = os.getpid(), Counter[int]()  # for each task of a worker
    watched = (str(folder), os.environ.get("XDG_CACHE_HOME", "/nowhere"))
    fsync = os.fsync
    flushed: dict[int, int] = {}  # bytes of the files that are added to, by their inode

    def change(handle: int | None = None, task: int = 0) -> None:
        if crash.worker == (os.getpid() == main_process):
            return
        counts[task] += 1
        if crash.nth == 0:
            with_count = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            os.write(with_count, b".")
            os.close(with_count)
        elif counts[task] == crash.nth:
            if handle is not None and crash.lose is not None:
                with contextlib.suppress(OSError):
                    state = os.fstat(handle)
                    kept = flushed.get(state.st_ino, 0)
                    os.ftruncate(handle, random.Random(crash.lose).randint(kept, state.st_size))
            os.kill(os.getpid(), signal.SIGKILL)

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str | bytes):
                name = os.path.abspath(os.fsdecode(path))
                if name.startswith(watched):
                    change()
        elif event in _CHANGES:
            change()

    def flush(handle: Any) -> None:
        descriptor = handle if isinstance(handle, int) else handle.fileno()
        change(descriptor)
        fsync(handle)
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
            state = os.fstat(descriptor)
            flushed[state.st_ino] = state.st_size

    if crash.worker:
        _call_before_messages(lambda message: change(task=message.task))
        return
    os.fsync = flush
    sys.addaudithook(see)


def _call_before_messages(call: Callable[[Any], None]) -> None:
    from netlet.experiments.execution.channel import SocketSender

    send = SocketSender.send

    def call_and_send(sender: SocketSender, message: Any) -> bool:
        call(message)
        return send(sender, message)

    SocketSender.send = call_and_send  # type: ignore[method-assign]


@contextlib.contextmanager
def extra_environment(**values: str) -> Iterator[None]:
    """Change the environment of this process for a while."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
