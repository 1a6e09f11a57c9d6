"""Match the classes of a data set with another list of classes, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from netlet.errors import DataError


def match_classes(name: str, own: Sequence[str], expected: Sequence[str]) -> list[int]:
    """Return the label that each class has in another list.

    Args:
        name: The name of the data set.
        own: Its classes.
        expected: The other list; it may have more classes.

    Raises:
        DataError: A class is not in the list, or two classes have one name.
    """
    for given in (own, expected):
        if twice := [one for one, times in Counter(given).items() if times > 1]:
            raise DataError(
                f"{name}: two classes are called {twice[0]!r}; give each class a name of its own"
            )
    if unknown := [one for one in own if one not in expected]:
        raise DataError(
            f"{name}: its class {unknown[0]!r} is not among the expected classes "
            f"({', '.join(expected)}); rename it, or remove its images"
        )
    return [list(expected).index(one) for one in own]
