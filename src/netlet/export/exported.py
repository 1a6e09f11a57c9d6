"""What an export leaves behind: files, and what they were held to before they were written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from netlet.errors import ShipError
from netlet.export.agreement import Agreement
from netlet.files import write_whole

MOST_LOST_POINTS = 0.1  # of accuracy, by int8


@dataclass(frozen=True)
class Exported:
    """Files that do what a net does."""

    files: tuple[Path, ...]
    size_bytes: int  # of all of them
    agreement: Agreement | None  # None: there was nothing here to run it with
    notes: tuple[str, ...] = ()  # further lines for a person
    room: Mapping[str, int | None] = field(
        default_factory=dict
    )  # bytes it takes where it runs, by what they are

    def __str__(self) -> str:
        files = " and ".join(map(str, self.files))
        agreement = (str(self.agreement),) if self.agreement else ()
        return "\n".join((f"{files}: {self.size_bytes:,} bytes", *agreement, *self.notes))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        agreement = (
            asdict(self.agreement) | {"lost_points": self.agreement.lost_points}
            if self.agreement
            else None
        )
        return {
            "files": [str(path) for path in self.files],
            "size_bytes": self.size_bytes,
            "agreement": agreement,
            "notes": list(self.notes),
            **self.room,
        }


def accept_float(found: Agreement) -> None:
    """Let an export in float32 pass.

    Raises:
        ShipError: It is not the net's equal but for rounding.
    """
    if not found.faithful:
        raise ShipError(f"the export is not the net's equal, and nothing was written: {found}")


def accept_int8(found: Agreement, most_points: float, *, forced: bool) -> None:
    """Let an export in 8-bit integers pass.

    Args:
        found: On which images, and how it did.
        most_points: Of accuracy that it may lose.
        forced: Let it pass whatever it loses.

    Raises:
        ShipError: It loses more.
    """
    if found.lost_points > most_points and not forced:
        raise ShipError(
            f"int8 loses {found.lost_points:.2f} points on {found.of} ({found.net.percent:.2f} % before, "
            f"{found.export.percent:.2f} % after), more than {most_points:g}, and nothing was written; allow it with "
            "--max-loss, or --force"
        )


def write_export(contents: dict[Path, bytes | str]) -> int:
    """Write files, each whole or not at all; how many bytes they are.

    Raises:
        ShipError: One cannot be written.
    """
    total = 0
    for path, content in contents.items():
        data = content.encode() if isinstance(content, str) else content
        try:
            write_whole(path, data)
        except OSError as error:
            raise ShipError(
                f"{path}: cannot be written ({error.strerror}); name another with --out"
            ) from error
        total += len(data)
    return total
