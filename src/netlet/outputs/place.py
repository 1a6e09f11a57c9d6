"""Where the path of an output leads: to a regular file, a pipe, a device or a descriptor."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from netlet.errors import OutputError
from netlet.files import is_read_only

_MAX_LINKS = 40
# Names of the descriptors that this process has inherited.
_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self|proc/thread-self)/fd/(\d{1,9})")


class ReaderGoneError(Exception):
    """Nobody reads this process's own output any more."""


@contextlib.contextmanager
def explain(path: Path, option: str, what: str) -> Iterator[None]:
    """Turn the errors of the system in a block into OutputErrors that name the path.

    Args:
        path: The path of the output.
        option: The command-line option that named it.
        what: The kind of output that the option names, ``file`` or ``folder``.

    Raises:
        OutputError: In place of an error of the system.
        BrokenPipeError: It is this process's own output, which nobody reads any more.
    """
    try:
        yield
    except ReaderGoneError as gone:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from gone
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{path}: cannot be written ({reason}); name another {what} with {option}"
        ) from error


def follow_links(path: Path) -> Path | int:
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


def is_regular(path: Path) -> bool:
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


def can_write_in_place(path: Path) -> bool:
    """Return whether a file exists that can be overwritten, whatever its folder allows."""
    return path.is_file() and os.access(path, os.W_OK)
