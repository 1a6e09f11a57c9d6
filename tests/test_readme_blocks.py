"""Blocks in somebody's README: they are filled, and every other byte stays as it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from helpers import Netlet, make_seed_result, make_study

from netlet import budgets
from netlet.data import Dataset, Split
from netlet.errors import ReportError
from netlet.recipes import STEADY
from netlet.records import Ladder, LadderResult, Rung, Study, to_json_value
from netlet.report.readme import fill_readme, open_readme
from netlet.report.readme_blocks import BLOCKS, Material, NotFilledError, draw_block
from netlet.report.readme_markers import MarkedText, encode_marked, read_marked

PATH = Path("README.md")
KNOWN = ("summary", "curves", "mistakes")
BUDGET = to_json_value(budgets.TWENTY_K)


def marked(text: str) -> MarkedText:
    return MarkedText(text, PATH, KNOWN)


def study_of(name: str, correct: int = 995, seeds: int = 2) -> Study:
    results = [make_seed_result(seed, correct - seed) for seed in range(seeds)]
    return make_study(*results, name=name, net=name, budget=BUDGET)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "a\n<!-- netlet:summary -->\nold\n<!-- /netlet -->\nb\n",
            "a\n<!-- netlet:summary -->\n\nNEW\n\nline\n\n<!-- /netlet -->\nb\n",
        ),
        (
            "a\r\n<!-- netlet:summary -->\r\n<!-- /netlet -->\r\nb",
            "a\r\n<!-- netlet:summary -->\r\n\r\nNEW\r\n\r\nline\r\n\r\n<!-- /netlet -->\r\nb",
        ),
        (
            "\ufeff<!--netlet:summary-->\n| a |\n<!-- /netlet:summary -->",
            "\ufeff<!--netlet:summary-->\n\nNEW\n\nline\n\n<!-- /netlet:summary -->",
        ),
        (
            "mixed\r\nends\n  <!-- netlet:summary -->\n* x\n<!-- /netlet -->\r\n\x0b\x85\u2028tail ",
            "mixed\r\nends\n  <!-- netlet:summary -->\n\nNEW\n\nline\n\n<!-- /netlet -->\r\n"
            "\x0b\x85\u2028tail ",
        ),
    ],
)
def test_only_what_lies_between_the_markers_changes(before: str, after: str) -> None:
    filled = marked(before).fill({"summary": "NEW\n\nline", "curves": "not asked for"})
    assert filled == after
    assert marked(filled).fill({"summary": "NEW\n\nline"}) == filled


def test_bytes_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(b"caf\xe9\n<!-- netlet:summary -->\n<!-- /netlet -->\n\xff\xfe")
    text = read_marked(path, KNOWN)
    assert encode_marked(text.fill({"summary": "x"})) == (
        b"caf\xe9\n<!-- netlet:summary -->\n\nx\n\n<!-- /netlet -->\n\xff\xfe"
    )
    path.write_text("# a", encoding="utf-16")
    with pytest.raises(ReportError, match="is UTF-16 or not text; save it as UTF-8"):
        read_marked(path, KNOWN)


@pytest.mark.parametrize(
    "code",
    [
        "```html\n{0}\n```",
        "~~~~\n```\n{0}\n~~~\n~~~~",
        "    {0}",
        "1. list\n\n   ```\n   {0}\n   ```",
        "> ```\n> {0}\n> ```",
        "Write `{0}` into it.",
        "Write ``a ` {0}`` into it.",
        "\\{0}",
    ],
)
def test_markers_in_code_are_no_markers(code: str) -> None:
    for marker in ("<!-- netlet:summary -->", "<!-- /netlet -->", "<!-- netlet:nonsense -->"):
        text = "# a\n\n" + code.format(marker) + "\n\n<!-- netlet:curves -->\n<!-- /netlet -->\n"
        found = marked(text)
        assert [block.name for block in found.blocks] == ["curves"]
        assert found.fill({"summary": "x"}) == text


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a\n<!-- netlet:summary -->\n", 2, "netlet:summary has no end; add <!-- /netlet -->"),
        ("<!-- /netlet -->\n", 1, "this end belongs to no block"),
        (
            "<!-- netlet:summary -->\n<!-- netlet:curves -->\n<!-- /netlet -->\n",
            2,
            "netlet:curves begins inside netlet:summary of line 1",
        ),
        (
            "<!-- netlet:curves -->\n<!-- /netlet -->\n\n<!-- netlet:curves -->\n<!-- /netlet -->",
            4,
            "netlet:curves is in the file twice, first in line 1",
        ),
        ("\n\n<!-- netlet:sumary -->\n<!-- /netlet -->", 3, "did you mean 'summary'?"),
        ("<!-- netlet:summary\n<!-- /netlet -->", 1, "a marker is damaged"),
        ("<!-- netlet:summary --> x\n<!-- /netlet -->", 1, "a marker is damaged"),
        ("<!-- netlet:summary --><!-- /netlet -->", 1, "a marker is damaged"),
        ("<!-- Netlet:summary -->\n<!-- /netlet -->", 1, "a marker is damaged"),
        ("<!-- netlet: -->\n<!-- /netlet -->", 1, "a marker is damaged"),
        ("text\nmore <!-- netlet:summary -->\n", 2, "a marker shares its line with text"),
        ("- item\n\n  <!-- netlet:summary -->\n", 3, "is in a list or a quotation"),
        ("> <!-- netlet:summary -->\n", 1, "is in a list or a quotation"),
        ("<!-- netlet:summary -->\n<!-- /netlet:curves -->", 2, "of line 1 ends as curves"),
        (
            "<!-- netlet:summary -->\n```\n<!-- /netlet -->\n",
            1,
            "has no end (that of line 3 is in code)",
        ),
    ],
)
def test_damaged_markers_are_refused_with_their_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ReportError) as caught:
        marked(text)
    message = str(caught.value)
    assert message.startswith(f"README.md, line {line}: ")
    assert problem in message
    assert "\n" not in message


def test_a_comment_about_netlet_is_no_marker() -> None:
    text = "<!-- netlet is a tool -->\n<!-- netlet-like:summary -->\n"
    assert marked(text).blocks == []


def images() -> Dataset:
    grays = torch.arange(28 * 28, dtype=torch.uint8).reshape(1, 1, 28, 28)
    labels = torch.arange(1_000) % 10
    train = Split("train", grays.repeat(1_000, 1, 1, 1), labels)
    test = Split("test", grays.repeat(1_000, 1, 1, 1), labels)
    return Dataset("mnist", train, test, tuple("0123456789"), {})


def test_every_block_has_its_content() -> None:
    recipe = to_json_value(STEADY.replace(epochs=2))
    one = dataclasses.replace(study_of("one"), recipe=recipe)
    alone = Material([one], images=images())
    both = Material([one, study_of("two", 950)], images=images())
    expected = {
        "summary": "**99.45% test accuracy with 3 parameters.**",
        "receptive-field": "| `0` | Conv2d | 28 | 3 | 1 | 0 | 1 | 1 | 1 | 3 | 1 |",
        "verdict": "**Budget twenty_k: PASS.** Judged by the mean of the seeds; 2 of 2 "
        "seeds pass by themselves.",
        "curves": "](loss.svg)",
        "confusion": "](confusion.svg)",
        "mistakes": "](mistakes.svg)",
        "augmentation": "](augmentation.svg)",
    }
    for name, words in expected.items():
        page = draw_block(name, alone)
        assert words in page.text, name
        assert all(f"]({figure}.svg)" in page.text for figure in page.figures)
    curves = draw_block("curves", both)
    assert "| `two` |" in curves.text
    assert list(curves.figures) == ["curves"]
    ladder = draw_block("ladder", both).text
    assert "#### two\n\n**Target:** parameters below 20,000; epochs below 20;" in ladder
    assert ladder.count("**Results:**") == ladder.count("**Analysis:**") == 2
    assert "4.500 points" in ladder  # compared with the rung before
    assert set(BLOCKS) == {*expected, "ladder"}


def test_a_block_without_its_material_stays_with_a_reason(tmp_path: Path) -> None:
    without_budget = dataclasses.replace(study_of("one"), budget=None)
    for name, reason in (
        ("verdict", "the study has no budget"),
        ("augmentation", "the training images are not on this machine"),
        ("ladder", "one study is not a ladder"),
    ):
        with pytest.raises(NotFilledError, match=reason):
            draw_block(name, Material([without_budget]))
    path = tmp_path / "README.md"
    before = "<!-- netlet:ladder -->\nby hand\n<!-- /netlet -->\n<!-- netlet:verdict -->\n<!-- /netlet -->"
    path.write_text(before)
    filled = fill_readme(path, open_readme(path), Material([study_of("one")]))
    assert [(line, name) for line, name, _ in filled.left] == [(1, "ladder")]
    assert filled.after.startswith("<!-- netlet:ladder -->\nby hand\n<!-- /netlet -->\n")
    assert "Budget twenty" in filled.after


def test_names_cannot_end_a_block_or_become_html() -> None:
    name = "a<!-- /netlet -->`<script>|\n# b"
    path = Path("README.md")
    text = MarkedText("<!-- netlet:summary -->\n<!-- /netlet -->\n", path, BLOCKS)
    once = fill_readme(path, text, Material([study_of(name)])).after
    again = MarkedText(once, path, BLOCKS)
    assert len(again.blocks) == 1
    assert "<script" not in once.replace("\\<script", "")
    assert fill_readme(path, again, Material([study_of(name)])).after == once


@pytest.mark.parametrize("remarks", ["~~~sh\nls", "`````\nls", "<!-- /netlet -->"])
def test_remarks_on_a_ladder_cannot_break_the_file(remarks: str) -> None:
    rung = Rung(name="one", experiment="one", title="First", target="Learn.")
    ladder = Ladder(title="Mine", about="", rungs=(rung,), toml="")
    result = LadderResult(ladder, (study_of("one"),), (remarks,))
    before = (
        "<!-- netlet:ladder -->\nold\n<!-- /netlet -->\n<!-- netlet:verdict -->\n<!-- /netlet -->\n"
    )
    filled = fill_readme(PATH, MarkedText(before, PATH, BLOCKS), Material([], [result]))
    again = MarkedText(filled.after, PATH, BLOCKS)
    assert [block.name for block in again.blocks] == ["ladder", "verdict"]
    closed = remarks.startswith("<")
    assert ("**Mine**" in filled.after) == closed
    assert [reason for _, _, reason in filled.left] == (
        [] if closed else ["code in it is not closed; close it in the remarks of the ladder"]
    )


README = """# Small net\r
\r
<!-- netlet:verdict -->\r
<!-- /netlet -->\r
\r
<!-- netlet:confusion -->\r
<!-- /netlet -->\r
the end"""


def test_report_into_fills_a_readme_and_then_changes_nothing(
    netlet: Netlet, tmp_path: Path
) -> None:
    readme, picture = Path("My notes.md"), Path("My notes-pictures/confusion.svg")
    readme.write_bytes(README.encode())
    command = ("report", "speck", "--into", str(readme))
    code, out, err = netlet(*command, "--dry-run")
    assert code == 0
    assert "+**Budget speck: PASS.**" in out
    assert f"{picture} would be written" in err
    assert readme.read_bytes() == README.encode()
    assert not picture.exists()

    assert netlet(*command)[:2] == (0, "My notes.md: filled, 1 picture written\n")
    text = readme.read_bytes().decode()
    assert "](My%20notes-pictures/confusion.svg)" in text
    assert text.startswith("# Small net\r\n\r\n<!-- netlet:verdict -->\r\n\r\n**Budget")
    assert text.endswith("<!-- /netlet -->\r\nthe end")
    svg = picture.read_text()
    assert "background:#fff" in svg
    assert "prefers-color-scheme:dark" in svg
    times = [path.stat().st_mtime_ns for path in (readme, picture)]
    assert netlet(*command)[:2] == (0, "My notes.md: unchanged\n")
    assert netlet(*command, "--dry-run")[:2] == (0, "My notes.md: unchanged\n")
    assert [path.stat().st_mtime_ns for path in (readme, picture)] == times

    picture.write_text("<svg>drawn by hand</svg>")
    code, out, err = netlet(*command)
    assert (code, out) == (2, "")
    assert "confusion.svg: exists, and netlet did not write it; move it elsewhere" in err
    picture.unlink()
    code, out, _ = netlet(*command, "--json")
    assert json.loads(out)["files"] == [str(picture)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--into", "nowhere.md"), "nowhere.md: no such file; check its name, or write one"),
        (("--into", "."), "is a folder"),
        (("--into", "plain.md"), "plain.md: has no blocks to fill; write <!-- netlet:summary -->"),
        (("--into", "code.md"), "has no blocks to fill (those in line 3 are in code)"),
        (("--into", "bad.md"), "bad.md, line 2: this end belongs to no block"),
        (("--into", "plain.md", "-o", "x.html"), "--into and --out cannot be combined"),
        (("--dry-run",), "--dry-run shows what --into would change; pass --into FILE too"),
    ],
)
def test_report_into_refuses_in_one_line(
    netlet: Netlet, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    Path("plain.md").write_text("# a\n")
    Path("code.md").write_text("# a\n```\n<!-- netlet:summary -->\n```\n")
    Path("bad.md").write_text("\n<!-- /netlet -->\n")
    code, out, err = netlet("report", "speck", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
