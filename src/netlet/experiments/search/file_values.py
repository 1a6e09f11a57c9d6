"""Read values of a search file, or say what is wrong with one and where it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from netlet.errors import did_you_mean
from netlet.recipes import Recipe

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


class WrongValueError(Exception):
    """A value of the file is wrong.

    Args:
        message: What is wrong with it, and the remedy.
        keys: The keys that lead to it.
        quoted: The text that is wrong, if the value is a list of texts.
    """

    def __init__(self, message: str, *keys: str | int, quoted: str | None = None) -> None:
        super().__init__(message)
        self.keys, self.quoted = keys, quoted


def read_text(values: Mapping[str, Any], key: str, default: str, *place: str | int) -> str:
    """Return the text of a key of the table to which other keys lead."""
    text = values.get(key, default)
    if not isinstance(text, str) or (key in values and not text.strip()):
        fail(f"{key} is {show(text)}; write a text, or leave the key out", *place, key)
    return text


def read_whole(
    values: Mapping[str, Any], key: str, default: int, low: int, high: int, *place: str | int
) -> int:
    """Return the whole number of a key of the table to which other keys lead."""
    number = values.get(key, default)
    if type(number) is not int or not low <= number <= high:
        fail(f"{key} is {show(number)}; write a whole number from {low} to {high:,}", *place, key)
    return number


def read_texts(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list of texts of a key, each with single spaces."""
    texts = values.get(key, [])
    words = isinstance(texts, list) and all(isinstance(one, str) and one.split() for one in texts)
    if not words:
        fail(f'{key} is {show(texts)}; write a list like ["8 8 P 12 14 16 16"]', key)
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
    what = "an arm" if place else "a search"
    for key in values:
        if key not in known:
            meant = _MEANT.get(key.lower())
            hint = f"did you mean {meant!r}? " if meant in known else did_you_mean(key, known)
            if key in {one.name for one in dataclasses.fields(Recipe)} - {"name", "about"}:
                hint = f"write set = {{ {key} = ... }}; " if "set" in known else ""
                hint = hint or f"write it under [vary], like {key} = [...]; "
            keys = ", ".join(known)
            fail(f"{key!r} is not a key of {what}; {hint}the keys are: {keys}", *place, key)


def fail(message: str, *keys: str | int, quoted: str | None = None) -> NoReturn:
    """Refuse a value.

    Args:
        message: What is wrong with it, and the remedy.
        keys: The keys that lead to it.
        quoted: The text that is wrong, if the value is a list of texts.
    """
    raise WrongValueError(message, *keys, quoted=quoted)


def show(value: object) -> str:
    """Return a value for a message, cut after 60 letters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
