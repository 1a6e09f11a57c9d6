"""Which studies are of nets that average shifts of the image, and how that is said.

Such a net is scored as others are with test-time augmentation, so it is said beside its accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlet.records import Study

SHIFTS = "averages nine shifts"  # in few words
_CLAUSE = (
    f"{SHIFTS} of the image in its forward pass: its scores are those of test-time "
    "augmentation by these shifts"
)
SHIFT_MARK = "†"


def averages_shifts(study: Study) -> bool:
    """Return whether a study's net averages its logits over nine shifts of the image.

    docs/notation.md explains it (``S``).
    """
    kinds = {row["name"]: row["kind"] for row in study.summary["rows"]}
    return kinds.get("border") == "ReplicationPad2d" and kinds.get("shifts") == "AvgPool2d"


def describe_shifts(studies: Sequence[Study]) -> list[str]:
    """Return a line without a period for each of some studies whose net averages shifts."""
    return [f"{study.name} {_CLAUSE}" for study in studies if averages_shifts(study)]


def mark_shifts(study: Study) -> str:
    """Return what marks a study in a table, with a space before it, if its net averages shifts."""
    return f" {SHIFT_MARK}" if averages_shifts(study) else ""


def explain_shift_mark(studies: Sequence[Study]) -> str:
    """Return the footnote of a table of studies in Markdown; empty if none is marked."""
    return f"{SHIFT_MARK} The net {_CLAUSE}." if any(map(averages_shifts, studies)) else ""
