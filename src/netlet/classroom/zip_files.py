"""Read the zip file of a student, whatever it says of itself."""

from __future__ import annotations

import contextlib
import io
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from netlet.errors import GradingError

_MAX_DIRECTORY_BYTES = 8 << 20  # about 200 for each entry
# The other methods are rare, and a few bytes of theirs can ask for gigabytes of memory.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAME_IS_UTF8 = 0x800
_ROOT = re.compile(r"(?:[A-Za-z]:(?=/))?/*")  # before a path, which unzip leaves out


class _ZipFile(io.FileIO):
    """A file of which Python's zipfile does not read a very large directory into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read some bytes; a directory is read at once, and contents in small parts."""
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise GradingError("the zip file has too many files; hand in only the net's")
        return super().read(size)


def read_zip(
    path: Path, wants: Callable[[PurePosixPath], bool], most: int
) -> Iterator[tuple[PurePosixPath, IO[bytes], int]]:
    """Yield the files in a zip file: their paths, contents, and the sizes that it states.

    Links are left out, and of files with one path all but the last, which is the newest: a program
    that adds a file to a zip file does not remove the one that it replaces.

    Args:
        path: The zip file.
        wants: Whether to read the file of a path.
        most: The largest number of files that it may have.

    Raises:
        GradingError: It has too many files, or is compressed in a rare way.
    """
    with _ZipFile(path) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > most:
            raise GradingError(f"{len(entries):,} files; hand in only the net's")
        wanted = {}
        for entry in entries:
            inside = PurePosixPath(_ROOT.sub("", _read_name(entry).replace("\\", "/"), count=1))
            mode = entry.external_attr >> 16
            is_link = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
            if not entry.is_dir() and not is_link and wants(inside):
                wanted[inside] = entry
        for inside, entry in wanted.items():
            if entry.compress_type not in _METHODS:
                raise GradingError(
                    "the zip file is compressed in a rare way; hand in one that any system can open"
                )
            with archive.open(entry) as content:
                yield inside, content, entry.file_size


def _read_name(entry: zipfile.ZipInfo) -> str:
    """Return the path of an entry; macOS writes UTF-8 and does not say so."""
    with contextlib.suppress(UnicodeError):
        if not entry.flag_bits & _NAME_IS_UTF8:  # zipfile has decoded it as CP 437
            return entry.filename.encode("cp437").decode("utf-8")
    return entry.filename
