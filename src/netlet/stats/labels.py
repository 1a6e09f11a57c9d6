"""What studies of one name are called where they are shown together."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from netlet.records.study import Study

_WITH, _COMMA = " with ", ", "  # "plain with epochs=3, peak_lr=0.1" is plain with two changes
_MOST = 3  # changes in a label
Places = Sequence[Path | str]  # the folders of a study: of its record, or of its runs


def distinguish_names(studies: Sequence[Study], places: Sequence[Places] = ()) -> list[Study]:
    """Return studies with a name of its own for each.

    A name that several have is completed with what tells them apart: their recipes if they have
    one net, else their folders, else their order.

    Args:
        studies: The studies.
        places: The folders of each study; empty if they are not known.
    """
    names = [study.name for study in studies]
    found = list(studies)
    for name, times in Counter(names).items():
        if times == 1:
            continue
        numbers = [number for number, other in enumerate(names) if other == name]
        alike = [studies[number] for number in numbers]
        for labels in _propose_labels(alike, [places[number] for number in numbers if places]):
            own = [f"{name} ({label})" for label in labels]
            if len({*own, *names}) == len(own) + len(set(names)):
                break
        for number, label in zip(numbers, own, strict=True):
            found[number] = dataclasses.replace(found[number], name=label)
    return found


def _propose_labels(studies: Sequence[Study], places: Sequence[Places]) -> Iterator[Sequence[str]]:
    """Yield labels for studies of one name, the best first; the last ones are unique."""
    sources = {study.source_digest for study in studies} - {""}
    if len({study.net_digest for study in studies}) == 1 and len(sources) < 2:
        yield label_by_recipes(studies)
    folders = [[os.path.abspath(place) for place in some] for some in places]
    if folders and all(folders):
        shared = [Path(os.path.commonpath(some)) for some in folders]
        if not any(one in other.parents for one in shared for other in shared):
            yield _shorten(shared)
        firsts = _shorten([some[0] for some in folders])
        more = [f" and {len(some) - 1} more" if some[1:] else "" for some in folders]
        yield [first + rest for first, rest in zip(firsts, more, strict=True)]
    numbers = [str(number + 1) for number in range(len(studies))]
    yield ["first", "second"] if len(studies) == 2 else numbers


def _shorten(paths: Sequence[Path | str]) -> list[str]:
    """Return paths without the folders that all of them are in."""
    above = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, above) for path in paths]


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
