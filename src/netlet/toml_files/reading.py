"""Read a TOML file within limits, and say on which line a mistake in it is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.errors import NetletError
from netlet.files import read_regular
from netlet.text import escape_controls
from netlet.toml_files.lines import find_line
from netlet.toml_files.slips import suggest_instead
from netlet.toml_files.values import WrongValueError

_MAX_DOTS = 1_000  # of a line: the time to parse a key grows with their square


@dataclass(frozen=True)
class TomlFile:
    """The content of a TOML file.

    Attributes:
        path: The path of the file.
        text: Its text, without a byte order mark.
        values: Its keys.
        error: The class of the errors that it leads to.
    """

    path: Path
    text: str = field(repr=False)
    values: dict[str, Any]
    error: type[NetletError]

    def place(self, keys: Sequence[str | int], quoted: str | None = None) -> str:
        """Return the path of the file with the line of a value, for a message.

        Args:
            keys: The keys that lead to the value; those that the file does not have are ignored.
            quoted: A text of the value, for instance one entry of a list.
        """
        shown = escape_controls(str(self.path))
        line = find_line(self.text, keys, quoted)
        return f"{shown}, line {line}" if line else shown

    @contextmanager
    def naming_lines(self) -> Iterator[None]:
        """Put the file and the line before the message of a wrong value.

        Raises:
            NetletError: The block has found a wrong value.
        """
        try:
            yield
        except WrongValueError as wrong:
            raise self.error(f"{self.place(wrong.keys, wrong.quoted)}: {wrong}") from wrong


def read_toml(
    path: Path,
    max_bytes: int,
    error: type[NetletError],
    remedy: str,
    *,
    max_dots: int = _MAX_DOTS,
) -> TomlFile:
    """Read a TOML file that a person named.

    Args:
        path: The path of the file.
        max_bytes: The largest size that is read.
        error: The class of the errors.
        remedy: What to do if it is not TOML, for the error message.
        max_dots: The largest number of dots on a line.

    Raises:
        NetletError: There is no such file, it is not a regular file, it is too large, it is not
            UTF-8, or :func:`parse_toml` refuses it.
    """
    content = read_regular(path, max_bytes, error)
    shown = escape_controls(str(path))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as caught:
        raise error(f"{shown}: is not UTF-8 text; save it as UTF-8") from caught
    return TomlFile(path, text, parse_toml(text, shown, error, remedy, max_dots=max_dots), error)


def parse_toml(
    text: str,
    shown: str,
    error: type[NetletError],
    remedy: str,
    *,
    max_dots: int = _MAX_DOTS,
) -> dict[str, Any]:
    """Return the values of a TOML text.

    Args:
        text: The content of the file.
        shown: What the message calls the file.
        error: The class of the errors.
        remedy: What to do if it is not TOML, for the error message.
        max_dots: The largest number of dots on a line.

    Raises:
        NetletError: It is not TOML, is nested too deeply, or has a line with too many dots.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > max_dots:
            raise error(
                f"{shown}: line {number} has too many dots; shorten it to {max_dots:,} at most"
            )
    try:
        return tomllib.loads(text)
    except RecursionError as caught:
        raise error(f"{shown}: is nested too deeply; {remedy}") from caught
    except tomllib.TOMLDecodeError as caught:
        reason = escape_controls(str(caught))
        place = re.search(r"\(at line (\d+), ", reason)
        line = text.split("\n")[int(place[1]) - 1].rstrip("\r") if place else ""
        if "overwrite a value" in reason:
            is_table = line.lstrip().startswith("[")
            what = "table here has the name of a key above" if is_table else "key is also set above"
            reason += f": the {what}; keep one of them"
        elif line:
            remedy = suggest_instead(line) or remedy
        raise error(f"{shown}: is not valid TOML: {reason}; {escape_controls(remedy)}") from caught
    except ValueError as caught:  # of thousands of digits
        raise error(f"{shown}: is not valid TOML: a number is too long; {remedy}") from caught
