"""The working folder of a submission's code, in which relative paths mean the submitted files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory


@contextlib.contextmanager
def working_folder(folder: Path, address: str) -> Iterator[None]:
    """Change into the place of a net's file, in a folder that links to all files of a submission.

    Code can write files there, such as a log; the files of the submission cannot be written in a
    sandbox. Where no folder can be made, the place is in the submission itself.

    Args:
        folder: The folder of the submission.
        address: The absolute address of the net, like ``/task/code/model.py:Net``.
    """
    before, inside = os.getcwd(), os.path.relpath(Path(address.rpartition(":")[0]).parent, folder)
    # Without a sandbox, the parent is removed after grading even if the code is killed.
    parent = folder.parent if os.access(folder.parent, os.W_OK) else None
    with contextlib.ExitStack() as stack:
        place = folder
        with contextlib.suppress(OSError):
            made = TemporaryDirectory(prefix="work-", dir=parent, ignore_cleanup_errors=True)
            place = _link_files(folder, Path(stack.enter_context(made)))
        os.chdir(place / inside)
        stack.callback(os.chdir, before)
        yield


def _link_files(folder: Path, target: Path) -> Path:
    """Make the same folders in an empty folder, with links to the files, and return it."""
    for place, folders, files in os.walk(folder):
        here = target / os.path.relpath(place, folder)
        for name in folders:
            (here / name).mkdir()
        for name in files:
            (here / name).symlink_to(Path(place, name))
    return target
