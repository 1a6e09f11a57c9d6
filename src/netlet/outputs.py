"""Files and folders that a person names for results: checked before the work, written after it.

A regular file is replaced atomically and keeps its permissions; of a link, the file it leads to is
replaced. Pipes and character devices are written through. Folders, disks, sockets, read-only files
and the inputs of the same command are refused.
"""

import contextlib
import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from netlet.errors import OutputError
from netlet.files import (
    is_read_only,
    remove_unfinished,
    sync_folder,
    temporary_path,
    write_new,
)

_READER_WAIT_S = 5.0  # for a program that reads a named pipe
_MAX_LINKS = 40
# Names of the descriptors that this process has inherited.
_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self|proc/thread-self)/fd/(\d{1,9})")
# Errors for which a writable file may still be written in place: its folder is read-only, or the
# file is mounted.
_IN_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV}


def check_output(
    path: Path, option: str = "--out", inputs: Iterable[Path | None] = (), what: str = "file"
) -> None:
    """Check that a file can be written, before the work whose result it will hold.

    Args:
        path: Of the file; missing parent folders will be created.
        option: The command-line option that named it, for the error message.
        inputs: Files that the command reads; none of them may be the output.
        what: What the option names, ``file`` or ``folder``.

    Raises:
        OutputError: It cannot be written, or is one of the inputs.
    """
    with _explain(path, option, what):
        target = _follow_links(path)
        if isinstance(target, int):
            os.fstat(target)
            return
        if not _is_regular(target):
            return
        for file in inputs:
            if file is not None and target.exists() and file.exists() and file.samefile(target):
                raise OutputError(
                    f"{path}: is an input of this command; name another {what} with {option}"
                )
        try:
            _probe_folder(target)
        except OSError:
            if not _can_write_in_place(target):
                raise


def check_output_folder(folder: Path, option: str = "--out") -> None:
    """Check that files can be written into a folder, or that it can be created.

    Args:
        folder: Need not exist.
        option: The command-line option that named it, for the error message.

    Raises:
        OutputError: A file is in its place or above it, or it cannot be written to.
    """
    with _explain(folder, option, "folder"):
        for path in (folder, *folder.parents):
            if path.exists() and not path.is_dir():
                inside = "" if path == folder else f"{path} "
                raise OutputError(f"{folder}: {inside}is a file; name a folder with {option}")
            if path.is_symlink() and not path.exists():
                inside = "" if path == folder else f"{path} "
                raise OutputError(
                    f"{folder}: {inside}is a link to a folder that does not exist; name another "
                    f"folder with {option}"
                )
        _probe_folder(folder / "file")


def write_output(
    path: Path, content: bytes | str, option: str = "--out", what: str = "file"
) -> None:
    """Write a file that a person named.

    Args:
        path: Of the file; missing parent folders are created.
        content: Text is written as UTF-8.
        option: The command-line option that named the path, for the error message.
        what: What the option names, ``file`` or ``folder``.

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
        contents: Content of each file by path, as for :func:`write_output`.
        option: The command-line option that named them, for the error message.
        what: What the option names, ``file`` or ``folder``.

    Raises:
        OutputError: A file cannot be written.
        BrokenPipeError: It is this process's own output, which nobody reads any more.
    """
    staged: list[tuple[Path, _Replacement]] = []
    try:
        for path, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            with _explain(path, option, what):
                target = _follow_links(path)
                if isinstance(target, int):
                    _write_to_descriptor(target, data)
                elif _is_regular(target):
                    staged.append((path, _Replacement(target, data)))
                else:
                    _write_through(target, data)
        for path, replacement in staged:
            with _explain(path, option, what):
                replacement.finish()
    finally:
        for _, replacement in staged:
            replacement.discard()


class _ReaderGoneError(Exception):
    """Nobody reads this process's own output any more."""


@contextlib.contextmanager
def _explain(path: Path, option: str, what: str) -> Iterator[None]:
    try:
        yield
    except _ReaderGoneError as gone:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from gone
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{path}: cannot be written ({reason}); name another {what} with {option}"
        ) from error


def _follow_links(path: Path) -> Path | int:
    """Return the file that a path leads to, or a descriptor of this process that it names."""
    here = path.absolute()
    for _ in range(_MAX_LINKS):
        name = os.path.normpath(here)
        if name in _STREAMS:
            return _STREAMS[name]
        if found := _DESCRIPTOR.fullmatch(name):
            return int(found[1])
        if name.startswith("/proc/") or not here.is_symlink():
            return here
        here = here.parent / os.readlink(here)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_regular(path: Path) -> bool:
    """Return whether a file is regular or does not exist; False: it is written through.

    Raises:
        OSError: It must not be written to.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return True
    except NotADirectoryError as error:
        taken = next(folder for folder in path.parents if folder.is_file())
        raise NotADirectoryError(errno.ENOTDIR, f"{taken} is a file") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(errno.EINVAL, "it is a disk" if stat.S_ISBLK(mode) else "it is a socket")
    if not os.access(path, os.W_OK) or (stat.S_ISREG(mode) and is_read_only(os.stat(path))):
        raise PermissionError(errno.EACCES, "it is read-only")
    return stat.S_ISREG(mode)


def _probe_folder(path: Path) -> None:
    """Create and remove an empty file in the folder of a path, or in the nearest one above it.

    Raises:
        OSError: That fails, or a part of the path is no name for a file.
    """
    folder = next(folder for folder in path.parents if folder.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file")
    for part in path.relative_to(folder).parts:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(folder / part)  # fails for a name that is too long
    probe = temporary_path(folder / path.name)
    write_new(probe, b"")
    probe.unlink()


def _can_write_in_place(path: Path) -> bool:
    return path.is_file() and os.access(path, os.W_OK)


class _Replacement:
    """New content of a regular file, beside the file until it is finished.

    Args:
        path: Of the file, which need not exist.
        data: Its new content.

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
        if error.errno not in _IN_PLACE or not _can_write_in_place(self._path):
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
        raise _ReaderGoneError from error


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
