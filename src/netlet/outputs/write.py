"""Write outputs: regular files atomically, pipes and devices as they are."""

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from netlet.files import remove_unfinished, sync_folder, temporary_path, write_new
from netlet.outputs.place import (
    ReaderGoneError,
    can_write_in_place,
    explain,
    follow_links,
    is_regular,
)

_READER_WAIT_S = 5.0  # for a program that reads a named pipe
# Errors for which a writable file may still be written in place: its folder is read-only, or the
# file is mounted.
_IN_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV}


def write_output(
    path: Path, content: bytes | str, option: str = "--out", what: str = "file"
) -> None:
    """Write a file that a person named.

    Args:
        path: The path of the file; missing parent folders are created.
        content: The content of the file; text is written as UTF-8.
        option: The command-line option that named the path, for the error message.
        what: The kind of output that the option names, ``file`` or ``folder``.

    Raises:
        OutputError: The file cannot be written; an earlier one stays as it was.
        BrokenPipeError: It is this process's own output, which nobody reads any more.
    """
    write_outputs({path: content}, option, what)


def write_outputs(
    contents: Mapping[Path, bytes | str], option: str = "--out", what: str = "file"
) -> None:
    """Write files that belong together; if one cannot be written, the earlier ones stay.

    Args:
        contents: The content of each file by path, as for :func:`write_output`.
        option: The command-line option that named them, for the error message.
        what: The kind of output that the option names, ``file`` or ``folder``.

    Raises:
        OutputError: A file cannot be written.
        BrokenPipeError: It is this process's own output, which nobody reads any more.
    """
    staged: list[tuple[Path, _Replacement]] = []
    try:
        for path, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            with explain(path, option, what):
                target = follow_links(path)
                if isinstance(target, int):
                    _write_to_descriptor(target, data)
                elif is_regular(target):
                    staged.append((path, _Replacement(target, data)))
                else:
                    _write_through(target, data)
        for path, replacement in staged:
            with explain(path, option, what):
                replacement.finish()
    finally:
        for _, replacement in staged:
            replacement.discard()


def append_output(path: Path, content: bytes, option: str = "--out", what: str = "file") -> None:
    """Add to the end of a file that a person named, so that it is on the disk.

    Args:
        path: The path of the file; it and missing parent folders are created.
        content: What to add; it begins a new line.
        option: The command-line option that named the path, for the error message.
        what: The kind of output that the option names, ``file`` or ``folder``.

    Raises:
        OutputError: The file cannot be written; it stays as it was.
    """
    with explain(path, option, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    content = b"\n" + content
            try:
                left = memoryview(content)
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        if is_new:
            sync_folder(path.parent)


class _Replacement:
    """New content of a regular file, beside the file until it is finished.

    Args:
        path: The path of the file, which need not exist.
        data: The new content of the file.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data = path, data
        self._temporary: Path | None = temporary_path(path)  # None: to be written in place
        before = os.stat(path) if path.exists() else None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(self._temporary, data, before and stat.S_IMODE(before.st_mode))
            if before:
                _keep_owner(self._temporary, before)
        except OSError as error:
            self.discard()
            self._require_in_place(error)
        except BaseException:
            self.discard()
            raise

    def finish(self) -> None:
        """Replace or create the file atomically, or in place where only that is possible."""
        if self._temporary:
            try:
                os.replace(self._temporary, self._path)
            except OSError as error:
                self.discard()
                self._require_in_place(error)
        if self._temporary is None:
            _write_in_place(self._path, self._data)
        self._temporary = None
        sync_folder(self._path.parent)
        remove_unfinished(self._path.parent)

    def discard(self) -> None:
        """Remove the new content if it is not finished."""
        if self._temporary:
            self._temporary.unlink(missing_ok=True)

    def _require_in_place(self, error: OSError) -> None:
        if error.errno not in _IN_PLACE or not can_write_in_place(self._path):
            raise error
        self._temporary = None


def _keep_owner(path: Path, before: os.stat_result) -> None:
    """Give a file the owner and group of the one that it replaces, as far as that is allowed."""
    now = os.stat(path)
    for owner, group in ((before.st_uid, -1), (-1, before.st_gid)):
        if (owner, group) not in ((now.st_uid, -1), (-1, now.st_gid)):
            with contextlib.suppress(OSError):
                os.chown(path, owner, group)


def _write_in_place(path: Path, data: bytes) -> None:
    """Overwrite a file; if that fails, write its former content again."""
    with path.open("r+b") as file:
        before = file.read()
        try:
            _overwrite(file, data)
        except BaseException:
            with contextlib.suppress(OSError):
                _overwrite(file, before)
            raise


def _overwrite(file: BinaryIO, data: bytes) -> None:
    file.seek(0)
    file.write(data)
    file.truncate()
    file.flush()
    os.fsync(file.fileno())


def _write_to_descriptor(descriptor: int, data: bytes) -> None:
    try:
        for stream in (sys.__stdout__, sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # what was printed before comes before
        _write_all(descriptor, data)
    except BrokenPipeError as error:
        raise ReaderGoneError from error


def _write_through(path: Path, data: bytes) -> None:
    """Write to a pipe or device.

    Raises:
        OSError: Nothing reads from the pipe.
    """
    deadline = time.monotonic() + _READER_WAIT_S
    while True:
        try:
            # Without O_NONBLOCK, a pipe that nothing reads from would be waited for without end.
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            break
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "no program reads from this pipe") from error
            time.sleep(0.05)
    try:
        os.set_blocking(descriptor, True)
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
