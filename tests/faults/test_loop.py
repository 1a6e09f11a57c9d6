"""Many runs in a row leave no files, descriptors, threads, processes or memory behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from fault_counts import FaultCounts
from helpers import linux_only
from processes import PRELOAD, Job, run
from stage import COMMANDS, copy_template, environment, make_template

from netlet.data import Source

pytestmark = linux_only
RUNS, PROCESSES = 300, 24
WARM_UP = 30  # runs, after which everything is imported, compiled and cached
MEMORY_BYTES = 64 << 20  # more than this is growth
# Some of the commands that run again and again; the others read what they wrote.
CYCLE = ("train", "check", "train", "evaluate", "train", "predict", "train", "data make")


def state(temporary: Path, cache: Path, folder: Path) -> dict[str, object]:
    """Return what a process holds and has left."""
    gc.collect()
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    return {
        "open files": sorted(filter(None, map(target, os.listdir("/proc/self/fd")))),
        "threads": threading.active_count(),
        "threads of the system": len(os.listdir("/proc/self/task")),
        "child processes": children,
        "temporary files": sorted(os.listdir(temporary)),
        "cache": sorted(str(path.relative_to(cache)) for path in cache.rglob("*")),
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    }


def target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""  # the one that lists the folder


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def run_many(root: Path, source: Source, runs: int, warm_up: int, pipe: Connection) -> None:
    """Run commands again and again in this process; send what has changed since the warm-up."""
    torch.set_num_threads(1)
    folder, temporary, cache = root / "loop", root / "tmp", root / "cache"
    for path in (folder, temporary, cache):
        path.mkdir(exist_ok=True)
    copy_template(root, folder)
    os.environ.update({k: v for k, v in environment(root).items() if v}, TMPDIR=str(temporary))
    tempfile.tempdir = None
    os.chdir(folder)
    log = os.open(root / "loop.log", os.O_CREAT | os.O_WRONLY, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    from netlet.cli import main
    from netlet.data import SOURCES

    SOURCES["mnist"] = source  # type: ignore[index]
    before, memory, bad = {}, 0, []
    for number in range(runs):
        if number == warm_up:
            before, memory = state(temporary, cache, folder), resident_bytes()
        shutil.rmtree(folder / "new", ignore_errors=True)
        words = COMMANDS[CYCLE[number % len(CYCLE)]]
        try:
            main(list(words))
        except SystemExit as stop:
            if stop.code not in (0, 1, None):
                bad.append(f"run {number}, {words}: exit code {stop.code}")
    after = state(temporary, cache, folder)
    pipe.send((bad, before, after, resident_bytes() - memory))


def try_loop(root: Path, source: Source, runs: int, warm_up: int) -> list[str]:
    """Return what has grown."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run_many, args=(root, source, runs, warm_up, theirs))
    process.start()
    theirs.close()
    try:
        bad, before, after, growth = ours.recv()
    except EOFError:
        return [f"the process died: {(root / 'loop.log').read_text()[-500:]}"]
    finally:
        process.join()
    if "/new/" in str(after["files"]) and "/new/" not in str(before["files"]):
        after["files"] = [name for name in after["files"] if not name.startswith("new")]
    found = [f"{k}: {before[k]} became {after[k]}" for k in before if before[k] != after[k]]
    if growth > MEMORY_BYTES:
        found.append(f"memory grew by {growth / 2**20:.0f} MiB")
    return bad + found


@pytest.mark.faults
def test_runs_in_one_process_leave_nothing_behind(
    tmp_path: Path, fault_counts: FaultCounts
) -> None:
    source = make_template(tmp_path)
    found = try_loop(tmp_path, source, RUNS, WARM_UP)
    failed = RUNS if found else 0
    fault_counts.add(
        "loops", "commands in one process", RUNS, harmless=RUNS - failed, failed=failed
    )
    assert not found, "\n".join(found)


@pytest.mark.faults
def test_runs_in_processes_leave_nothing_behind(tmp_path: Path, fault_counts: FaultCounts) -> None:
    source = make_template(tmp_path)
    temporary, folder = tmp_path / "tmp", tmp_path / "loop"
    temporary.mkdir()
    copy_template(tmp_path, folder)
    env = environment(tmp_path) | {"TMPDIR": str(temporary)}
    # The netlet.toml of init would change what the commands after it do.
    names = [name for name in COMMANDS if name not in ("init", "data get")]
    found: list[str] = []
    listings = []
    for number in range(PROCESSES + len(names)):
        name = names[number % len(names)]
        shutil.rmtree(folder / "new", ignore_errors=True)
        done = run(Job(COMMANDS[name], folder, tmp_path / "logs" / "loop", env, source))
        found += [f"{name}: {wrong}"] if (wrong := done.complaint((0, 1))) else []
        if number == len(names) - 1 or number == PROCESSES + len(names) - 1:
            shutil.rmtree(folder / "new", ignore_errors=True)
            cache = tmp_path / "cache"
            listings.append([sorted(p.rglob("*")) for p in (temporary, cache, folder)])
    tried = PROCESSES + len(names)
    for before, after in zip(*listings, strict=True):
        found += [f"new file: {path}" for path in after if path not in before]
    # ONNX Runtime notes its first start in one small file, for its makers' statistics.
    if left := [name for name in os.listdir(temporary) if name != ".ses"]:
        found.append(f"temporary files stay: {left}")
    failed = tried if found else 0
    fault_counts.add(
        "loops", "commands in a process each", tried, harmless=tried - failed, failed=failed
    )
    assert not found, "\n".join(found)
