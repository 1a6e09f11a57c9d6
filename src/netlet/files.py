"""Writing files whole or not at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from netlet.errors import OutputError

UNFINISHED = ".part"  # what the name of a file or folder ends in while it is being made


def write_whole(path: Path, content: bytes | str) -> None:
    """Put ``content`` under ``path`` so that no reader, and no crash, ever sees half of it.

    The bytes go to a neighbour of ``path`` first, reach the disk, and are renamed in one step.

    Raises:
        OSError: The folder cannot be written to, or the disk is full; an earlier file under
            ``path`` is unharmed.
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


def write_output(path: Path, content: bytes | str, option: str = "--out") -> None:
    """Write a file that a command was asked for, as ``write_whole`` does.

    Args:
        path: Of the file; folders on the way to it are made.
        content: Text is written as UTF-8.
        option: That named the path; the error message says to give another.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); name another file with {option}"
        ) from error


def make_whole(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Make a folder that holds some files from the moment it appears.

    Raises:
        FileExistsError: It is there already, and not empty.
        OSError: Its parent cannot be written to, or the disk is full; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=_prefix(folder), suffix=UNFINISHED, dir=folder.parent))
    try:
        for name, content in contents.items():
            write_whole(made / name, content)
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


def sweep(folder: Path) -> None:
    """Remove what processes that are gone have left unfinished in a folder."""
    for path in folder.glob(f".*{UNFINISHED}"):
        owner = re.match(r"\..*\.(\d+)\.", path.name)
        if owner and not _alive(int(owner[1])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(
                missing_ok=True
            )


def _prefix(path: Path) -> str:
    return f".{path.name}.{os.getpid()}."


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def _umask() -> int:
    # The only way to read the mask is to set it; mkstemp's 0600 would keep a team from reading its
    # own records.
    mask = os.umask(0)
    os.umask(mask)
    return mask
