"""Outputs that a person names: devices are written through, links followed, nothing is replaced."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Netlet, few_fast, is_unfinished, linux_only
from PIL import Image

from netlet.backends.cpu.errors import NoCompilerError
from netlet.data import make_scribble
from netlet.data.npz import save_npz
from netlet.errors import OutputError
from netlet.outputs import (
    append_output,
    check_output,
    check_output_folder,
    is_changed,
    leave_changed,
    seal_text,
    write,
    write_output,
    write_outputs,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes devices and mounts")


def temporary_files(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if is_unfinished(name)]


@as_root
def test_a_device_is_written_through(tmp_path: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, 0o600 | 0o020000, os.makedev(1, 3))
    check_output(device)
    write_output(device, "text")
    assert device.is_char_device()
    with pytest.raises(OutputError, match=r"/dev/full: cannot be written \(No space left"):
        write_output(Path("/dev/full"), "text")


def test_lines_are_added_at_the_end_or_the_file_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new" / "lines"
    append_output(file, b"first\n")
    with file.open("ab") as edited:
        edited.write(b"by hand")
    append_output(file, b"last\n")
    assert file.read_bytes() == b"first\nby hand\nlast\n"

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OutputError, match=r"lines: cannot be written \(No space left on device\)"):
        append_output(file, b"more\n")
    assert file.read_bytes() == b"first\nby hand\nlast\n"


def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    content = b"x" * 1_000_000  # more than a pipe holds
    check_output(pipe)
    write_output(pipe, content)
    reader.join(10)
    assert received == [content]
    assert pipe.is_fifo()


def test_a_pipe_without_a_reader_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_READER_WAIT_S", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="no program reads from this pipe"):
        write_output(tmp_path / "pipe", "text")


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "far" / "target"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to("far/target")
    (tmp_path / "to-link").symlink_to("link")
    write_output(tmp_path / "to-link", "new")
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert os.readlink(tmp_path / "to-link") == "link"
    assert os.readlink(tmp_path / "link") == "far/target"
    (tmp_path / "dangling").symlink_to("far/new/file")
    write_output(tmp_path / "dangling", "text")
    assert (tmp_path / "far" / "new" / "file").read_text() == "text"
    assert (tmp_path / "dangling").is_symlink()
    (tmp_path / "loop").symlink_to("loop")
    for act in (check_output, lambda path: write_output(path, "")):
        with pytest.raises(OutputError, match="Too many levels of symbolic links"):
            act(tmp_path / "loop")


def test_what_must_not_be_written_to_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "kept").chmod(0o444)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, why in (
            ("folder", "it is a folder"),
            ("kept", "it is read-only"),
            ("socket", "it is a socket"),
            ("kept/x", "kept is a file"),
            ("n" * 256, "File name too long"),
            ("new/" + "n" * 256, "File name too long"),
        ):
            for act in (check_output, lambda path: write_output(path, "new")):
                if name.startswith("new") and act is not check_output:
                    continue
                with pytest.raises(OutputError, match=rf"cannot be written \(.*{why}") as caught:
                    act(tmp_path / name)
                assert "\n" not in str(caught.value)
    assert (tmp_path / "kept").read_text() == "mine"
    assert not temporary_files(tmp_path)


@as_root
def test_a_disk_is_never_written_to(tmp_path: Path) -> None:
    os.mknod(tmp_path / "disk", 0o600 | 0o060000, os.makedev(7, 250))
    with pytest.raises(OutputError, match="it is a disk"):
        write_output(tmp_path / "disk", "text")


def test_an_input_is_never_the_output(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("mine")
    os.link(tmp_path / "input", tmp_path / "hard")
    (tmp_path / "link").symlink_to("input")
    for name in ("input", "hard", "link"):
        with pytest.raises(OutputError, match=r"is an input of this command; .* with --show"):
            check_output(tmp_path / name, "--show", [None, tmp_path / "gone", tmp_path / "input"])
    check_output(tmp_path / "other", inputs=[tmp_path / "input"])


@pytest.mark.parametrize("name", ["model.py", "Homework.IPYNB"])
def test_code_is_never_replaced(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / name)
    (tmp_path / name).write_text("net = 1")
    (tmp_path / "net.onnx").symlink_to(name)
    for path in (tmp_path / name, tmp_path / "net.onnx"):
        with pytest.raises(OutputError, match="has code, which netlet never replaces; name anoth"):
            check_output(path)


def test_a_failed_write_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")
    synced = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_output(tmp_path / "a", "new")
    monkeypatch.setattr(os, "fsync", synced)
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_files_that_belong_together_are_replaced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    (tmp_path / "c").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_outputs({tmp_path / name: "new" for name in ("a", "b", "c")})
    assert {(tmp_path / name).read_text() for name in ("a", "b")} == {"old"}
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]
    write_outputs({tmp_path / name: "new" for name in ("a", "b")})
    assert {(tmp_path / name).read_text() for name in ("a", "b")} == {"new"}


@as_root
def test_a_mounted_file_is_written_in_place(tmp_path: Path) -> None:
    """As in a container that has been given a single file."""
    for name in ("inside", "outside"):
        (tmp_path / name).write_text("old content")
    subprocess.run(["mount", "--bind", tmp_path / "outside", tmp_path / "inside"], check=True)
    try:
        check_output(tmp_path / "inside")
        write_output(tmp_path / "inside", "new")
        assert (tmp_path / "outside").read_text() == "new"
    finally:
        subprocess.run(["umount", tmp_path / "inside"], check=True)
    assert sorted(os.listdir(tmp_path)) == ["inside", "outside"]


@as_root
def test_a_read_only_filesystem_is_said_before_the_work(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path], check=True)
    try:
        with pytest.raises(OutputError, match=r"Read-only file system"):
            check_output(tmp_path / "deep" / "file")
        with pytest.raises(OutputError, match=r"Read-only file system"):
            check_output_folder(tmp_path / "deep" / "folder")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_checking_an_output_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("mine")
    for name in ("old", "new", "deep/er/new"):
        check_output(tmp_path / name)
    check_output_folder(tmp_path / "deep" / "folder")
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "mine"


def test_a_change_of_what_netlet_wrote_is_noticed(tmp_path: Path) -> None:
    text = seal_text("/* A script; generated by netlet. */\nRAM = 4M;\n")
    assert re.match(r"/\* A script; generated by netlet, digest [0-9a-f]{8}\. \*/\n", text)
    content = text.encode()
    assert not is_changed(content)
    assert not is_changed(content.replace(b"\n", b"\r\n"))  # as Git may write it
    assert is_changed(content.replace(b"4M", b"256K"))
    assert is_changed(content + b"\n")
    assert not is_changed(b"generated by netlet, by a version that wrote no digest\n")
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.write_text(text + "more")
    assert leave_changed({mine: "new", other: "new"}) == ({other: "new"}, [mine])
    mine.write_text("RAM = 256K;")  # without the mark
    assert leave_changed({mine: "new", other: "new"}) == ({other: "new"}, [mine])


@linux_only
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_stdout_as_a_file_gets_the_content_once_and_in_order(tmp_path: Path, name: str) -> None:
    code = (
        "from pathlib import Path; from netlet.outputs import *; print('first'); "
        f"check_output(Path('{name}')); write_output(Path('{name}'), 'second\\n'); print('third')"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "first\nsecond\nthird\n"


# --- every command that writes a file says at once that it cannot


def start_of(line: str) -> Callable[[str], str]:
    return lambda place: line.format(place)


@pytest.mark.parametrize(
    "command",
    [
        "export crest --to onnx -o {}/x.onnx",
        "export crest --to page -o {}/x.html",
        "export crest --to c -o {}/folder",
        "report swift -o {}/x.html",
        "frontier -o {}/x.svg",
        "card crest -o {}/x.md",
        "play crest --no-open -o {}/x.html",
        "predict x.png --show {}/x.png",
        "search speck -o {}/x.jsonl",
        "train code_1 -o {}/run",
        "study code_1 -o {}/study",
        "climb document_004 -o {}/ladder",
        "climb document_004 --page {}/x.html",
        "data get mnist -o {}/data",
        "data show scribble -o {}/x.png",
        "data make -o {}/x.npz",
    ],
)
def test_a_place_that_cannot_be_written_to_is_said_before_any_work(
    netlet: Netlet, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*args: object, **kwargs: object) -> None:
        raise AssertionError("the work began")

    for name in ("netlet.data.load", "netlet.data.make_scribble", "netlet.data.fetch"):
        monkeypatch.setattr(name, work)
    monkeypatch.setattr("netlet.experiments.load_trained_net", work)
    (tmp_path / "taken").write_text("mine")
    code, out, err = netlet(*command.format("taken").split())
    assert (code, out) == (2, "")
    assert re.fullmatch(r"netlet: taken/\S+: .*taken is a file.*; name .*\n", err), err
    assert (tmp_path / "taken").read_text() == "mine"
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("data make -o x.txt", "the name must end in .npz; use x.npz with --out"),
        ("data show scribble -o x.doc", "cannot write this format; name a file like sheet.png"),
        ("report swift -o x.doc", "cannot write this format"),
        ("frontier -o x.doc", "cannot write this format"),
        ("climb document_004 --page x.doc", "cannot write this format"),
        ("predict x.png --show x.doc", "the sheet is a PNG file"),
    ],
)
def test_a_wrong_suffix_is_said_at_once(
    netlet: Netlet, command: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.data.load", None)
    monkeypatch.setattr("netlet.data.make_scribble", None)
    began = time.monotonic()
    code, out, err = netlet(*command.split())
    assert (code, out) == (2, "")
    assert why in err
    assert len(err.splitlines()) == 1
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("export speck --to onnx", "speck.onnx"),
        pytest.param("export speck --to page", "speck.html", marks=pytest.mark.slow),
        pytest.param("export speck --to c", "speck-c/netlet.h", marks=pytest.mark.slow),
        ("export speck --to c", "speck-c/netlet.c"),
        pytest.param("export speck --to c -o mine", "mine/netlet.c", marks=pytest.mark.slow),
        ("report swift", "report.html"),
        ("data show few.npz", "few.npz.png"),
        ("climb document_004", "ladders/document_004/ladder.md"),
    ],
)
def test_a_file_that_the_person_did_not_name_is_not_replaced(
    netlet: Netlet, tmp_path: Path, command: str, name: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    if "few.npz" in command:
        save_npz(make_scribble(20, 20), tmp_path / "few.npz")
    code, out, err = netlet(*command.split())
    kind = "folder" if file.parent != tmp_path else "file"
    assert (code, out) == (2, "")
    assert err == (
        f"netlet: {name}: exists, and netlet did not write it; name another {kind} with --out\n"
    )
    assert file.read_text() == "mine"


# Every file whose name netlet chooses; tests of grading and ladders run those commands twice.
NAMED_BY_NETLET = {
    "data show few.npz": ("few*.png",),
    "export speck --to onnx": ("speck.onnx",),
    "export speck --to onnx --input-type float": ("speck.onnx",),
    "export speck --to onnx --int8 --force": ("speck-int8.onnx",),
    "export speck --to page": ("speck.html",),
    "export speck --to c": ("speck-c/netlet.c", "speck-c/netlet.h"),
    "export speck --to c --int8 --force": ("speck-int8-c/netlet.c", "speck-int8-c/netlet.h"),
    "report speck": ("report.html",),
    "explain speck digit.png": ("explain.html",),
    "report speck -o page.md": ("page.md", "page/accuracy.svg"),
    "explain speck digit.png -o maps.md": ("maps.md", "maps/*.svg"),
    "export speck --to c --with example": ("speck-c/*.*", "speck-c/Makefile", "speck-c/board/*"),
    "export speck --to arduino": ("speck-arduino/*.*", "speck-arduino/src/*"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", few_fast(NAMED_BY_NETLET, 9))
def test_what_netlet_wrote_is_replaced(
    netlet: Netlet, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = make_scribble(20, 20)
    monkeypatch.setattr("netlet.cli.export.load_images_of", lambda *_: None)
    monkeypatch.setattr("netlet.export.c_export.load_library", raise_no_compiler)
    monkeypatch.setattr("netlet.export.image_selection._make_digits", lambda *_, **__: few.held_out)
    monkeypatch.setenv("NETLET_DATA", str(tmp_path))
    monkeypatch.setenv("NETLET_OFFLINE", "1")
    save_npz(few, tmp_path / "few.npz")
    Image.fromarray(few.held_out.images[0, 0].numpy()).save(tmp_path / "digit.png")
    found = []
    for _ in range(2):
        code, _, err = netlet(*command.split())
        assert (code, "exists" in err) == (0, False), err
        paths = [path for name in NAMED_BY_NETLET[command] for path in tmp_path.glob(name)]
        assert len(paths) >= len(NAMED_BY_NETLET[command])
        found.append({path.stat().st_ino for path in paths})
    assert not found[0] & found[1], "a file was not replaced"


def raise_no_compiler(*_: object) -> None:
    raise NoCompilerError("the program need not be compiled here")
