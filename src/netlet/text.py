"""Plain text: what is safe to show, tables, shapes and counts, and rounded numbers for JSON."""

import contextlib
import html
import json
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

CODE_FILES = (".py", ".ipynb")  # endings of files with nets

# Keys of JSON whose values are in percent or percentage points.
_PERCENTAGE = re.compile(r"(.*_)?(percent|points|interval)(_.*)?")

# Characters that act on a terminal or hide text instead of being seen.
_CONTROLS = re.compile(
    "["
    r"\x00-\x1f\x7f-\x9f"  # C0, delete and C1: move the cursor, erase, recolor
    r"\u2028\u2029"  # line and paragraph separators
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of text
    r"\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065"
    r"\u206a-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"  # invisible
    r"\U000e0000-\U000e0fff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\ud800-\udfff"  # lone surrogates: bytes of a file name that are not UTF-8
    r"\ufdd0-\ufdef\ufffe\uffff"  # no characters at all
    "]"
)


def escape_controls(text: str, *, keep: str = "") -> str:
    r"""Return text that can be shown without acting on the terminal or hiding a part of itself.

    Everything that comes from outside (names, folders, class names, messages of exceptions,
    records) passes through this before somebody reads it. Printable text in any script is
    unchanged. The result can be encoded as UTF-8 and, apart from ``<`` and ``&``, is allowed in
    XML.

    Args:
        text: Any text.
        keep: Characters that are left as they are: ``"\n"`` or ``"\n\t"`` for text whose lines the
            caller has made.

    Returns:
        The text in which these are written as in Python's string literals: control characters
        (``\x1b``), line and paragraph separators, marks that change the direction of text
        (``\u202e``), invisible characters, and bytes of a file name that are not UTF-8
        (``\udce9``). Escaping twice changes nothing.
    """

    def escape(match: re.Match[str]) -> str:
        character = match[0]
        return character if character in keep else ascii(character)[1:-1]

    return _CONTROLS.sub(escape, text)


def quote_shell(*words: object) -> str:
    r"""Return words of a command that can be copied into a shell, also with control characters.

    Args:
        words: Paths or text; such a word is quoted like ``$'a\n'``, which bash and zsh understand.
    """
    return " ".join(map(_quote_word, map(str, words)))


def _quote_word(word: str) -> str:
    if escape_controls(word) == word:
        return shlex.quote(word)
    escaped = "".join(
        f"\\x{ord(c) - 0xDC00:02x}"  # a byte of a file name
        if "\udc80" <= c <= "\udcff"
        else f"\\u{ord(c):04x}"
        if "\x80" <= c <= "\x9f"
        else escape_controls(f"\\{c}" if c in "\\'" else c)
        for c in word
    )
    return f"$'{escaped}'"


def relative_path(path: Path | str) -> str:
    """Return a path as people read it: relative if it lies below the working directory."""
    path = Path(path)
    with contextlib.suppress(OSError, ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def escape_html(text: str) -> str:
    """Return text for HTML, XML and SVG, in an element or in a quoted attribute."""
    return html.escape(escape_controls(text))


def to_unicode(text: str) -> str:
    r"""Return text that can be encoded as UTF-8, with lone surrogates escaped like ``\udce9``.

    Python represents bytes of a file name by such surrogates if they are not valid in the locale's
    encoding. Names that are stored (of data sets, classes and nets) pass through this, so that they
    are the same in every locale; paths are stored unchanged.
    """
    with contextlib.suppress(UnicodeError):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def dump_json(value: Any, *, indent: int | None = None, compact: bool = False) -> str:
    """Return a value as JSON for files: printable text as it is, everything else escaped.

    What :func:`escape_controls` escapes becomes an escape of JSON, so the result can be encoded as
    UTF-8, and a reader restores every string exactly, also paths that are not UTF-8.

    Args:
        value: A value that JSON can hold.
        indent: Spaces for each level, each value on a line of its own; None: one line.
        compact: Whether to leave out the spaces after ``,`` and ``:``.
    """

    def escape(match: re.Match[str]) -> str:
        character = match[0]
        return character if character == "\n" else json.dumps(character)[1:-1]

    # Line breaks stand only between values; within strings they are escaped already.
    separators = (",", ":") if compact else None
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return _CONTROLS.sub(escape, text).replace("\x7f", "\\u007f")


def display_width(text: str) -> int:
    """Return the columns that text takes on a terminal: two for East Asian wide characters.

    Combining marks take none.
    """
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


class Table(NamedTuple):
    """A table, whatever it is written as: titles, rows of cells, a letter for each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str  # ``l`` or ``r`` for each column

    def __str__(self) -> str:
        return format_table(self.columns, self.rows, self.align)

    def __repr__(self) -> str:
        columns = escape_controls(", ".join(self.columns))
        columns = columns if len(columns) < 400 else f"{columns[:400]}..."
        return f"<Table of {count_noun(len(self.rows), 'row')}: {columns}>"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self, caption: str = "") -> str:
        """Return the table as HTML that takes the colors of the page around it.

        Args:
            caption: The text above the table; it is escaped, like the cells.
        """
        sides = [f'style="text-align:{"right" if side == "r" else "left"}"' for side in self.align]

        def cells(tag: str, texts: Sequence[str]) -> str:
            opened = 'th scope="col"' if tag == "th" else tag
            return "".join(
                f"<{opened} {side}>{escape_html(text)}</{tag}>"
                for text, side in zip(texts, sides, strict=True)
            )

        title = f"<caption>{escape_html(caption)}</caption>" if caption else ""
        rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows)
        head = f"<thead><tr>{cells('th', self.columns)}</tr></thead>"
        return f"<table>{title}{head}<tbody>{rows}</tbody></table>"


def round_percentages(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for JSON with their percentages and points rounded to 4 decimals.

    Args:
        values: The values; those whose key has the word ``percent``, ``points`` or ``interval`` are
            rounded, also in mappings inside; lists of mappings are left alone.
    """
    return {
        key: round_percentages(value)
        if isinstance(value, Mapping)
        else _round(value)
        if _PERCENTAGE.fullmatch(str(key))
        else value
        for key, value in values.items()
    }


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return [_round(item) for item in value] if isinstance(value, list | tuple) else value


def format_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None
) -> str:
    """Return an aligned table with columns two spaces apart.

    Args:
        head: Column titles.
        rows: Cells as text, one for each title; control characters in them are escaped.
        align: One letter for each column, ``l`` or ``r``; default: all left.

    Returns:
        The titles, a rule and the rows, one line each, without trailing spaces.
    """
    align = align or "l" * len(head)
    lines = [[escape_controls(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(display_width, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            _pad(cell, width, right=side == "r")
            for cell, width, side in zip(cells, widths, align, strict=True)
        )
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(lines[0]), rule, *map(line, lines[1:])])


def _pad(text: str, width: int, *, right: bool) -> str:
    spaces = " " * (width - display_width(text))
    return spaces + text if right else text + spaces


def format_shape(shape: Sequence[int]) -> str:
    """Return ``1x28x28`` for the shape ``(1, 28, 28)``."""
    return "x".join(map(str, shape))


def format_sizes(sizes: Sequence[int] | None) -> str:
    """Return ``3`` for equal sizes along all axes, ``3x1`` for others, ``?`` for unknown ones."""
    if sizes is None:
        return "?"
    return str(sizes[0]) if len(set(sizes)) == 1 else format_shape(sizes)


def format_percent(share: float) -> str:
    """Return a share as ``99.53%``; ``100.00%`` and ``0.00%`` only if it is exactly 1 or 0."""
    percent = 100 * share
    return f"{min(max(percent, 0.01), 99.99) if 0 < share < 1 else percent:.2f}%"


def count_noun(number: int, noun: str) -> str:
    """Return ``1 epoch`` or ``5 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_count(number: int | None) -> str:
    """Return a number with thousands separators, or ``?`` if it is unknown."""
    return "?" if number is None else f"{number:,}"


def count_slips(one: str, other: str) -> int:
    """Return how many letters differ, are missing, are too many or have changed places."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            least = min(rows[-1][j], row[-1], rows[-1][j - 1] - (letter == wanted)) + 1
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], wanted):
                least = min(least, rows[-2][j - 2] + 1)
            row.append(least)
        rows.append(row)
    return rows[-1][-1]


def split_address(address: str) -> tuple[str, str]:
    """Return the file or module and the name of a net: ``file.py`` alone has no name.

    The path of a file may have a colon, as in ``session 6: mnist.ipynb``.

    Args:
        address: An address, or the name of a net that comes with netlet: that has no file.
    """
    if address.endswith(CODE_FILES):
        return address, ""
    place, _, name = address.rpartition(":")
    return place, name


def join_address(place: str, name: str) -> str:
    """Return the address of a net in a file, or the file alone if there is no name."""
    return f"{place}:{name}" if name else place
