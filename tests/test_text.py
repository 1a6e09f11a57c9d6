"""What people read: names from outside are shown without acting on the terminal."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from netlet.text import escape_controls


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
