"""Files of an example that an export leaves as they are, and that no longer fit its program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from netlet.outputs import TEXT_MARK

_CALLERS, _BUILDERS, _IMAGES = (
    ("main.c", "classify.ino"),
    ("Makefile", "CMakeLists.txt"),
    "images.h",
)
_C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_INCLUDE = re.compile(r'^\s*#\s*include\s*["<](\w+)\.h[">]', re.M)
_IMAGE_BYTES = re.compile(r"\bimages\[IMAGES\]\[(\d+)\]")


def describe_misfits(kept: Iterable[Path], header: str, prefix: str) -> list[str]:
    """Return a line for each kept file that does not fit the program: it would not build, or fail.

    Args:
        kept: Files of an example that a person has changed.
        header: The text of the program's header.
        prefix: The prefix of the program.
    """
    texts = {path.name: _read(path) for path in kept}
    alone = not any(name in texts for name in _BUILDERS)  # the build files have this net only
    return [
        f"{name} {wrong}; change it, or delete it and export again"
        for name, text in texts.items()
        if (wrong := _find_misfit(name, text, header, prefix, alone))
    ]


def describe_stale(folder: Path, header: str, prefix: str) -> list[str]:
    """Return a line for each file of an earlier example that does not fit a program without one.

    Args:
        folder: The folder of the program.
        header: The text of the program's header.
        prefix: The prefix of the program; an example of another one is left out.
    """
    texts = {name: _read(folder / name) for name in ("main.c", _IMAGES)}
    if prefix not in _INCLUDE.findall(texts["main.c"]):
        return []
    return [
        f"{name}, of an earlier export, {wrong}; export --with example to replace it, or change it"
        for name, text in texts.items()
        if TEXT_MARK.decode() in text and (wrong := _find_misfit(name, text, header, prefix, False))
    ]


def _find_misfit(name: str, text: str, header: str, prefix: str, alone: bool) -> str:
    """Return what is wrong with a file; empty if nothing is known to be."""
    if name in _CALLERS:
        there = re.findall(r"\w+", header)
        missing = [word for word in _list_calls(text, prefix, alone) if word not in there]
        return f"uses {' and '.join(missing)}, which this export lacks" if missing else ""
    if name in _BUILDERS:
        code = re.sub(r"#[^\n]*", "", text)
        built = re.search(rf"\b{prefix}\b|\*\.c\b", code)
        return "" if built else f"does not build {prefix}.c"
    stored = _IMAGE_BYTES.search(text) if name == _IMAGES else None
    size = re.search(rf"{prefix.upper()}_IMAGE_BYTES (\d+)", header)
    if stored and size and stored[1] != size[1]:
        return f"has images of {int(stored[1]):,} bytes, and the net takes {int(size[1]):,}"
    return ""


def _list_calls(text: str, prefix: str, alone: bool) -> Iterator[str]:
    """Yield the names of a program's interface that a file uses, if not all programs have them.

    Args:
        text: That of the file.
        prefix: The prefix of the program.
        alone: Whether it is the only program; otherwise those of others may be there, too.
    """
    code = _C_COMMENT.sub("", text)
    words = set(re.findall(r"\w+", code))
    for name in dict.fromkeys([prefix, *(_INCLUDE.findall(code) if alone else ())]):
        names = f"{name}_predict", f"{name}_predict_int", f"{name.upper()}_SCORE_SCALE"
        yield from (word for word in names if word in words)


def _read(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read."""
    try:
        return path.read_text("utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
