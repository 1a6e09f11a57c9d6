"""One process at a time writes into a folder; the others are refused, with the holder's name."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlet.errors import LockedError, OutputError
from netlet.files import host_name
from netlet.locks import LOCK, find_holder, lock_file, lock_folder

HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom netlet.locks import lock_folder\n"
    "with lock_folder(Path(sys.argv[1]), 'netlet train'):\n"
    "    print('held', flush=True)\n    time.sleep(100)\n"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of ``tmp_path``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_locked_folder_is_refused_with_process_host_and_command(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(LockedError) as caught, lock_folder(tmp_path, "netlet study"):
        pass
    assert re.fullmatch(
        rf"{re.escape(str(tmp_path))}: process {holder.pid} on {re.escape(host_name())} "
        r"\(netlet train since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\) is writing there; "
        "wait until it has ended",
        str(caught.value),
    )
    assert str(holder.pid) in str(find_holder(tmp_path / LOCK))


def test_the_lock_of_a_killed_process_is_no_obstacle(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.wait()
    assert os.listdir(tmp_path) == [LOCK]
    with lock_folder(tmp_path, "netlet study"):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert os.listdir(tmp_path) == []


def test_a_lock_is_waited_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    threading.Timer(0.3, holder.kill).start()
    with lock_folder(tmp_path, "netlet study", wait_s=20):
        pass


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), lock_folder(tmp_path / "a" / "b", "netlet"):
        raise ValueError("inside")
    with lock_file(tmp_path / "trials.jsonl", "netlet search"):
        assert os.listdir(tmp_path) == [f".trials.jsonl{LOCK}"]
    assert os.listdir(tmp_path) == []
    with lock_folder(tmp_path / "a", "netlet"):
        (tmp_path / "a" / "kept").touch()
    assert os.listdir(tmp_path / "a") == ["kept"]


def refusal(folder: Path) -> str:
    """Return why another thread cannot lock a folder; empty if it can."""
    reasons: list[str] = []

    def lock() -> None:
        try:
            with lock_folder(folder, "netlet study"):
                pass
        except LockedError as error:
            reasons.append(str(error))

    other = threading.Thread(target=lock)
    other.start()
    other.join()
    return "".join(reasons)


def test_a_thread_may_lock_a_folder_again_but_no_other_thread(tmp_path: Path) -> None:
    with lock_folder(tmp_path, "netlet train"):
        with lock_folder(tmp_path, "netlet train"):
            pass
        assert f"process {os.getpid()} on" in refusal(tmp_path)
    assert refusal(tmp_path) == ""


def test_a_filesystem_without_locks_still_has_one_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import filelock._native._unix as native

    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(native.fcntl, "flock", unsupported)
    with lock_folder(tmp_path, "netlet train"):
        assert f"process {os.getpid()} on" in refusal(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_somebody_else_wrote_into_a_lock_is_not_shown(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    (tmp_path / LOCK).write_text("\x1b[2Jprocess 1 on a (netlet)")
    assert "another process is writing there" in refusal(tmp_path)


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / LOCK).symlink_to("mine")
    with pytest.raises(OutputError, match="cannot be written"), lock_folder(tmp_path, "netlet"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / LOCK).is_symlink()
