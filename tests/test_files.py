"""Files are written atomically, and nothing that netlet did not make is deleted or replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import is_unfinished

from netlet import files
from netlet.files import create_folder_atomic, remove_unfinished, temporary_path, write_atomic
from netlet.scratch import scratch_folder


def leftover(folder: Path, name: str, *, process: int, host: str | None = None) -> Path:
    """Return the path that a process on a host would use for an unfinished file."""
    path = temporary_path(folder / name)
    mine = f"netlet-{os.getpid()}-{files.host_name()}-"
    return path.with_name(path.name.replace(mine, f"netlet-{process}-{host or files.host_name()}-"))


@pytest.fixture(scope="module")
def dead_process() -> int:
    """The number of a process that has ended."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


def age(path: Path, seconds: float = 3600) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_only_old_files_of_dead_processes_of_this_host_are_removed(
    tmp_path: Path, dead_process: int
) -> None:
    def make(path: Path, seconds: float = 3600) -> Path:
        path.write_text("half")
        age(path, seconds)
        return path

    old = make(leftover(tmp_path, "run.json", process=dead_process))
    stay = [
        make(leftover(tmp_path, "run.json", process=dead_process), 1),
        make(leftover(tmp_path, "run.json", process=os.getpid())),
        make(leftover(tmp_path, "run.json", process=dead_process, host="elsewhere")),
        make(tmp_path / ".film.2023.mkv.part"),
        make(tmp_path / f".run.json.{dead_process}.x.part"),
        make(tmp_path / f".notes.netlet-{dead_process}.part"),
        make(Path(f"{leftover(tmp_path, 'a', process=dead_process)}.txt")),
    ]
    link = leftover(tmp_path, "link", process=dead_process)
    link.symlink_to(stay[3])
    remove_unfinished(tmp_path)
    assert not old.exists()
    assert all(path.exists() for path in [*stay, link])
    remove_unfinished(tmp_path / "nowhere")


def test_a_folder_is_removed_only_if_it_holds_nothing_but_known_files(
    tmp_path: Path, dead_process: int
) -> None:
    known, other, deep = (
        leftover(tmp_path, name, process=dead_process) for name in ("a", "b", "c")
    )
    for folder in (known, other, deep):
        folder.mkdir()
        (folder / "checkpoint.pt").write_text("half")
    (other / "thesis.tex").write_text("years of work")
    (deep / "weights").mkdir()
    for folder in (known, other, deep):
        age(folder)
    remove_unfinished(tmp_path, ["checkpoint.pt", "weights"])
    assert not known.exists()
    assert sorted(path.name for path in other.iterdir()) == ["checkpoint.pt", "thesis.tex"]
    assert deep.exists()


@pytest.mark.parametrize(
    "name", ["n" * 255, "é" * 127, "x", b"caf\xe9".decode(errors="surrogateescape")]
)
def test_names_of_any_length_and_encoding_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, "content")
    write_atomic(tmp_path / name, "other")
    assert (tmp_path / name).read_text() == "other"
    create_folder_atomic(tmp_path / "in" / name, {"file": b"content"})
    assert os.listdir(tmp_path / "in") == [name]
    assert files._MARK.fullmatch(temporary_path(tmp_path / name).name)  # can be removed


def test_a_replaced_file_keeps_its_permissions_and_a_new_one_follows_the_umask(
    tmp_path: Path,
) -> None:
    for mode in (0o600, 0o640, 0o755):
        path = tmp_path / f"{mode:o}"
        path.write_text("old")
        path.chmod(mode)
        write_atomic(path, "new")
        assert path.read_text() == "new"
        assert path.stat().st_mode & 0o777 == mode
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "new", "")
        create_folder_atomic(tmp_path / "folder", {})
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_links_pipes_and_read_only_files_in_netlets_folders_are_not_replaced(
    tmp_path: Path,
) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "kept").chmod(0o444)
    for name in ("link", "pipe", "folder", "kept"):
        with pytest.raises(OSError, match=r"it is|read-only"):
            write_atomic(tmp_path / name, "new")
    assert (tmp_path / "target").read_text() == (tmp_path / "kept").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "pipe").is_fifo()
    assert not [name for name in os.listdir(tmp_path) if is_unfinished(name)]


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(tmp_path / "a", "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "a", "new")
    with pytest.raises(OSError, match="No space"):
        create_folder_atomic(tmp_path / "folder", {"a": b"", "b": b""})
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_an_empty_folder_is_filled_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    inode = folder.stat().st_ino
    create_folder_atomic(folder, {"a": b"1"})
    assert (folder.stat().st_ino, folder.stat().st_mode & 0o777) == (inode, 0o700)
    assert (folder / "a").read_bytes() == b"1"
    with pytest.raises(FileExistsError):
        create_folder_atomic(folder, {"a": b"2"})
    assert (folder / "a").read_bytes() == b"1"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        create_folder_atomic(tmp_path / "file", {"a": b"2"})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_scratch_folders_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import os; from netlet.scratch import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / 'netlet.c').touch(); os.kill(os.getpid(), 15)"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False
    )
    (left,) = tmp_path.iterdir()
    mine = tmp_path / "netlet-mine"
    mine.mkdir()
    with scratch_folder() as folder:
        assert left.exists()  # too young: its process may have just begun
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()
    os.utime(left, (0, 0))
    with scratch_folder():
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [mine]
