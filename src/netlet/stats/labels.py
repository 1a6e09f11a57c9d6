"""What studies of one name are called where they are shown together."""

from __future__ import annotations

from collections.abc import Sequence

from netlet.records.study import Study

_WITH, _COMMA = " with ", ", "  # "plain with epochs=3, peak_lr=0.1" is plain with two changes
_MOST = 3  # changes in a label


def label_by_recipes(studies: Sequence[Study]) -> list[str]:
    """Return what differs in the names of the recipes of some studies.

    Args:
        studies: Studies of one name.

    Returns:
        A text for each, like ``quick`` or ``epochs=3``; equal if their recipes have one name.
    """
    names = [str(study.recipe["name"]) for study in studies]
    bases, changes = [], []
    for name in names:
        base, _, rest = name.partition(_WITH)
        bases.append(base)
        changes.append(rest.split(_COMMA) if rest else [])
    shared = set.intersection(*map(set, changes)) if changes else set()
    own = [[change for change in some if change not in shared] for some in changes]
    for most in (_MOST, None):
        labels = _write(bases, [_COMMA.join(some[:most]) for some in own])
        if len(set(labels)) == len(set(names)):
            return labels
    return names


def _write(bases: Sequence[str], changes: Sequence[str]) -> list[str]:
    if len(set(bases)) == len(bases):
        return list(bases)
    if len(set(bases)) == 1 and all(changes):
        return list(changes)
    return [
        f"{base}{_WITH}{some}" if some else base for base, some in zip(bases, changes, strict=True)
    ]
