"""What a file has set around its net while it ran, which its code may read when it builds the net.

A class may read ``os.environ`` or ``sys.argv`` in its ``__init__``. Since both are restored when
the file has run, what it has set there is kept for the builder.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Surroundings:
    """The arguments of the program and the variables of the environment.

    Attributes:
        argv: The arguments, as ``sys.argv`` has them.
        environ: The variables.
    """

    argv: tuple[str, ...]
    environ: dict[str, str]


def read_surroundings() -> Surroundings:
    """Return what holds now."""
    return Surroundings(tuple(sys.argv), dict(os.environ))


def enter_surroundings(before: Surroundings, after: Surroundings) -> None:
    """Set again what has changed between two moments, inside an ``Isolation`` that restores it.

    Args:
        before: What held before the file ran.
        after: What held then.
    """
    if after.argv != before.argv:
        sys.argv[:] = after.argv
    for name in before.environ.keys() - after.environ.keys():
        os.environ.pop(name, None)
    for name, value in after.environ.items():
        if before.environ.get(name) != value:
            os.environ[name] = value
