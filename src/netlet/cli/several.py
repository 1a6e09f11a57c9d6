"""What commands share that take several nets: one that cannot be used does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from netlet.cli.error_messages import describe_error
from netlet.cli.results import say
from netlet.errors import NetError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome(Generic[_T]):
    """What a command found out about one of several nets.

    Attributes:
        name: The net, as it was named.
        value: The result; None if there is none.
        error: Why there is none; else empty.
    """

    name: str
    value: _T | None
    error: str = ""


def refuse_loose_words(names: Sequence[str]) -> None:
    """Refuse a net in one line without quotes, whose words would be taken for nets.

    Args:
        names: The nets that were named.

    Raises:
        NetError: They are one net in notation.
    """
    from netlet.nets import NETS, is_notation

    is_loose = len(names) > 1 and all(" " not in name and name not in NETS for name in names)
    if is_loose and is_notation(" ".join(names)):
        raise NetError(
            f"too many arguments ({' '.join(names[1:])}); put a net in one line into quotes, like "
            f"'{' '.join(names)}'"
        )


def try_each(names: Sequence[str], find: Callable[[str], _T]) -> Iterator[Outcome[_T]]:
    """Yield what is found out about each net, and say at once if a net cannot be used.

    Args:
        names: The nets.
        find: The function that finds it out.
    """
    for name in names:
        try:
            yield Outcome(name, find(name))
        except Exception as error:
            message = describe_error(error)
            say(f"netlet: {message if name in message else f'{name}: {message}'}")
            yield Outcome(name, None, message)
