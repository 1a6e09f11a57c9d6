"""Processes that die at any moment: nothing is damaged, and the next run gives the same bits.

Some die before a chosen change of the file system (all of them are tried), the others at a random
moment. After each death the command is run again, and its result is compared with that of a process
that was left alone.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from fault_counts import FaultCounts
from helpers import few_fast, is_unfinished, linux_only, set_options, write_blob_source
from mirror import Mirror, head
from processes import DIED, Crash, Ended, Job, Running, run

from netlet import records
from netlet.data import Source
from netlet.data.npz import load_npz
from netlet.locks import LOCK
from netlet.training import load_checkpoint

pytestmark = linux_only
SEED = 20_160_816
SETTINGS = set_options(epochs=3, batch_size=60, averaging="ema", ema_decay=0.9)
RUN = "runs/swift-seed5"
TRAIN = ("train", "swift", "--seed", "5", *SETTINGS, "--set", "backend=compiled")
LADDER = """\
title = "Two rungs"
[[rung]]
name = "first"
experiment = "8 P 8"
title = "First"
target = "any"
set = { epochs = 2, batch_size = 60 }
[[rung]]
name = "second"
experiment = "8 P 10"
title = "Second"
target = "any"
set = { epochs = 2, batch_size = 60 }
"""
SPACE = """\
budget = { params_below = 600 }
recipe = "quick"
epochs = 3
folds = 3
shapes = ["1k5s2 P 2", "1k5s2 P 1 2"]
rungs = %s

[vary]
backend = "eager"
augment = "none"
batch_size = [40, 80]
peak_lr = { log_uniform = [0.001, 0.02] }
"""
ARMS = """\
recipe = "quick"
epochs = 2
folds = 3
runs = [2, 3]
drop_below = 2

[[arm]]
name = "plain"
net = "2k5s2 P 4"
set = { backend = "eager", batch_size = 40 }

[[arm]]
name = "wider"
net = "2k5s2 P 6"
set = { backend = "eager", batch_size = 40 }
"""
# Files that are there before a command; a template is one of these, or made by a command.
FILES = {
    "ladder": {"ladder.toml": LADDER},
    "spaces": {
        "halving.toml": SPACE % [1],
        "whole.toml": SPACE % [],
        "arms.toml": ARMS,
    },
}
TRIALS = "trials.jsonl"
HOPELESS = 2  # messages: a worker that dies before one of the first has completed no epoch
# What differs between two equal runs.
TIMES = {"times", "train_s", "score_s", "total_s", "started_at", "ended_at"}
INTERRUPTIONS = {"resumed_after", "stretches", "environment", "restarts"}


@dataclass(frozen=True)
class Scenario:
    """A command, where its results are, and how it is run again after its process died."""

    name: str
    words: tuple[str, ...]
    results: tuple[str, ...]
    template: str = ""  # a folder that is there before
    places: tuple[str, ...] = ()  # folders that hold files of somebody else
    resume: str = ""  # a run's folder, from which the command is resumed once it exists
    needs: str = ""  # a package

    def again(self, folder: Path) -> tuple[str, ...]:
        """Return the command that a person runs after the process died."""
        if self.resume and (folder / self.resume).exists():
            return ("train", "--resume", self.resume)
        return self.words


SEARCH = ("--resume", "-o", f"t/{TRIALS}")
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("train", TRAIN, (RUN,), places=("runs",), resume=RUN),
        Scenario("resume", ("train", "--resume", RUN), (RUN,), template="begun", resume=RUN),
        Scenario(
            "study",
            ("study", "8 P 8", "--seeds", "2", "--workers", "2", "-o", "s", *SETTINGS),
            ("s",),
            places=("s",),
        ),
        Scenario(
            "climb",
            ("climb", "ladder.toml", "--seeds", "1", "--workers", "1", "-o", "l"),
            ("l",),
            template="ladder",
            places=("l", "l/first"),
        ),
        Scenario(
            "export to C",
            ("export", "run", "--to", "c", "-o", "c"),
            ("c",),
            template="finished",
            places=("c",),
        ),
        Scenario(
            "export to ONNX",
            ("export", "run", "--to", "onnx", "-o", "o/net.onnx"),
            ("o",),
            template="finished",
            places=("o",),
        ),
        Scenario(
            "export to a page",
            ("export", "run", "--to", "page", "-o", "p/net.html"),
            ("p",),
            template="finished",
            places=("p",),
        ),
        Scenario(
            "search",
            # More trials than Optuna draws without learning from the others.
            ("search", "halving.toml", "--trials", "12", *SEARCH, "--workers", "1"),
            ("t",),
            template="spaces",
            places=("t",),
            needs="optuna",
        ),
        Scenario(
            "search with two workers",
            ("search", "whole.toml", "--trials", "5", *SEARCH, "--workers", "2"),
            ("t",),
            template="spaces",
            places=("t",),
            needs="optuna",
        ),
        Scenario(
            "search of arms",
            ("search", "arms.toml", *SEARCH, "--workers", "2"),
            ("t",),
            template="spaces",
            places=("t",),
        ),
        Scenario("data get", ("data", "get", "mnist", "-o", "d"), ("d",), places=("d", "d/mnist")),
        Scenario(
            "data make",
            ("data", "make", "--train", "30", "--test", "10", "-o", "m/few.npz"),
            ("m",),
            places=("m",),
        ),
    )
}


class Stage:
    """Where the processes run: a data set, a mirror of it, a cache, and what was there before."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "mirror").mkdir()
        (root / "data").mkdir()
        self.mirror = Mirror(root / "mirror")
        source = write_blob_source(root / "mirror", train=240, test=60)
        write_blob_source(root / "data", train=240, test=60)
        self.source: Source = replace(source, mirrors=(self.mirror.url,))
        self._numbers = iter(range(10**6))
        self._wholes: dict[str, Whole] = {}
        for template, files in FILES.items():
            (root / "templates" / template).mkdir(parents=True)
            for name, content in files.items():
                (root / "templates" / template / name).write_text(content)

    def job(self, scenario: Scenario, folder: Path, **changes: Any) -> Job:
        """Return the command of a scenario."""
        environment = {
            "NETLET_DATA": str(self.root / "data"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "NETLET_OFFLINE": None if scenario.name == "data get" else "1",
            "NO_PROXY": "127.0.0.1",
        }
        log = self.root / "logs" / folder.name
        if changes.get("crash"):
            changes["prepare"] = send_every_checkpoint
        return Job(scenario.words, folder, log, environment, self.source, **changes)

    def folder(self, scenario: Scenario) -> Path:
        """Return a new working directory with what the scenario needs, and other files."""
        folder = self.root / "work" / str(next(self._numbers))
        folder.mkdir(parents=True)
        if scenario.template:
            self._prepare(scenario.template)
            shutil.copytree(self.root / "templates" / scenario.template, folder, dirs_exist_ok=True)
        plant(folder, scenario)
        return folder

    def _prepare(self, template: str) -> None:
        place = self.root / "templates" / template
        if place.exists():
            return
        if template == "begun":
            for nth in range(25, 100, 5):  # until it dies after its first epoch
                job = self.job(SCENARIOS["train"], place, crash=Crash(nth))
                assert run(job).code == DIED
                if len(load_checkpoint(place / RUN)[0].epochs) == 1:
                    return
                shutil.rmtree(place)
            pytest.fail("no crash after the first epoch and before the second")
        words = ("train", "8 P 8", "-o", "run", *SETTINGS)
        done = run(replace(self.job(SCENARIOS["train"], place), words=words))
        assert done.code in (0, 1), done.err

    def whole(self, name: str) -> Whole:
        """Return what a process gives that is left alone."""
        if name not in self._wholes:
            scenario = SCENARIOS[name]
            if scenario.name in ("train", "resume"):
                self.run_whole(scenario)  # fills the cache of compiled libraries
            folder, done = self.run_whole(scenario, crash=Crash(0))
            changes, worker_messages = self._changes(folder), 0
            if "--workers" in scenario.words:
                worker_messages = self._changes(self.run_whole(scenario, crash=Crash(0, True))[0])
            self._wholes[name] = Whole(
                result(folder, scenario), done.seconds, changes, worker_messages
            )
        return self._wholes[name]

    def _changes(self, folder: Path) -> int:
        return len(read(self.root / "logs" / folder.name / "changes"))

    def run_whole(self, scenario: Scenario, **changes: Any) -> tuple[Path, Ended]:
        """Run a scenario to its end."""
        folder = self.folder(scenario)
        done = run(self.job(scenario, folder, **changes))
        assert done.code in (0, 1), f"{scenario.name}: {done.err}"
        return folder, done


def send_every_checkpoint(_: Path) -> None:
    """Let workers send the checkpoint of every epoch, since the epochs here are short."""
    from netlet.experiments.execution import runner

    runner.checkpoint_interval = lambda workers: 0.0


@dataclass(frozen=True)
class Whole:
    """What an uninterrupted process gives."""

    result: dict[str, object]
    seconds: float
    changes: int  # of the file system, by the main process
    worker_messages: int


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


# --- files of somebody else

FOREIGN = {
    "notes.txt": b"mine",
    ".few.npz.part": b"mine, too",
    ".study.json.4711.part": b"and mine",
    ".net.netlet-4711-elsewhere-0123456789abcdef.part": b"of another machine",
    ".run.json.netlet-1-x.part": b"nearly the mark of netlet",
    ".kept.part/checkpoint.pt": b"in a folder",
}


def plant(folder: Path, scenario: Scenario) -> None:
    """Put files of somebody else where netlet will write."""
    for place in (".", *scenario.places):
        for name, content in FOREIGN.items():
            path = folder / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (0, 0))


def missing_foreign(folder: Path, scenario: Scenario) -> list[str]:
    return [
        f"{place}/{name}"
        for place in (".", *scenario.places)
        for name, content in FOREIGN.items()
        if read(folder / place / name) != content
    ]


def is_foreign(path: Path) -> bool:
    return path.name in FOREIGN or path.parent.name == ".kept.part"


# --- results


def result(folder: Path, scenario: Scenario) -> dict[str, object]:
    """Return everything that a scenario has written, without times."""
    found: dict[str, object] = {}
    for place in scenario.results:
        for path in sorted((folder / place).rglob("*")):
            if path.is_file() and not is_foreign(path):
                found[str(path.relative_to(folder))] = comparable(path)
    return found


def comparable(path: Path) -> object:
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        lines = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
        # Trials are recorded in the order in which they end.
        return sorted(lines, key=trial_key) if path.name == TRIALS else lines
    # The page of a ladder says how many seconds a rung took.
    content = re.sub(rb"(Time: \d+ epochs? in )\d+ s", rb"\1", path.read_bytes())
    return hashlib.sha256(content).hexdigest()


def trial_key(line: dict[str, Any]) -> tuple[str, int]:
    return line.get("arm", ""), line["seed"]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        dropped = TIMES | INTERRUPTIONS
        return {key: without_times(item) for key, item in value.items() if key not in dropped}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def damaged(folder: Path, scenario: Scenario, whole: Whole) -> list[str]:
    """Return the files that a reader would take for whole and that are not."""
    wrong = []
    for place in scenario.results:
        for path in sorted((folder / place).rglob("*")):
            name = str(path.relative_to(folder))
            temporary = any(is_unfinished(part) for part in path.relative_to(folder).parts)
            if path.is_dir() or is_foreign(path) or temporary or path.name.endswith(LOCK):
                continue
            try:
                check_whole(path)
                if path.suffix in (".gz", ".c", ".h", ".onnx", ".html", ".npz"):
                    assert comparable(path) == whole.result[name], "not the final content"
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__} {error}")
    return wrong


def check_whole(path: Path) -> None:
    """Read a file as netlet does."""
    if path.name == records.RECORD:
        records.load_run(path.parent)
    elif path.name == records.STUDY:
        records.load_study(path.parent)
    elif path.name == records.CHECKPOINT_FILE:
        load_checkpoint(path.parent)
    elif path.suffix == ".npz":
        load_npz(path)
    elif path.suffix == ".gz":
        gzip.decompress(path.read_bytes())
    elif path.suffix == ".safetensors":
        from safetensors.torch import load

        load(path.read_bytes())
    elif path.name == TRIALS:
        whole, _, unfinished = path.read_bytes().rpartition(b"\n")
        assert unfinished == b"" or unfinished.startswith(b"{")  # removed when it is read
        [json.loads(line) for line in whole.splitlines()]
    elif path.suffix == ".jsonl":
        [json.loads(line) for line in path.read_text().splitlines()]


def leftovers(folder: Path) -> list[str]:
    """Return the temporary files and locks of netlet."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not is_foreign(path) and (is_unfinished(path.name) or path.name.endswith(LOCK))
    ]


def make_old(folder: Path) -> None:
    """Let an hour pass for what the dead process has left."""
    for path in folder.rglob("*"):
        if is_unfinished(path.name):
            os.utime(path, (time.time() - 3600,) * 2)


# --- deaths


@dataclass(frozen=True)
class Death:
    """How a process dies: before a change of the file system, or at a moment by a signal."""

    scenario: str
    crash: Crash | None = None
    share: float = 0.0  # of the time that a whole run takes
    signal: int = signal.SIGKILL
    empty_cache: bool = False

    def __str__(self) -> str:
        if self.crash:
            who = "each worker" if self.crash.worker else "process"
            what = "message" if self.crash.worker else "change"
            return f"{self.scenario}: {who} dies before {what} {self.crash.nth} ({self.crash})"
        name = signal.Signals(self.signal).name
        return f"{self.scenario}: {name} after {self.share:.3f} of the time"


def die(stage: Stage, death: Death) -> str:
    """Let a process die and run the command again; return what is wrong."""
    scenario, whole = SCENARIOS[death.scenario], stage.whole(death.scenario)
    share = death.share
    while True:
        folder = stage.folder(scenario)
        job = stage.job(scenario, folder, crash=death.crash)
        if death.empty_cache:
            cache = folder / "cache"
            job = replace(job, env={**job.env, "XDG_CACHE_HOME": str(cache)})
        process = Running(job)
        process.wait_ready()
        if death.crash is None:
            time.sleep(share * whole.seconds)
            process.signal(death.signal)
        done = process.end()
        if death.crash is not None or done.code in (-death.signal, 130):
            break
        share *= 0.7  # it was faster than expected
        if share < 0.01:
            return f"it could not be interrupted (code {done.code}: {done.err[-200:]})"
    return judge_death(stage, death, job, done)


def judge_death(stage: Stage, death: Death, job: Job, done: Ended) -> str:
    scenario, whole = SCENARIOS[death.scenario], stage.whole(death.scenario)
    folder = job.folder
    dead_worker = death.crash is not None and death.crash.worker
    if dead_worker and death.crash:
        # Three workers of a task die at the same place, unless each completes an epoch.
        expected = (2,) if death.crash.nth <= HOPELESS else (0, 1)
        if complaint := done.complaint(expected):
            return f"its death: {complaint}"
    if death.crash and not dead_worker and done.code != DIED:
        return f"it did not die (code {done.code}: {done.err[-300:]})"
    if "Traceback" in done.err:
        return f"a traceback when it died: {done.err[-500:]}"
    if wrong := damaged(folder, scenario, whole):
        return f"damaged files look whole: {wrong}"
    make_old(folder)
    again = run(replace(job, words=scenario.again(folder), crash=None))
    if complaint := again.complaint((0, 1)):
        return f"the second time: {complaint}"
    now = result(folder, scenario)
    left = leftovers(folder)
    if left:
        return f"leftovers stay: {left}"
    if different := sorted(
        k for k in now.keys() | whole.result if now.get(k) != whole.result.get(k)
    ):
        return f"another result: {different}"
    if lost := missing_foreign(folder, scenario):
        return f"files of somebody else are gone: {lost}"
    shutil.rmtree(folder)
    return ""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("kills"))
    made.mirror.answers["*"] = Slowly()  # type: ignore[assignment]
    yield made
    made.mirror.close()


class Slowly(list[Callable[[BaseHTTPRequestHandler, bytes], None]]):
    """Answers that never run out: files in eight pieces, so that a process can die in between."""

    def __bool__(self) -> bool:
        return True

    def pop(self, _: object = 0) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
        def answer(to: BaseHTTPRequestHandler, content: bytes) -> None:
            head(to, len(content))
            size = len(content) // 8 + 1
            for at in range(0, len(content), size):
                time.sleep(0.01)
                try:
                    to.wfile.write(content[at : at + size])
                    to.wfile.flush()
                except OSError:  # the process has died
                    return

        return answer


def try_all(stage: Stage, deaths: list[Death], counts: FaultCounts, what: str) -> None:
    """Let processes die, two at a time; count and report them."""
    for death in deaths:
        stage.whole(death.scenario)
    with ThreadPoolExecutor(2) as pool:
        wrong = list(pool.map(lambda death: safely(stage, death), deaths))
    failures = [f"{death}: {text}" for death, text in zip(deaths, wrong, strict=True) if text]
    counts.add(
        "kills",
        what,
        len(deaths),
        bit_equal=len(deaths) - len(failures),
        failed=len(failures),
        seed=SEED,
    )
    assert not failures, f"{len(failures)} of {len(deaths)}, seed {SEED}:\n" + "\n".join(failures)


def safely(stage: Stage, death: Death) -> str:
    try:
        return die(stage, death)
    except TimeoutError as error:
        return str(error)


def crashes(stage: Stage, name: str, most: int) -> list[Death]:
    """Return deaths before every change of the file system, or before evenly spaced ones."""
    count = stage.whole(name).changes
    numbers = sorted({1 + k * (count - 1) // max(most - 1, 1) for k in range(most)})
    return [Death(name, Crash(nth, lose=SEED + nth)) for nth in numbers if nth <= count]


def moments(name: str, count: int, *, empty_cache: bool = False) -> list[Death]:
    """Return deaths at random moments: most by SIGKILL, some by SIGTERM and Ctrl-C."""
    choose = random.Random(f"{SEED} {name}")
    numbers = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    return [Death(name, None, choose.random(), numbers[k % 4], empty_cache) for k in range(count)]


def first_message(name: str) -> int:
    """Return the first message before which workers die.

    A trial that gets no further is recorded as failed and not run again, unlike a seed of a study.
    """
    return 1 + HOPELESS if SCENARIOS[name].words[0] == "search" else 1


# --- the tests


@pytest.mark.slow
@pytest.mark.parametrize("name", few_fast(["train", "data make"], 1))
def test_a_process_that_dies_damages_nothing_and_can_be_run_again(stage: Stage, name: str) -> None:
    count = stage.whole(name).changes
    choose = random.Random(time.strftime(f"%Y%m%d {name}"))  # another one every day
    death = Death(name, Crash(choose.randint(1, count), lose=1))
    assert not die(stage, death), str(death)


# Scenario -> deaths before changes of the main process, before messages of workers, and at moments.
AMOUNTS = {
    "train": (40, 0, 16),
    "resume": (12, 0, 10),
    "study": (12, 8, 12),
    "climb": (10, 4, 8),
    "search": (8, 2, 5),
    # Where several workers die, a trial may lose a third one, and is recorded as failed.
    "search with two workers": (4, 0, 4),
    "search of arms": (4, 0, 3),
    "export to C": (10, 0, 4),
    "export to ONNX": (6, 0, 4),
    "export to a page": (6, 0, 4),
    "data get": (30, 0, 8),
    "data make": (8, 0, 4),
}


@pytest.mark.faults
@pytest.mark.parametrize("name", AMOUNTS)
def test_no_death_damages_anything_and_the_result_is_bit_identical(
    stage: Stage, name: str, fault_counts: FaultCounts
) -> None:
    if SCENARIOS[name].needs:
        pytest.importorskip(SCENARIOS[name].needs)
    before_changes, of_workers, at_moments = AMOUNTS[name]
    deaths = crashes(stage, name, before_changes) + moments(name, at_moments)
    messages, first = stage.whole(name).worker_messages, first_message(name)
    for k in range(of_workers):
        deaths.append(Death(name, Crash(first + k % (messages // 2), worker=True)))
    try_all(stage, deaths, fault_counts, f"netlet {name}")


@pytest.mark.faults
def test_a_death_while_a_library_is_compiled_leaves_nothing_that_is_loaded(
    stage: Stage, fault_counts: FaultCounts
) -> None:
    try_all(
        stage,
        moments("train", 8, empty_cache=True),
        fault_counts,
        "netlet train, with a cache of compiled libraries that is empty",
    )
