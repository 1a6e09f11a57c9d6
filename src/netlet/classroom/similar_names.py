"""Names that a person may have written in two ways."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from netlet.errors import did_you_mean


def find_twins(names: Mapping[str, int]) -> list[str]:
    """Return in a sentence each which names on a roster differ only in capitals or spaces.

    Args:
        names: The names, and the line of each.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault("".join(name.split()).casefold(), []).append(name)
    return [
        f"line {names[name]} has {name!r}; did you mean {other!r}, as in line {names[other]}?"
        for twins in alike.values()
        if len(twins) > 1
        for name, other in zip(twins, [*twins[1:], twins[0]], strict=True)
    ]


def suggest_names(names: Collection[str], others: Collection[str]) -> dict[str, str]:
    """Return for each name a question after the most similar other one; empty if there is none.

    Args:
        names: The names.
        others: Those that may be meant.
    """
    return {name: did_you_mean(name, others).strip() for name in names}
