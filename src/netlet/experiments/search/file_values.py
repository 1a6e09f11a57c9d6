"""Read the values of a search file that its tables share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from netlet import toml_files
from netlet.recipes import Recipe
from netlet.toml_files import fail, show_value

MAX_ENTRIES = 1_000  # of a list
# What people write for a key, where spelling alone does not lead to it.
_MEANT = {
    "net": "nets",
    "shape": "shapes",
    "set": "vary",
    "ranges": "vary",
    "space": "vary",
    "parameters": "vary",
    "data": "dataset",
    "val": "folds",
    "name": "title",
    "halving": "rungs",
    "pruning": "rungs",
    "limit": "budget",
    "arms": "arm",
    "seeds": "runs",
    "drop": "drop_below",
}


def read_text(values: Mapping[str, Any], key: str, default: str, *place: str | int) -> str:
    """Return the text of a key of the table to which other keys lead."""
    text = values.get(key, default)
    if not isinstance(text, str) or (key in values and not text.strip()):
        fail(f"{key} is {show_value(text)}; write a text, or leave the key out", *place, key)
    return text


def read_whole(
    values: Mapping[str, Any], key: str, default: int, low: int, high: int, *place: str | int
) -> int:
    """Return the whole number of a key of the table to which other keys lead."""
    number = values.get(key, default)
    if type(number) is not int or not low <= number <= high:
        expected = f"a whole number from {low} to {high:,}"
        fail(f"{key} is {show_value(number)}; write {expected}", *place, key)
    return number


def read_texts(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list of texts of a key, each with single spaces."""
    texts = values.get(key, [])
    words = isinstance(texts, list) and all(isinstance(one, str) and one.split() for one in texts)
    if not words:
        fail(f'{key} is {show_value(texts)}; write a list like ["8 8 P 12 14 16 16"]', key)
    if len(texts) > MAX_ENTRIES:
        fail(f"{key} has {len(texts):,} entries; write at most {MAX_ENTRIES:,}", key)
    clean = [" ".join(one.split()) for one in texts]
    for at, one in enumerate(clean):
        if one in clean[:at]:
            fail(f"{key} has {one!r} twice; drop one", key, quoted=texts[at])
    return tuple(clean)


def check_keys(values: Mapping[str, Any], known: Sequence[str], *place: str | int) -> None:
    """Refuse keys that are not known, with the one that was meant.

    Args:
        values: A table.
        known: The keys that it may have.
        place: The keys that lead to it.
    """

    def explain(key: str) -> str:
        if key in ("shapes", "nets", "vary", "rungs", "keep") and "arm" in known:
            return f"{key} is for a search without [[arm]]; "
        if key not in {one.name for one in dataclasses.fields(Recipe)} - {"name", "about"}:
            return ""
        if "set" in known:
            return f"write set = {{ {key} = ... }}; "
        return f"write it under [vary], like {key} = [...]; "

    what = "an arm" if place else "a search"
    toml_files.check_keys(values, known, what, *place, meant=_MEANT, explain=explain)
