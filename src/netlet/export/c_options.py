"""What a C export can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from netlet.display import Displayed
from netlet.export.c_interface import DEFAULT_PREFIX, check_prefix
from netlet.export.targets import find_target

SMALLEST = "-Os"


@dataclass(frozen=True)
class COptions(Displayed):
    """What a C export writes, and what its size is measured for.

    Attributes:
        prefix: What the names of its files, functions and macros begin with.
        example: Whether to write a program that calls it, with files to build it for boards.
        target: A key of ``TARGETS``; None: this machine.
        flags: For the compiler that its size is measured with, besides those of the target. If
            they name no level of optimization, ``-Os`` is added.
    """

    prefix: str = DEFAULT_PREFIX
    example: bool = False
    target: str | None = None
    flags: tuple[str, ...] = (SMALLEST,)

    def __post_init__(self) -> None:
        """Add a level of optimization: an unoptimized build is not what anyone ships."""
        if not any(flag.startswith("-O") for flag in self.flags):
            object.__setattr__(self, "flags", (SMALLEST, *self.flags))

    def check(self) -> None:
        """Check the prefix, and that there is a compiler for the target.

        Raises:
            ExportError: There is none, or the prefix cannot be used.
        """
        check_prefix(self.prefix)
        if self.target is not None:
            find_target(self.target)


DEFAULT_OPTIONS = COptions()
