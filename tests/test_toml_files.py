"""The reader of the TOML files of users: limits, places of mistakes, and messages of one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlet.errors import BudgetError
from netlet.toml_files import WrongValueError, check_keys, fail, read_toml, show_value
from netlet.toml_files.lines import find_line

TEXT = """\
title = "A file"
rules = [
    "first",
    "second",
]
limits.params = 3

[messages]
"Conv2d >= 3" = "Two are too few."
'GAP | Linear' = "first"
"with \\" in it" = 1

[[arm]]
name = "a"
set = { peak_lr = 1 }

[[arm]]
name = "b"  # = the second one
"""


@pytest.mark.parametrize(
    ("keys", "quoted", "line"),
    [
        (("title",), None, 1),
        (("rules",), None, 2),
        (("rules",), "second", 4),
        (("rules",), "third", 2),
        (("limits", "params"), None, 6),
        (("messages",), None, 8),
        (("messages", "Conv2d >= 3"), None, 9),
        (("messages", "GAP | Linear"), None, 10),
        (("messages", 'with " in it'), None, 11),
        (("messages", "none"), None, 8),
        (("arm", 0, "set", "peak_lr"), None, 15),
        (("arm", 1), None, 17),
        (("arm", 1, "name"), None, 18),
        (("absent",), None, None),
        ((), None, None),
    ],
)
def test_a_value_is_found_by_the_keys_that_lead_to_it(
    keys: tuple[str | int, ...], quoted: str | None, line: int | None
) -> None:
    assert find_line(TEXT, keys, quoted) == line


def test_a_wrong_value_is_named_with_file_line_and_message(tmp_path: Path) -> None:
    path = tmp_path / "a\nfile.toml"
    path.write_text(TEXT)
    file = read_toml(path, 1_000, BudgetError, "repair it")
    assert file.values["arm"][1] == {"name": "b"}
    shown = f"{tmp_path}/a\\nfile.toml"
    with (
        pytest.raises(BudgetError) as caught,
        file.naming_lines(),
    ):
        fail("name is 'b'; write 'c'", "arm", 1, "name")
    assert str(caught.value) == f"{shown}, line 18: name is 'b'; write 'c'"
    with pytest.raises(BudgetError) as caught, file.naming_lines():
        fail("there is nothing; add something")
    assert str(caught.value) == f"{shown}: there is nothing; add something"


def test_an_unknown_key_is_refused_with_the_one_that_was_meant() -> None:
    known, meant = ("epochs", "title"), {"name": "title"}
    check_keys({"epochs": 1}, known, "a file")
    for key, hint in (("epoch", "did you mean 'epochs'? "), ("Name", "did you mean 'title'? ")):
        with pytest.raises(WrongValueError) as caught:
            check_keys({key: 1}, known, "a file", "arm", 0, meant=meant)
        assert (
            str(caught.value)
            == f"{key!r} is not a key of a file; {hint}the keys are: epochs, title"
        )
        assert caught.value.keys == ("arm", 0, key)
    with pytest.raises(WrongValueError, match="of a file; write it elsewhere; the keys are"):
        check_keys({"lr": 1}, known, "a file", explain=lambda _: "write it elsewhere; ")


def test_a_value_in_a_message_is_short() -> None:
    assert show_value("x") == "'x'"
    assert len(show_value("x" * 1_000)) == 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "is not UTF-8 text; save it as UTF-8"),
        (b"#" * 2_000, "such files have at most 1,000; name another file"),
        (b"a = 1\n" + b"a" + b".a" * 30 + b" = 1", "line 2 has too many dots; shorten it to 20"),
        (b"a = ", "is not valid TOML: Invalid value (at end of document); repair it"),
        (b"a = " + b"[" * 900, "repair it"),
        # What teachers and students write: a decimal comma, thousands, percent, other quotes.
        (b"accuracy = 99,4", "; write 99.4 instead of 99,4"),
        (b"a = 1\r\nparams_below = 20,000  # of all\r\nb = 2", "; write 20_000 instead of 20,000"),
        (b"params_below = 20k", "; write 20_000 instead of 20k"),
        (b"a = [\n1]\naccuracy = 99.4%", "; write 99.4 instead of 99.4%"),
        ("title = \u201e\u00dcbung\u201c".encode(), '; write "\u00dcbung" instead of \u201e'),
        (b"dataset = mnist", '; write "mnist" instead of mnist'),
        (b"epochs: 15", "; write epochs = 15 instead of epochs: 15"),
        (b"a = 1,4,5", "; repair it"),
        (b"a = b" + b" " * 900, "; repair it"),
    ],
)
def test_what_is_no_toml_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(BudgetError) as caught:
        read_toml(path, 1_000, BudgetError, "repair it", max_dots=20)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
