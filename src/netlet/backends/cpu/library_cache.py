"""A folder of compiled libraries that heals itself: what is damaged or planted is thrown away.

A library is native code that runs with the rights of the person who loads it. So the folder and its
files must belong to that person alone, and the name of a file contains the SHA-256 of its content,
which is checked on every read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from netlet.files import remove_unfinished, sync_folder, temporary_path, write_new

MAX_BYTES = 64 << 20  # of all libraries together; the least recently used ones go first
_MAX_LIBRARY_BYTES = 16 << 20
_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{64})\.so")  # key and SHA-256
# Names of earlier versions, whose content cannot be checked.
_OLD_NAME = re.compile(r"[0-9a-f]{24}\.(so|\d+\.part)")


class UntrustedFolderError(Exception):
    """Why a folder is not used: somebody else could have put libraries into it."""


class LibraryCache:
    """Libraries on disk, by key. Several processes may use the same folder at the same time.

    Args:
        folder: Created when the first library is written; mode 0700. None: keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """Return the content of a library exactly as it was written, or None.

        Files whose content does not match their name, and files that are not the user's own, are
        removed.

        Args:
            key: 32 hexadecimal digits.

        Raises:
            UntrustedFolderError: The folder is not the user's own.
        """
        with self._open_folder() as folder:
            if folder is None:
                return None
            for name in sorted(_list_names(folder)):
                match = _NAME.fullmatch(name)
                if match and match[1] == key:
                    library = _read_file(folder, name)
                    if library and hashlib.sha256(library).hexdigest() == match[2]:
                        return library
                    _remove(folder, name)
        return None

    def write(self, key: str, library: bytes) -> None:
        """Keep a library if possible, and remove the least recently used ones if there are many.

        Args:
            key: 32 hexadecimal digits.
            library: Its content.

        Raises:
            UntrustedFolderError: The folder is not the user's own.
        """
        if self._folder is None or not 0 < len(library) <= _MAX_LIBRARY_BYTES:
            return
        name = f"{key}-{hashlib.sha256(library).hexdigest()}.so"
        with contextlib.suppress(OSError):  # not writable, or full: compile again next time
            if not os.path.lexists(self._folder):
                self._folder.parent.mkdir(parents=True, exist_ok=True)
                self._folder.mkdir(mode=0o700, exist_ok=True)
            with self._open_folder() as folder:
                if folder is None:
                    return
                remove_unfinished(self._folder)
                _write_file(self._folder / name, library)
                _evict(folder, name)

    def discard(self, key: str) -> None:
        """Remove all libraries of a key.

        Raises:
            UntrustedFolderError: The folder is not the user's own.
        """
        with self._open_folder() as folder:
            if folder is None:
                return
            for name in _list_names(folder):
                if (match := _NAME.fullmatch(name)) and match[1] == key:
                    _remove(folder, name)

    @contextlib.contextmanager
    def _open_folder(self) -> Iterator[int | None]:
        """Open the folder, and close it to other users if it is not yet.

        Yields:
            A file descriptor, so that what is checked is what is used; None if there is no folder.

        Raises:
            UntrustedFolderError: The folder is not the user's own.
        """
        descriptor = None
        if self._folder is not None:
            with contextlib.suppress(OSError):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(self._folder, flags)
            if descriptor is None and self._folder.is_symlink():
                raise UntrustedFolderError("is a link")
        try:
            if descriptor is not None:
                _check_folder(descriptor)
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _check_folder(folder: int) -> None:
    state = os.fstat(folder)
    if state.st_uid != os.geteuid():
        raise UntrustedFolderError("belongs to another user")
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UntrustedFolderError("can be written by other users")
    if stat.S_IMODE(state.st_mode) != 0o700:
        with contextlib.suppress(OSError):
            os.fchmod(folder, 0o700)


def _list_names(folder: int) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read_file(folder: int, name: str) -> bytes | None:
    """Return the content of a file that is the user's own, and note that it is in use."""
    # A link is not followed, and a pipe not waited for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError:
        return None
    try:
        state = os.fstat(descriptor)
        if (
            not stat.S_ISREG(state.st_mode)
            or state.st_uid != os.geteuid()
            or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            or state.st_size > _MAX_LIBRARY_BYTES
        ):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            library = file.read(_MAX_LIBRARY_BYTES)
        with contextlib.suppress(OSError):  # a file system that is read-only
            os.utime(descriptor)
        return library
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _write_file(path: Path, library: bytes) -> None:
    """Write a file that appears only when all of it is on the disk.

    Raises:
        OSError: It cannot be written.
    """
    temporary = temporary_path(path)
    write_new(temporary, library, 0o600)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
        return
    with contextlib.suppress(OSError):  # an empty folder of this name
        os.rmdir(name, dir_fd=folder)


def _evict(folder: int, newest: str) -> None:
    """Remove the least recently used libraries beyond the limit, and those of earlier versions."""
    libraries = []
    for name in _list_names(folder):
        if _OLD_NAME.fullmatch(name):
            _remove(folder, name)
        elif _NAME.fullmatch(name) and name != newest:
            with contextlib.suppress(OSError):
                state = os.stat(name, dir_fd=folder, follow_symlinks=False)
                libraries.append((state.st_mtime_ns, name, state.st_size))
    total = os.stat(newest, dir_fd=folder, follow_symlinks=False).st_size
    for _, name, size in sorted(libraries, reverse=True):
        total += size
        if total > MAX_BYTES:
            _remove(folder, name)
