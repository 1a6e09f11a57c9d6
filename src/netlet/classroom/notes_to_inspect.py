"""Which notes of a grade its teacher should look at: what may hide data, vary or be meant."""

from __future__ import annotations

from collections.abc import Sequence

from netlet.analysis.unused_results import TAKEN
from netlet.classroom.fitting_nets import HAS_ALL
from netlet.classroom.source_size import ENOUGH_FOR_ANSWERS
from netlet.nets.checkpoints import FIT_TOO
from netlet.nets.surplus_tensors import LEFT_OUT

# Of the notes on a net whose score for an image is not the same in each grading.
_VARIES = (
    "is active in evaluation too, so results vary",
    "draws random numbers in evaluation too, so results vary",
    "in a second run, so results vary",
    "normalizes by the batch in evaluation too",
    "normalizes over the images of a batch",
)


def find_notes_to_inspect(notes: Sequence[str]) -> list[str]:
    """Return the notes that tell a teacher what to look at, without the remedies of a student.

    Args:
        notes: All notes of a grade.
    """
    found = [note for note in notes if ENOUGH_FOR_ANSWERS in note or TAKEN in note]
    parts = [part for note in notes for part in note.split("; ")]
    found += [
        part for part in parts if FIT_TOO in part or HAS_ALL in part or part.endswith(LEFT_OUT)
    ]
    for kind in _VARIES:
        alike = [note for note in notes if kind in note]
        if alike:
            first = alike[0].partition("; ")[0]
            more = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
            found.append(f"{first}{more}")
    return found
