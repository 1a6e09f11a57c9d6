"""Folders of results that can be computed again, of which only so many bytes are kept."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


def make_room(root: Path, limit: int, keep: Path) -> None:
    """Remove the folders in a folder that were changed least recently, until it is small enough.

    Args:
        root: The folder.
        limit: The bytes that may stay.
        keep: A folder in it that is not removed.
    """
    entries = []
    for folder in _list(root):
        with contextlib.suppress(OSError):  # another process has removed it
            sizes = [path.stat().st_size for path in _list(folder)]
            entries.append((folder.stat().st_mtime, folder, sum(sizes)))
    total = sum(size for _, _, size in entries)
    for _, folder, size in sorted(entries):
        if total <= limit:
            return
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def _list(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from folder.iterdir()
