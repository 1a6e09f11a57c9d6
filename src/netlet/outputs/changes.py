"""Files that netlet writes once and a person then changes, such as the example of a C program.

The mark in such a file has a digest of all else in it, by which a change is noticed.
"""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from netlet.outputs.check import TEXT_MARK

_MARK = re.compile(re.escape(TEXT_MARK) + rb"(?:, digest ([0-9a-f]{8}))?")

Content = TypeVar("Content", bytes | str, bytes, str)


def seal_text(text: str) -> str:
    """Return a text whose mark says what netlet wrote.

    Args:
        text: It contains ``TEXT_MARK``.
    """
    mark = TEXT_MARK.decode()
    return text.replace(mark, f"{mark}, digest {_digest(text.encode())}", 1)


def is_changed(content: bytes) -> bool:
    """Return whether a file that netlet has sealed is no longer what it wrote.

    Args:
        content: That of the file; False if it is not sealed.
    """
    found = _MARK.search(content)
    return bool(found and found[1] and found[1].decode() != _digest(content))


def leave_changed(contents: Mapping[Path, Content]) -> tuple[dict[Path, Content], list[Path]]:
    """Leave out the files that a person has written, or changed since netlet wrote them.

    Args:
        contents: The content of each file by path.

    Returns:
        The files to write, and the paths of the others.
    """
    changed = []
    for path in contents:
        with contextlib.suppress(OSError):  # what cannot be read is reported when it is written
            content = path.read_bytes() if path.is_file() else TEXT_MARK
            if is_changed(content) or TEXT_MARK not in content:
                changed.append(path)
    return {path: text for path, text in contents.items() if path not in changed}, changed


def describe_changed(paths: list[Path], folder: Path) -> str:
    """Return a line about the files that are left as they are.

    Args:
        paths: Their paths.
        folder: The folder that the person named.
    """
    names = ", ".join(str(path.relative_to(folder)) for path in paths)
    them = "it" if len(paths) == 1 else "them"
    return f"kept {names}, as you have changed {them}; delete {them} to get what netlet writes"


def _digest(content: bytes) -> str:
    """Return a digest of a file, without that in its mark and whatever its line ends are."""
    text = _MARK.sub(TEXT_MARK, content, count=1).replace(b"\r\n", b"\n")
    return hashlib.sha256(text).hexdigest()[:8]
