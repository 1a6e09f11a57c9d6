"""The line of a TOML file on which a value is written, for error messages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

_TABLE = re.compile(r"\[(?P<name>[^\[\]]+)\]\s*(?:#.*)?")
_ENTRY = re.compile(r"\[\[(?P<name>[^\[\]]+)\]\]\s*(?:#.*)?")
_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w\-]+)"""
_KEY = re.compile(rf"(?P<name>{_PART}(?:\s*\.\s*{_PART})*)\s*=")


def find_line(text: str, keys: Sequence[str | int], quoted: str | None = None) -> int | None:
    """Return the line, from 1, on which a value of a TOML file is written.

    Args:
        text: The content of the file, which is valid TOML.
        keys: The keys that lead to the value; an entry of ``[[arm]]`` has its number, from 0.
        quoted: A text of the value, for instance one entry of a list.

    Returns:
        The line of the longest part of ``keys`` that has one; None if no part has.
    """
    table: tuple[str | int, ...] = ()
    entries: dict[tuple[str, ...], int] = {}
    found, depth = None, 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if match := _ENTRY.fullmatch(stripped):
            name = _split(match["name"])
            entries[name] = entries.get(name, -1) + 1
            place = table = (*name, entries[name])
        elif match := _TABLE.fullmatch(stripped):
            place = table = _split(match["name"])
        elif match := _KEY.match(stripped):
            place = (*table, *_split(match["name"]))
        else:
            continue
        if place == tuple(keys[: len(place)]) and len(place) > depth:
            found, depth = number, len(place)
    if found is not None and quoted is not None:
        lines = text.splitlines()
        for number in range(found, len(lines) + 1):
            if any(f"{mark}{quoted}{mark}" in lines[number - 1] for mark in ("'", '"')):
                return number
    return found


def _split(key: str) -> tuple[str, ...]:
    """Return the parts of a dotted key; none if it is not a key."""
    try:
        value: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str] = []
    while isinstance(value, dict):
        ((part, value),) = value.items()
        parts.append(part)
    return tuple(parts)
