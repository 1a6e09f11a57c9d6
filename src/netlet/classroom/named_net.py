"""Find the net that a student or teacher has named, in the files of a submission."""

from __future__ import annotations

import contextlib
import filecmp
import fnmatch
import glob
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from netlet.classroom.file_kinds import (
    NO_SOURCES,
    SOURCES,
    find_usual_name,
    is_source,
    list_endings,
)
from netlet.errors import NetError
from netlet.nets import complete_address
from netlet.nets.script import list_definitions
from netlet.nets.sources import read_source
from netlet.text import split_address

_NETS_END = f"nets are read from files that end in {list_endings(SOURCES)}"
_MOST_NAMES = 5  # in one line


def list_sources(folder: Path) -> list[Path]:
    """Return the Python files and notebooks of a submission, the topmost first."""
    files = [path for path in folder.rglob("*") if path.suffix in SOURCES and path.is_file()]
    return sorted(files, key=lambda path: (len(path.parts), path))


def find_named_net(folder: Path, pattern: str) -> str:
    """Return the address that a pattern like ``model.py:Net`` means, in a folder inside, too.

    Of several files, the only one counts that has such a net; of copies, the topmost.

    Args:
        folder: The folder of the submission.
        pattern: The pattern.

    Raises:
        NetError: No file matches, or several do that differ.
    """
    sources = list_sources(folder)
    place, name = split_address(pattern)
    if not place or _match(folder, sources, pattern):  # a file's name may have a colon
        place, name = pattern, ""
    written = PurePosixPath(place)
    if written.name:  # as the copies of files are called
        place = written.with_name(find_usual_name(written.name)).as_posix()
    files = _match(folder, sources, place)
    if not files and (files := _find_defining(sources, pattern)):  # a name without its file
        return f"{_choose(folder, files, f'define {pattern!r}', pattern)}:{pattern}"
    if not files:
        here = _list_places(folder, sources)
        there = f"there are: {here}" if here else f"there is {NO_SOURCES}"
        endings = "" if is_source(place) else f"; {_NETS_END}"
        raise NetError(f"no file {place!r}; {there}{endings}")
    what = f"match {pattern!r}"
    if len(files) > 1 and (having := _find_defining(files, name)):
        files = having
        what = f"define {name!r}" if name else what
    if len(files) > 1 and all(filecmp.cmp(files[0], file, shallow=False) for file in files[1:]):
        files = files[:1]
    file = _choose(folder, files, what, name)
    return f"{file}:{name}" if name else complete_address(str(file))


def _choose(folder: Path, files: Sequence[Path], what: str, name: str) -> Path:
    """Return the only file.

    Args:
        folder: The folder of the submission.
        files: The files.
        what: What all of them do, for the message.
        name: The name of the net; empty for none.

    Raises:
        NetError: There are several.
    """
    if len(files) > 1:
        first = files[0].relative_to(folder).as_posix() + (f":{name}" if name else "")
        raise NetError(
            f"{len(files)} files {what}: {_list_places(folder, files)}; name one of them, like "
            f'net = "{first}"'
        )
    return files[0]


def _match(folder: Path, sources: Sequence[Path], place: str) -> list[Path]:
    """Return the files that a pattern of a path matches; only that file if it is a whole path.

    The ending may be left out.
    """
    insides = {path.relative_to(folder).as_posix(): path for path in sources}
    escaped = {glob.escape(inside): path for inside, path in insides.items()}
    for known in (insides, escaped):
        if place in known:
            return [known[place]]
    if whole := [insides[place + end] for end in SOURCES if place + end in insides]:
        return whole
    return [
        path
        for inside, path in insides.items()
        if any(
            fnmatch.fnmatch(inside, f"{start}{place}{end}")
            for start in ("", "*/")
            for end in ("", path.suffix)
        )
    ]


def _list_places(folder: Path, files: Sequence[Path]) -> str:
    return ", ".join(path.relative_to(folder).as_posix() for path in files[:_MOST_NAMES])


def _find_defining(files: Sequence[Path], name: str) -> list[Path]:
    """Return the files that define a net of a name, or without a name those that have only one.

    A student may give the name without its file.
    """
    found = []
    for file in files:
        with contextlib.suppress(NetError, SyntaxError, ValueError, RecursionError):
            if not name:
                complete_address(str(file))
            if not name or name.partition("[")[0] in list_definitions(read_source(file).tree):
                found.append(file)
    return found
