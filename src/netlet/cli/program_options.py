"""The options of a C program, which several commands share."""

from __future__ import annotations

import enum
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.errors import ExportError
from netlet.text import escape_controls

if TYPE_CHECKING:
    from netlet.export import COptions


class Beside(enum.StrEnum):
    """What can be written beside a C program."""

    EXAMPLE = "example"


class Processor(enum.StrEnum):
    """What a C program can be measured for: the names of ``netlet.export.targets``."""

    CORTEX_M0PLUS = "cortex-m0plus"
    CORTEX_M3 = "cortex-m3"
    CORTEX_M4 = "cortex-m4"
    CORTEX_M7 = "cortex-m7"
    RISCV32 = "riscv32"


Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        metavar="NAME",
        help="Prefix of files, functions and macros (C, Arduino); if not given, netlet, or for "
        "Arduino the net's name.",
    ),
]
WithFiles = Annotated[
    Beside | None,
    typer.Option(
        "--with",
        help="Also write a program that classifies stored images, with a Makefile and a "
        "CMakeLists.txt for boards (C).",
    ),
]


def _target_option(otherwise: str) -> Any:
    """Return the option ``--target``; its help ends in what is measured if it is not given."""
    return typer.Option(
        "--target",
        help="Processor to measure flash, RAM, stack and, in QEMU, instructions for; if not given, "
        f"{otherwise}.",
    )


Target = Annotated[Processor | None, _target_option("flash, RAM and stack for this machine")]
TargetOfCard = Annotated[Processor | None, _target_option("none")]
CompilerFlags = Annotated[
    str | None,
    typer.Option(
        "--flags",
        metavar="FLAGS",
        help="Compiler flags to measure the C program with, such as -O3; -Os unless they say "
        "otherwise.",
    ),
]


@dataclass(frozen=True)
class ProgramOptions:
    """What a C program looks like, and what its size is measured for."""

    prefix: Prefix = None
    beside: WithFiles = None
    target: Target = None
    flags: CompilerFlags = None

    @property
    def given(self) -> list[str]:
        """The names of the options that were given."""
        values = {"--prefix": self.prefix, "--with": self.beside}
        values |= {"--target": self.target, "--flags": self.flags}
        return [name for name, value in values.items() if value is not None]

    def for_export(self, default_prefix: str) -> COptions:
        """Return the options as the export takes them.

        Args:
            default_prefix: The prefix if none was given.

        Raises:
            ExportError: The prefix cannot be used, the flags are not words, or there is no compiler
                for the target.
        """
        from netlet.export import COptions

        chosen = COptions(
            prefix=default_prefix if self.prefix is None else self.prefix,
            example=self.beside is Beside.EXAMPLE,
            target=self.target and self.target.value,
            flags=self._split_flags(),
        )
        chosen.check()
        return chosen

    def _split_flags(self) -> tuple[str, ...]:
        try:
            return tuple(shlex.split(self.flags or ""))
        except ValueError as error:
            raise ExportError(
                f"--flags {escape_controls(str(self.flags))}: cannot be split into words "
                f"({str(error).lower()}); close every quotation mark"
            ) from error


THIS_MACHINE = ProgramOptions()  # netlet.h and netlet.c, measured here
