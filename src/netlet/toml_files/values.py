"""Check the values of a TOML file, and say what is wrong with one and where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from netlet.errors import did_you_mean

_MAX_LETTERS = 60  # of a value in a message


class WrongValueError(Exception):
    """A value of a file is wrong.

    Args:
        message: What is wrong with it, and the remedy.
        keys: The keys that lead to it.
        quoted: The text that is wrong, if the value is a list of texts.
    """

    def __init__(self, message: str, *keys: str | int, quoted: str | None = None) -> None:
        super().__init__(message)
        self.keys, self.quoted = keys, quoted


def fail(message: str, *keys: str | int, quoted: str | None = None) -> NoReturn:
    """Refuse a value; see :class:`WrongValueError`.

    Raises:
        WrongValueError: Always.
    """
    raise WrongValueError(message, *keys, quoted=quoted)


def check_keys(
    values: Mapping[str, Any],
    known: Sequence[str],
    what: str,
    *place: str | int,
    meant: Mapping[str, str] | None = None,
    explain: Callable[[str], str] = lambda _: "",
) -> None:
    """Refuse keys that are not known, with the one that was meant.

    Args:
        values: A table.
        known: The keys that it may have.
        what: What the table is, like ``a budget``.
        place: The keys that lead to it.
        meant: What people write for a key, where spelling alone does not lead to it.
        explain: Returns what to write instead of a key, if there is more to say.

    Raises:
        WrongValueError: A key is not known.
    """
    for key in values:
        if key not in known:
            found = (meant or {}).get(key.lower())
            guess = f"did you mean {found!r}? " if found in known else did_you_mean(key, known)
            fail(
                f"{key!r} is not a key of {what}; {explain(key) or guess}the keys are: "
                f"{', '.join(known)}",
                *place,
                key,
            )


def show_value(value: object) -> str:
    """Return a value for a message, cut after 60 letters."""
    text = repr(value)
    return text if len(text) <= _MAX_LETTERS else f"{text[: _MAX_LETTERS - 3]}..."
