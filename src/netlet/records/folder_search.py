"""Find records below a folder, the nearest first, and give up in time on a whole disk."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from netlet.errors import RecordError
from netlet.records.run import RECORD

MAX_FOLDERS = 20_000  # a few seconds; nobody has so many folders of runs
# What Linux shows as folders and are none.
_VIRTUAL = ("/proc", "/sys", "/dev")


def search_folder(root: Path | str, names: Sequence[str]) -> tuple[dict[str, list[Path]], str]:
    """Find files by their names below a folder.

    Args:
        root: The folder. Links to folders below it are not followed.
        names: The names of the files. Anything else with one of these names is found as well.

    Returns:
        The sorted paths for each name, and a sentence if only the nearest folders were searched.

    Raises:
        RecordError: The folder does not exist.
    """
    root = Path(root)
    if not root.is_dir():
        raise RecordError(f"{root}: no such folder; name the one with your runs or studies")
    found: dict[str, list[Path]] = {name: [] for name in names}
    waiting, searched = deque([str(root)]), 0
    while waiting and searched < MAX_FOLDERS:
        folder = waiting.popleft()
        searched += 1
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:  # not readable, or gone in the meantime
            continue
        for entry in listed:
            if entry.name in found:
                found[entry.name].append(Path(folder) / entry.name)
            if entry.is_dir(follow_symlinks=False) and os.path.abspath(entry.path) not in _VIRTUAL:
                waiting.append(entry.path)
    note = ""
    if waiting:
        note = (
            f"{root}: only the {searched:,} nearest folders below it were searched; name a folder "
            "closer to your runs"
        )
    return {name: sorted(paths) for name, paths in found.items()}, note


def find_runs(root: Path | str, name: str = RECORD) -> Iterator[Path]:
    """Yield the record of every run below a folder, sorted by path.

    Of a very large folder only the nearest folders are searched; see :func:`search_folder`.

    Args:
        root: The folder.
        name: The name of the files to look for. Anything else with this name is found as well.

    Raises:
        RecordError: The folder does not exist.
    """
    yield from search_folder(root, [name])[0][name]
