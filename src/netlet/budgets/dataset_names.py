"""Slips in the name of the data set that a budget is for."""

from __future__ import annotations

from netlet.text import count_slips

# The names of netlet.data, which budgets do not import; a test compares them.
DATASETS = ("mnist", "fashion_mnist", "kmnist", "qmnist", "scribble")
_OTHERS = ("emnist", "medmnist", "notmnist", "cifar10")  # that people may bring as their own
_MOST_SLIPS = 2


def explain_dataset(name: str | None) -> str:
    """Return which data set the name of an unknown one misspells; empty if it may be one's own.

    Names with more letters than a known one may be those of one's own images.

    Args:
        name: The name that a budget has; None: any data set.
    """
    if name is None or name in DATASETS or name.lower() in _OTHERS:
        return ""
    slips = {
        known: count_slips(name.lower(), known) for known in DATASETS if len(name) <= len(known)
    }
    meant = min(slips, key=lambda known: slips[known], default="")
    if not meant or slips[meant] > _MOST_SLIPS:
        return ""
    return (
        f"no data set is called {name!r}; did you mean {meant!r}? the names are "
        f"{', '.join(DATASETS)}, or that of your own images"
    )
