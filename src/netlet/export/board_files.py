"""The files that a program needs on a board without an operating system."""

from __future__ import annotations

from importlib import resources

from netlet.export.targets import Target


def read_board_files(target: Target) -> dict[str, str]:
    """Return the startup code and the linker script of a target, by name.

    Args:
        target: The target.
    """
    return {n: read_board_file(n) for n in ("board.h", f"{target.system}.c", f"{target.system}.ld")}


def read_board_file(name: str) -> str:
    """Return a file of ``board/``.

    Args:
        name: The name of the file.
    """
    return (resources.files(__package__) / "board" / name).read_text("utf-8")
