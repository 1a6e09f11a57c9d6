"""Atomic writing of files and folders, and safe file names."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO

from netlet.errors import NetletError

UNFINISHED = ".part"  # suffix of a file or folder that is being written
UNFINISHED_AGE_S = 60.0  # a younger one is not removed, whoever wrote it
_MAX_NAME_BYTES = 120  # of a name that netlet makes; most systems allow 255
_NAME_BYTES = 60  # of a name that stay in a temporary one; most systems allow 255 in all
_MARK = re.compile(
    r"\..*\.netlet-(?P<process>\d{1,10})-(?P<host>[A-Za-z0-9._-]{1,64})-[0-9a-f]{16}\.part",
    re.DOTALL,
)


def open_regular(
    path: Path, max_bytes: int, error: type[NetletError], remedy: str = "name another file"
) -> BinaryIO:
    """Open a file that a person named for reading; never wait for a pipe or read from a device.

    Args:
        path: The path of the file; links are followed.
        max_bytes: The largest size to accept.
        error: The type of the exceptions to raise.
        remedy: What to do about a file that is too large, for the message.

    Raises:
        NetletError: There is no such file; it is a folder, a pipe or a device; it cannot be read;
            or it is too large.
    """
    try:
        # A pipe or a device is recognized before it is opened: opening one may wait or act.
        kind = _kind_of_file(path.stat().st_mode)
        if kind == "a folder":
            raise error(f"{path}: is a folder; name a file")
        if kind:
            raise error(f"{path}: is {kind}, not a file; name a file")
        opened = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    except FileNotFoundError as caught:
        dangling = (
            "is a link to a file that does not exist" if path.is_symlink() else "no such file"
        )
        raise error(f"{path}: {dangling}; check its name") from caught
    except (OSError, ValueError) as caught:  # ValueError: a null byte in the name
        reason = getattr(caught, "strerror", None) or caught
        raise error(
            f"{path}: cannot be read ({reason}); check its name and permissions"
        ) from caught
    state = os.fstat(opened.fileno())
    if kind := _kind_of_file(state.st_mode):
        opened.close()
        raise error(f"{path}: is {kind}, not a file; name a file")
    if state.st_size > max_bytes:
        opened.close()
        raise error(
            f"{path}: has {state.st_size:,} bytes, but such files have at most {max_bytes:,}; "
            f"{remedy}"
        )
    return opened


def read_regular(
    path: Path, max_bytes: int, error: type[NetletError], remedy: str = "name another file"
) -> bytes:
    """Return the content of a file that a person named, as :func:`open_regular` opens it.

    Raises:
        NetletError: As for :func:`open_regular`.
    """
    with open_regular(path, max_bytes, error, remedy) as file:
        try:
            content = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
            # The system says 0 for the size of some of its own files.
            while len(content) <= max_bytes and (more := file.read(1 << 20)):
                content += more
        except OSError as caught:
            raise error(f"{path}: cannot be read ({caught.strerror}); check the disk") from caught
    if len(content) > max_bytes:
        raise error(f"{path}: has more than {max_bytes:,} bytes; {remedy}")
    return content


def _kind_of_file(mode: int) -> str:
    """Return what an entry of a folder is, in words; empty for a regular file."""
    kinds = (
        ("a folder", stat.S_ISDIR),
        ("a pipe", stat.S_ISFIFO),
        ("a device", stat.S_ISCHR),
        ("a device", stat.S_ISBLK),
        ("a socket", stat.S_ISSOCK),
    )
    return next((kind for kind, is_kind in kinds if is_kind(mode)), "")


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file of netlet's own atomically: readers see the old content or the new.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and the file is
    renamed. An existing file keeps its permissions. What processes that died have left in the
    folder is removed. For a file that a person named, see
    :func:`netlet.outputs.write_output`.

    Args:
        path: The path of the file; missing parent folders are created.
        content: The content of the file; text is written as UTF-8.

    Raises:
        OSError: The folder is not writable, the disk is full, or the file is read-only; or it is a
            link, a folder or a device. What was there stays as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    mode = check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        write_new(temporary, data, mode)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    remove_unfinished(path.parent)


def create_folder_atomic(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Create a folder atomically: it appears together with its files.

    An empty folder that exists already is filled instead; of several processes that do so, one
    succeeds.

    Args:
        folder: The folder to create; missing parent folders are created, too.
        contents: The content of each file by name.

    Raises:
        FileExistsError: The folder exists and is not empty, or a file is in its place.
        OSError: Its parent is not writable, or the disk is full; nothing is left behind.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        _fill_folder(folder, contents)
        return
    if os.path.lexists(folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = temporary_path(folder)
    try:
        made.mkdir()
        for name, content in contents.items():
            write_new(made / name, content)
        try:
            os.rename(made, folder)
        except OSError as error:
            if os.path.lexists(folder):  # which error it is differs between systems
                raise FileExistsError(error.errno, error.strerror, str(folder)) from error
            raise
    except BaseException:
        _remove_folder(made, contents)
        raise
    sync_folder(folder.parent)


def _fill_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write new files into an empty folder; the first one is the claim on it."""
    for name, content in contents.items():
        temporary = temporary_path(folder / name)
        try:
            write_new(temporary, content)
            try:
                os.link(temporary, folder / name)
            except FileExistsError:
                raise
            except OSError:  # some filesystems have no links
                write_new(folder / name, content)
        finally:
            temporary.unlink(missing_ok=True)
    sync_folder(folder)


def remove_unfinished(
    folder: Path, names: Collection[str] | None = (), older_than_s: float = UNFINISHED_AGE_S
) -> None:
    """Remove the temporary files that killed processes of netlet left in a folder.

    Only what carries netlet's mark of a process of this host that no longer exists is removed, and
    only if it belongs to this user. A folder is removed if it holds nothing but known files.

    Args:
        folder: The folder, which need not exist; folders in it are not searched.
        names: Files that an unfinished folder in it may hold; None: files of any name.
        older_than_s: Age in seconds below which nothing is removed; 0 if this process alone writes
            into the folder.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):
            state = entry.stat(follow_symlinks=False)
            if not _is_abandoned(entry.name, state, older_than_s):
                continue
            if stat.S_ISREG(state.st_mode):
                os.unlink(entry.path)
            elif stat.S_ISDIR(state.st_mode):
                _remove_folder(Path(entry.path), names)


def temporary_path(path: Path) -> Path:
    """Return a name for the unfinished version of a file, in the same folder.

    It tells which process on which host writes it; nobody else uses such names.
    """
    name = os.fsencode(path.name)[:_NAME_BYTES].decode(errors="ignore")
    mark = f"netlet-{os.getpid()}-{host_name()}-{secrets.token_hex(8)}"
    return path.with_name(f".{name}.{mark}{UNFINISHED}")


def host_name() -> str:
    """Return this machine's name, as it appears in names of files."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", platform.node())[:64] or "host"


def process_exists(process: int) -> bool:
    """Return whether a process of this number runs on this host."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it exists, but belongs to another user
    return True


def write_new(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file that must not exist yet, and flush it to the disk.

    Args:
        path: The path of the file.
        content: The content of the file.
        mode: The permissions of the file; None: the usual ones of this process.

    Raises:
        FileExistsError: It exists.
        OSError: It cannot be written; nothing is left behind.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchmod(handle, mode)
            os.fsync(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of files to the disk, where the system can do so."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_read_only(state: os.stat_result) -> bool:
    """Return whether a file has no permission to write for anybody; not even root's tools ask."""
    return not state.st_mode & 0o222


def check_replaceable(path: Path) -> int | None:
    """Return the permissions of the file that would be replaced, or None if there is none.

    Raises:
        OSError: It must not be replaced.
    """
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(state.st_mode):
        raise OSError(errno.ELOOP, "it is a link; remove the link first", str(path))
    if kind := _kind_of_file(state.st_mode):
        raise OSError(errno.EINVAL, f"it is {kind}", str(path))
    if is_read_only(state):
        raise PermissionError(errno.EACCES, "the file is read-only", str(path))
    return stat.S_IMODE(state.st_mode)


def _is_abandoned(name: str, state: os.stat_result, older_than_s: float) -> bool:
    mark = _MARK.fullmatch(name)
    return (
        mark is not None
        and mark["host"] == host_name()
        and state.st_uid == os.geteuid()
        and time.time() - state.st_mtime >= older_than_s
        and not process_exists(int(mark["process"]))
    )


def _remove_folder(folder: Path, names: Collection[str] | None) -> None:
    """Remove a folder if it holds nothing but regular files of these names."""
    with contextlib.suppress(OSError):
        entries = list(os.scandir(folder))
        if all(
            (names is None or entry.name in names) and entry.is_file(follow_symlinks=False)
            for entry in entries
        ):
            for entry in entries:
                os.unlink(entry.path)
            os.rmdir(folder)


def safe_name(name: str) -> str:
    """Return a name that is safe for files and folders on every system.

    Letters, digits, ``.``, ``_`` and ``-`` stay, other characters become ``_``, and the result
    neither starts nor ends with ``.`` or ``_``; it is empty if nothing is left. A name that is too
    long for a file system ends in a digest of the rest.
    """
    kept = (letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    safe = "".join(kept).strip("._")
    if len(safe.encode()) <= _MAX_NAME_BYTES:
        return safe
    start = safe.encode()[: _MAX_NAME_BYTES - 9].decode(errors="ignore")
    return f"{start}-{hashlib.sha256(safe.encode()).hexdigest()[:8]}"
