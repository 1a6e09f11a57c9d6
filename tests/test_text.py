"""What people read: names from outside are shown without acting on the terminal."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from netlet.text import (
    display_width,
    dump_json,
    escape_controls,
    format_percent,
    format_table,
    to_unicode,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("swift", "swift"),
        ("Größe 数字 эра مرحبا ❤️ 👩", "Größe 数字 эра مرحبا ❤️ 👩"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\x00\x07\x08\x7f", r"a\x00\x07\x08\x7f"),
        ("two\nlines\rover\tthere", r"two\nlines\rover\tthere"),
        ("c1 \x9b2J", r"c1 \x9b2J"),
        ("cat\u202egpj", r"cat\u202egpj"),
        ("\u2066\u2069\u200e\u061c", r"\u2066\u2069\u200e\u061c"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("ze\u200bro\u200d\ufeff\xad", r"ze\u200bro\u200d\ufeff\xad"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("caf\udce9", r"caf\udce9"),
        ("\ufffe", r"\ufffe"),
    ],
)
def test_controls_are_shown_as_in_a_string_literal(text: str, shown: str) -> None:
    assert escape_controls(text) == shown
    assert escape_controls(shown) == shown


def test_lines_that_the_caller_has_made_can_be_kept() -> None:
    assert escape_controls("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\r\\x1b"


def test_every_control_character_that_unicode_knows_is_escaped() -> None:
    # Signs that are drawn over or before a number: format characters by name, but visible.
    visible = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category in {"Cc", "Cf", "Cs", "Zl", "Zp"} and code not in visible:
            assert escape_controls(chr(code)).isascii(), hex(code)
        if category in {"Ll", "Lu", "Nd", "Sc", "Zs"}:
            assert escape_controls(chr(code)) == chr(code), hex(code)


def test_json_for_files_restores_every_string_and_is_utf8() -> None:
    value = {"caf\udce9\x7f": ["a\nb\x1b", "\u202e\u2028", "Größe\U000e0041"], "n": None}
    for indent in (None, 1):
        text = dump_json(value, indent=indent)
        assert json.loads(text.encode()) == value
        assert escape_controls(text, keep="\n") == text
    assert "Größe" in text


def test_bytes_of_a_file_name_give_the_same_name_in_every_locale() -> None:
    name = "café \udce9"
    in_ascii = name.encode("utf-8", "surrogateescape").decode("ascii", "surrogateescape")
    assert to_unicode(name) == to_unicode(in_ascii) == r"café \udce9"
    assert to_unicode("\ud800") == r"\ud800"


def test_a_percentage_is_whole_only_if_it_is_exact() -> None:
    shares = (0, 1 / 50_000, 0.99534, 49_999 / 50_000, 1)
    assert [*map(format_percent, shares)] == ["0.00%", "0.01%", "99.53%", "99.99%", "100.00%"]


def test_tables_keep_a_line_for_each_row_and_align_by_width_on_screen() -> None:
    table = format_table(
        ["class", "n"], [["a\nb\x1b[2J", "1"], ["数字", "2"], ["e\u0301", "3"]], "lr"
    )
    assert table.splitlines() == [
        "class        n",
        "-----------  -",
        r"a\nb\x1b[2J  1",
        "数字         2",
        "e\u0301            3",
    ]
    assert {display_width(line) for line in table.splitlines()} == {14}
