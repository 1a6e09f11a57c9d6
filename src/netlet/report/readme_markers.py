"""Blocks in somebody's Markdown file: what netlet fills lies between two comments.

The text outside of them stays as it is, byte for byte. Comments in code, such as those of a page
that explains them, are not markers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from netlet.errors import ReportError, did_you_mean, install_hint
from netlet.files import read_regular

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_BYTES = 4 << 20  # of the file
_MARKER = re.compile(r"<!--[ \t]*(?P<end>/)?netlet(?::(?P<name>[\w-]+))?[ \t]*-->")
# What is meant as a marker, though it may be misspelled.
_INTENDED = re.compile(r"<!--\s*(?:/\s*netlet\b|netlet\s*:)", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Block:
    """A block of a file.

    Attributes:
        name: What it is filled with, such as ``summary``.
        begin: The index of the line of its first marker, from 0.
        end: The index of the line of its last marker.
    """

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class _Marker:
    line: int
    name: str
    is_end: bool


class MarkedText:
    """The text of a Markdown file and the blocks in it."""

    def __init__(self, text: str, path: Path, known: Collection[str]) -> None:
        """Find the blocks.

        Args:
            text: The content of the file, line breaks as they are.
            path: The path of the file, for error messages.
            known: The names of blocks that there are.

        Raises:
            ReportError: A marker is misspelled, not on a line of its own at the margin, without its
                counterpart or given twice; or blocks lie in each other.
        """
        self.text = text
        self._path = path
        self._lines = split_lines(text)
        self.in_code = [
            number
            for number, line in enumerate(self._lines, start=1)
            if _MARKER.fullmatch(line.strip())
        ]
        markers = list(self._find_markers())
        self.in_code = [n for n in self.in_code if n - 1 not in {one.line for one in markers}]
        self.blocks = self._pair(markers, known)

    def fill(self, contents: Mapping[str, str]) -> str:
        """Return the text with other contents of some of its blocks.

        Args:
            contents: Markdown by the name of the block, with Unix line breaks.
        """
        lines = list(self._lines)
        for block in reversed(self.blocks):
            if block.name in contents:
                first = lines[block.begin]
                end = first[len(first.rstrip("\r\n")) :]
                content = f"\n{contents[block.name].strip()}\n\n".replace("\n", end)
                lines[block.begin + 1 : block.end] = [content]
        return "".join(lines)

    def first_heading(self) -> int | None:
        """Return the number of lines up to the end of the first heading of level 1, if any."""
        tokens = _parse(self._readable())
        for token in tokens:
            if token.type == "heading_open" and token.tag == "h1" and token.map and not token.level:
                return int(token.map[1])
        return None

    def insert(self, line: int, addition: str) -> str:
        """Return the text with lines added before a line; the line breaks are those of the file.

        Args:
            line: The index of the line, from 0; the number of lines to add at the end.
            addition: Markdown with Unix line breaks, which ends with one.
        """
        end = self.line_break
        addition = addition.replace("\n", end)
        before, after = "".join(self._lines[:line]), "".join(self._lines[line:])
        if before and not before.endswith(("\r", "\n")):
            # A file without a final line break keeps none.
            return before + end + addition.removesuffix(end) + after
        return before + addition + after

    @property
    def line_count(self) -> int:
        """The number of lines."""
        return len(self._lines)

    @property
    def line_break(self) -> str:
        """The line break of the first line; that of Unix if there is none."""
        first = self._lines[0] if self._lines else ""
        return first[len(first.rstrip("\r\n")) :] or "\n"

    def _readable(self) -> str:
        return self.text.removeprefix(_BYTE_ORDER_MARK)

    def _find_markers(self) -> Iterator[_Marker]:
        """Yield the markers that are comments of the page, in order."""
        for token in _parse(self._readable()):
            if token.map is None:
                continue
            first, after = token.map
            if token.type == "html_block":
                for number in range(first, min(after, len(self._lines))):
                    line = self._lines[number].removeprefix(_BYTE_ORDER_MARK)
                    if _INTENDED.search(line):
                        if token.level:
                            self._refuse(
                                number,
                                "a marker is in a list or a quotation; move it to the margin",
                            )
                        yield self._read_marker(number, line.strip())
            elif token.type == "inline" and any(
                child.type == "html_inline" and _INTENDED.search(child.content)
                for child in token.children or ()
            ):
                number = next(n for n in range(first, after) if _INTENDED.search(self._lines[n]))
                self._refuse(
                    number, "a marker shares its line with text; give it a line of its own"
                )

    def _read_marker(self, number: int, line: str) -> _Marker:
        match = _MARKER.fullmatch(line)
        if match is None or not (match["end"] or match["name"]):
            self._refuse(
                number,
                "a marker is damaged; write <!-- netlet:NAME --> or <!-- /netlet -->, alone on its "
                "line",
            )
        return _Marker(number, match["name"] or "", bool(match["end"]))

    def _pair(self, markers: list[_Marker], known: Collection[str]) -> list[Block]:
        blocks: list[Block] = []
        opened: _Marker | None = None
        for marker in markers:
            if not marker.is_end:
                if opened is not None:
                    self._refuse(
                        marker.line,
                        f"netlet:{marker.name} begins inside netlet:{opened.name} of line "
                        f"{opened.line + 1}; end that one first with <!-- /netlet -->",
                    )
                self._check_name(marker, blocks, known)
                opened = marker
                continue
            if opened is None:
                self._refuse(
                    marker.line, "this end belongs to no block; remove it, or add the beginning"
                )
            if marker.name not in ("", opened.name):
                self._refuse(
                    marker.line,
                    f"netlet:{opened.name} of line {opened.line + 1} ends as {marker.name}; write "
                    "<!-- /netlet -->",
                )
            blocks.append(Block(opened.name, opened.line, marker.line))
            opened = None
        if opened is not None:
            code = f" (that of line {self.in_code[-1]} is in code)" if self.in_code else ""
            self._refuse(
                opened.line,
                f"netlet:{opened.name} has no end{code}; add <!-- /netlet --> below it",
            )
        return blocks

    def _check_name(self, marker: _Marker, blocks: list[Block], known: Collection[str]) -> None:
        if marker.name not in known:
            self._refuse(
                marker.line,
                f"there is no block {marker.name!r}; {did_you_mean(marker.name, known)}"
                f"the blocks are: {', '.join(known)}",
            )
        for block in blocks:
            if block.name == marker.name:
                self._refuse(
                    marker.line,
                    f"netlet:{marker.name} is in the file twice, first in line {block.begin + 1}; "
                    "remove one of them",
                )

    def _refuse(self, line: int, problem: str) -> NoReturn:
        raise ReportError(f"{self._path}, line {line + 1}: {problem}")


def split_lines(text: str) -> list[str]:
    """Return the lines of a text with their line breaks, of which Markdown knows three."""
    return _LINE.findall(text)


def read_marked(path: Path, known: Collection[str]) -> MarkedText:
    """Return the text of a file with its blocks.

    Args:
        path: The path of the file. Bytes in it that are not UTF-8 become surrogates, which
            :func:`encode_marked` turns back.
        known: The names of blocks that there are.

    Raises:
        ReportError: The file cannot be read, is not text, or its markers are damaged.
    """
    content = read_regular(path, MAX_BYTES, ReportError)
    if b"\0" in content:
        raise ReportError(
            f"{path}: is UTF-16 or not text; save it as UTF-8, which your editor calls the encoding"
        )
    return MarkedText(content.decode("utf-8", "surrogateescape"), path, known)


def encode_marked(text: str) -> bytes:
    """Return the bytes of a text of :func:`read_marked`."""
    return text.encode("utf-8", "surrogateescape")


def _parse(text: str) -> list[Token]:
    """Return the tokens of Markdown as CommonMark has them.

    Raises:
        ReportError: markdown-it-py is not installed.
    """
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise ReportError(
            f"reading Markdown needs markdown-it-py, which is not installed; "
            f"{install_hint('report')}"
        ) from error
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
