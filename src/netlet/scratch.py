"""Temporary folders, which a later process removes if this one is killed."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from netlet.files import remove_unfinished, temporary_path


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder that only this user can enter, and remove it afterwards.

    What killed processes of netlet left in the system's temporary folder is removed as well.

    Raises:
        OSError: The temporary folder is missing, full or not writable.
    """
    parent = Path(tempfile.gettempdir())
    remove_unfinished(parent, names=None)
    folder = temporary_path(parent / "scratch")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        # Children of a program that was stopped may still write.
        shutil.rmtree(folder, ignore_errors=True)
