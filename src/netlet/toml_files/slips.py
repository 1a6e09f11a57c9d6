"""What to write instead of a line that is not TOML but reads like it."""

from __future__ import annotations

import re
from collections.abc import Callable

_MAX_LETTERS = 60  # of what is quoted
_MAX_LINE = 200  # letters: the time to match grows with their square, and the file may be hostile
_KEY = r"\s*[\w.\"'-]+"
_NUMBER_END = r"\s*(?:[,#].*)?"


def _write_number(match: re.Match[str]) -> str:
    thousands = match["group"] is not None and len(match["group"]) == 3
    return f"{match['whole']}{'_' if thousands else '.'}{match['group']}"


def _write_thousands(match: re.Match[str]) -> str:
    return f"{match['whole']}_000"


def _write_straight_quotes(match: re.Match[str]) -> str:
    return f'"{match["text"]}"'


# What is wrong (`wrong`, in a line that has a key), and what to write instead.
_SLIPS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (rf"{_KEY}\s*=\s*(?P<wrong>(?P<whole>\d+),(?P<group>\d+))\s*(?:#.*)?", _write_number),
    (rf"{_KEY}\s*=\s*(?P<wrong>(?P<whole>\d+) ?[kK]){_NUMBER_END}", _write_thousands),
    (rf"{_KEY}\s*=\s*(?P<wrong>(?P<number>[\d.]+) ?%){_NUMBER_END}", lambda m: m["number"]),
    (r"[^\"#]*?(?P<wrong>[“”„«»‟](?P<text>[^“”„«»‟]*)[“”„«»‟]).*", _write_straight_quotes),
    (
        rf"{_KEY}\s*=\s*(?P<wrong>(?P<text>[A-Za-z][^\"'#]*?))\s*(?:#.*)?",
        _write_straight_quotes,
    ),
    (
        r"\s*(?P<wrong>(?P<key>[\w-]+):\s*(?P<value>\S.*?))\s*",
        lambda m: f"{m['key']} = {m['value']}",
    ),
)


def suggest_instead(line: str) -> str:
    """Return ``write 99.4 instead of 99,4``; empty if nothing is known to be meant.

    Args:
        line: Of a file, which is not valid TOML.
    """
    for pattern, correct in _SLIPS if len(line) <= _MAX_LINE else ():
        match = re.fullmatch(pattern, line)
        if match is not None and len(match["wrong"]) <= _MAX_LETTERS:
            return f"write {correct(match)} instead of {match['wrong']}"
    return ""
