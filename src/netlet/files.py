"""Atomic writing of files and folders, and safe file names."""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from netlet.errors import NetletError, OutputError

UNFINISHED = ".part"  # suffix of a file or folder that is being written


def open_regular(path: Path, max_bytes: int, error: type[NetletError]) -> BinaryIO:
    """Open a file that a person named for reading; never wait for a pipe or read from a device.

    Args:
        path: Of the file; links are followed.
        max_bytes: The largest size to accept.
        error: The type of the exceptions to raise.

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
            "name another file"
        )
    return opened


def read_regular(path: Path, max_bytes: int, error: type[NetletError]) -> bytes:
    """Return the content of a file that a person named, as :func:`open_regular` opens it.

    Raises:
        NetletError: As for :func:`open_regular`.
    """
    with open_regular(path, max_bytes, error) as file:
        try:
            content = file.read(max_bytes + 1)  # the size of some files of the system is unknown
        except OSError as caught:
            raise error(f"{path}: cannot be read ({caught.strerror}); check the disk") from caught
    if len(content) > max_bytes:
        raise error(f"{path}: has more than {max_bytes:,} bytes; name another file")
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
    """Write a file atomically: readers see the old content or the new, also after a crash.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and the file is
    renamed.

    Args:
        path: Of the file; missing parent folders are created.
        content: Text is written as UTF-8.

    Raises:
        OSError: The folder is not writable, or the disk is full; an earlier file stays as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=UNFINISHED, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_output(
    path: Path, content: bytes | str, option: str = "--out", what: str = "file"
) -> None:
    """Write a file that the user named, as :func:`write_atomic` does.

    Args:
        path: Of the file; missing parent folders are created.
        content: Text is written as UTF-8.
        option: The command-line option that named the path, for the error message.
        what: What the option names, ``file`` or ``folder``.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        write_atomic(path, content)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); name another {what} with {option}"
        ) from error


def create_folder_atomic(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Create a folder atomically: it appears together with its files.

    Args:
        folder: To create; missing parent folders are created, too.
        contents: Content of each file by name.

    Raises:
        FileExistsError: The folder exists and is not empty.
        OSError: Its parent is not writable, or the disk is full; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=_prefix(folder), suffix=UNFINISHED, dir=folder.parent))
    try:
        for name, content in contents.items():
            write_atomic(made / name, content)
        made.chmod(0o777 & ~_umask())
        try:
            os.rename(made, folder)
        except OSError as error:
            if folder.exists():  # which error it is differs between systems
                raise FileExistsError(error.errno, error.strerror, str(folder)) from error
            raise
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    for path in folder.glob(f".*{UNFINISHED}"):
        owner = re.match(r"\..*\.(\d+)\.", path.name)
        if owner and not _alive(int(owner[1])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(
                missing_ok=True
            )


def safe_name(name: str) -> str:
    """Return a name that is safe for files and folders on every system.

    Letters, digits, ``.``, ``_`` and ``-`` stay, other characters become ``_``, and the result
    neither starts nor ends with ``.`` or ``_``; it is empty if nothing is left.
    """
    kept = (letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    return "".join(kept).strip("._")


def _prefix(path: Path) -> str:
    return f".{path.name}.{os.getpid()}."


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists, but belongs to another user
    return True


def _umask() -> int:
    # Setting the mask is the only way to read it. It is needed because mkstemp creates files with
    # mode 0600, which would prevent a team from sharing records.
    mask = os.umask(0)
    os.umask(mask)
    return mask
