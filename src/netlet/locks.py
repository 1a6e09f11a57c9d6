"""Locks on folders and files, so that only one process at a time writes to each.

A lock belongs to a process: the system releases it when the process ends, however it ends. Where a
filesystem has no such locks, a file with the process's number and host takes their place; it is
ignored once that process is gone from this host.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from netlet.errors import LockedError, OutputError
from netlet.files import host_name

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".netlet-lock"  # ending of the name of a lock's file; it exists only while it is held
_held: ContextVar[frozenset[str]] = ContextVar("held", default=frozenset())  # by this thread
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL}
_HOLDER = re.compile(
    r"process \d{1,10} on [A-Za-z0-9._-]{1,64} "
    r"\([a-z ]{1,30} since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)"
)


@contextlib.contextmanager
def lock_folder(folder: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Keep other processes from writing into a folder while the block runs.

    A block inside another one of the same thread, for the same folder, does nothing more.

    Args:
        folder: The folder; it is created if it does not exist, and removed if it is empty
            afterwards.
        what: The command that writes, in lower-case words, like ``netlet train``.
        wait_s: How long to wait for another process that writes into it.

    Raises:
        LockedError: Another process writes into it; with its number, its host and its command.
        OutputError: The folder cannot be written to.
    """
    try:
        created = _create(folder)
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        with _lock(folder / LOCK, folder, what, wait_s):
            yield
    finally:
        for path in created:
            with contextlib.suppress(OSError):
                path.rmdir()  # fails if it is not empty


@contextlib.contextmanager
def lock_file(path: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Keep other processes from writing a file while the block runs.

    Args:
        path: The file; its folder is created if it does not exist.
        what: The command that writes, in lower-case words.
        wait_s: How long to wait for another process that writes it.

    Raises:
        LockedError: Another process writes it.
        OutputError: Its folder cannot be written to.
    """
    try:
        _create(path.parent)
    except OSError as error:
        raise _not_writable(path, error) from error
    with _lock(_lock_of(path), path, what, wait_s):
        yield


def find_holder(path: Path) -> str | None:
    """Return which process holds the lock whose file this is, in words; None if none does."""
    if not path.exists():
        return None
    if os.path.realpath(path) in _held.get():
        return _read_holder(path)
    try:
        with _lock(path, path, "netlet", 0.0):
            return None
    except LockedError:
        return _read_holder(path)
    except OutputError:
        return None


def _create(folder: Path) -> list[Path]:
    """Create a folder; return those that did not exist, the deepest first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _lock_of(path: Path) -> Path:
    name = os.fsencode(path.name)[:200].decode(errors="ignore")
    return path.with_name(f".{name}{LOCK}")


@contextlib.contextmanager
def _lock(path: Path, locked: Path, what: str, wait_s: float) -> Iterator[None]:
    key = os.path.realpath(path)
    if key in _held.get():
        yield
        return
    try:
        lock = _acquire(path, wait_s)
    except TimeoutError as error:
        raise LockedError(
            f"{locked}: {_read_holder(path)} is writing there; wait until it has ended"
        ) from error
    except OSError as error:
        raise _not_writable(locked, error) from error
    _held.set(_held.get() | {key})
    try:
        _write_holder(path, what)
        yield
    finally:
        _held.set(_held.get() - {key})
        _release(lock, path)


def _acquire(path: Path, wait_s: float) -> BaseFileLock:
    """Acquire a lock.

    Raises:
        TimeoutError: Another process holds it.
        OSError: Its file cannot be written.
    """
    from filelock import FileLock, SoftFileLock  # takes as long to import as the command line

    native = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        native.acquire(timeout=wait_s, poll_interval=0.05)
    except TimeoutError:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        with contextlib.suppress(OSError):
            if not path.stat().st_size:
                path.unlink()
        soft = SoftFileLock(path.with_name(f"{path.name}-file"), thread_local=False)
        with warnings.catch_warnings(action="ignore"):
            soft.acquire(timeout=wait_s, poll_interval=0.05)
        return soft
    return native


def _release(lock: BaseFileLock, path: Path) -> None:
    # Who opened the file before notices that it has no name any more, and tries again.
    with contextlib.suppress(OSError):
        path.unlink()
    lock.release()


def _write_holder(path: Path, what: str) -> None:
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    text = f"process {os.getpid()} on {host_name()} ({what} since {began})\n"
    with contextlib.suppress(OSError):  # the lock holds without it, also on a full disk
        path.write_text(text, encoding="ascii")


def _read_holder(path: Path) -> str:
    """Return who holds a lock; anybody may have written the file, so only its form counts."""
    try:
        with path.open("rb") as file:
            text = file.read(300).decode("ascii", errors="replace").strip()
    except OSError:
        text = ""
    return text if _HOLDER.fullmatch(text) else "another process"


def _not_writable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written to ({error.strerror}); check its permissions and the disk"
    )
