"""Exporting a net to C: written, compiled, held against the net, and only then put on the disk."""

from __future__ import annotations

from pathlib import Path

from netlet.backends.cpu.library import CompilationError
from netlet.data import Dataset
from netlet.export.agreement import Agreement, agreement
from netlet.export.c_program import c_program
from netlet.export.compiled_c import answers, built, loaded
from netlet.export.exported import (
    MOST_LOST_POINTS,
    Exported,
    accept_float,
    accept_int8,
    write_export,
)
from netlet.export.images import images_to_calibrate, images_to_compare
from netlet.export.integers import by_numpy
from netlet.export.quantize import quantize
from netlet.export.trained_model import TrainedModel


def export_c(
    origin: TrainedModel,
    folder: Path,
    known: Dataset | None,
    *,
    int8: bool = False,
    most_lost_points: float = MOST_LOST_POINTS,
    forced: bool = False,
) -> Exported:
    """Write a net as C99: ``netlet.h`` and ``netlet.c``.

    Where this machine has a C compiler, what it makes of them is held against the net and measured.

    Args:
        origin: The net.
        folder: For the two files; other files in it are left alone.
        known: What the net was taught on, to compare and calibrate with; None: ``scribble``.
        int8: In integers throughout.
        most_lost_points: Of accuracy, that int8 may lose.
        forced: Write it even if it loses more.

    Raises:
        ShipError: A layer cannot be written so; the program is not the net's equal, loses too much
            or cannot be written.
    """
    notes: list[str] = []
    room: dict[str, int | None] = {}
    integers = None
    if int8:
        calibrated, images = images_to_calibrate(origin, known)
        integers = quantize(origin.graph, images)
        notes.append(f"integers of 8 bits, calibrated on {len(images):,} images of {calibrated}")
    texts = c_program(origin, integers)
    found: Agreement | None = None
    try:
        found = agreement(
            origin, answers(loaded(texts), origin.graph.classes), *images_to_compare(origin, known)
        )
        size = built(texts)
    except CompilationError as reason:
        notes.append(f"not compiled: {reason}")
        if integers is not None:  # what C would give, to the bit
            found = agreement(origin, by_numpy(integers), *images_to_compare(origin, known))
            accept_int8(found, most_lost_points, forced=forced)
            notes.append("compared by NumPy, in the same integers")
    else:
        if int8:
            accept_int8(found, most_lost_points, forced=forced)
        else:
            accept_float(found)
        notes.append(
            str(size)
            if size
            else "sizes unknown: there is no 'size' (GNU binutils) to read an object file"
        )
        if size:
            notes += size.warnings
            room = {
                "flash_bytes": size.flash_bytes,
                "ram_bytes": size.ram_bytes,
                "stack_bytes": size.stack_bytes,
            }
    total = write_export({folder / name: text for name, text in texts.items()})
    return Exported(tuple(folder / name for name in texts), total, found, tuple(notes), room)
