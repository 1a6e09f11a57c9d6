"""Names from outside with control characters, markup and quotes, pushed through every outlet.

They come from records, folders, class names, layers and exceptions of somebody else.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import Netlet, make_seed_result, make_study, set_options
from PIL import Image
from torch import nn

from netlet import analysis, recipes, stats
from netlet.budgets import TWENTY_K, Outcome, Score
from netlet.cli.progress import Bar
from netlet.cli.results import accept_all_characters, print_json, print_result, say
from netlet.cli.training_progress import TrainingProgress
from netlet.data import Dataset, Split, draw_contact_sheet
from netlet.errors import NetError
from netlet.evaluation import evaluate, format_evaluation
from netlet.experiments import TrainedNet
from netlet.export import TracedModel, build_page, trace_model
from netlet.export.c_program import generate_program
from netlet.files import safe_name
from netlet.nets import build, save_weights
from netlet.records import Study, to_json_value
from netlet.report import (
    Page,
    comparison_page,
    frontier_page,
    model_card,
    study_page,
    write,
)
from netlet.report.figures import figure_to_bytes, figure_to_svg
from netlet.report.study_plots import confusion_matrix
from netlet.report.tables import table_to_csv, table_to_latex
from netlet.text import Table, display_width, escape_controls, quote_shell, to_unicode

FORGED = "FORGED: PASS"
HOSTILE = (
    "\x1b[2K\rtwenty_k: PASS\x1b[8m",
    f"two\n{FORGED}\n\x85\u2028{FORGED}",
    "\u202egpj.exe \u2066\u200b\ufeff\x9b2J\x00",
    "caf\udce9 \ud800",
    "<img src=x onerror=alert(1)><b>`<i>`",
    "</script></style></svg><script>alert(1)</script><!--",
    "[x](javascript:alert(1)) ![y](http://z) **b** | \\| ``` <http://z> #",
    "=HYPERLINK(\"http://x\",'y')\\input{z}%_~^[*]$\\frac{1}$",
    '*/ int x; /* ??/ ??) "\\',
    "-1+cmd|' /C calc'!A0 {0} %s $name ${x} &lt;\n",
)
PLAIN = tuple(f"name {k}" for k in range(10))


def study_of(names: tuple[str, ...], turn: int = 0) -> Study:
    """Return a study with these names wherever a record has a name."""
    names = (*names[turn:], *names[:turn])
    plain = make_study(make_seed_result(0, 990), make_seed_result(1, 980))
    layer = plain.summary["rows"][0] | {"name": names[4], "kind": names[5]}
    field = plain.receptive_field["rows"][0] | {"name": names[4], "kind": names[5]}
    texts = dict(zip(("cpu", "torch", "netlet", "python", "system"), names, strict=False))
    return make_study(
        *plain.seeds,
        name=names[0],
        net=names[1],
        recipe=to_json_value(recipes.QUICK.replace(epochs=2)) | {"name": names[2]},
        budget=to_json_value(TWENTY_K.replace(name=names[3], dataset=None)),
        data=plain.data | {"name": names[6], "class_names": list(names)},
        summary=plain.summary | {"rows": [layer]},
        receptive_field=plain.receptive_field | {"rows": [field]},
        environment=plain.environment | texts | {"commit": names[7]},
        chosen_by={"file": names[8], "number": 3, "sha256": "0" * 64},
        precision=names[9],
        backend=names[0],
    )


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return [study_of(HOSTILE), study_of(HOSTILE, turn=1)]


@pytest.fixture(scope="module")
def pages(studies: list[Study]) -> dict[str, Page]:
    images = Split(
        "test", torch.zeros(1_000, 1, 28, 28, dtype=torch.uint8), torch.arange(1_000) % 10
    )
    return {
        "study": study_page(studies[0]),
        "pictures": study_page(studies[1], images),
        "plain": study_page(study_of(PLAIN), images),
        "card": model_card(studies[0], 0, HOSTILE[4], HOSTILE[5], HOSTILE[6]),
        "comparison": comparison_page(
            [study_on(HOSTILE[4], s) for s in studies], [Page("one", ""), Page("two", "")]
        ),
        "frontier": frontier_page(stats.measured_points([study_on("mnist", s) for s in studies])),
    }


def study_on(name: str, study: Study) -> Study:
    return replace(study, data=study.data | {"name": name})


def assert_safe(text: str) -> None:
    """Assert that a text with several lines acts on nothing and that no name made a line of its own."""
    assert escape_controls(text, keep="\n") == text
    assert not re.search(f"^{FORGED}", text, re.MULTILINE)
    text.encode()


def test_texts_for_the_terminal_hold_no_control_characters(studies: list[Study]) -> None:
    one, two = studies
    verdict = stats.study_verdict(one)
    failed = TWENTY_K.replace(name=HOSTILE[1], params_below=1).judge(
        analysis.cost(hostile_net(), (1, 28, 28)), Outcome([Score("test", 1, 2)], HOSTILE[0])
    )
    data = hostile_data()
    evaluation = evaluate(hostile_net(), data.held_out, recipes.QUICK, classes=10)
    table = Table(("a", "b"), [(name, name) for name in HOSTILE], "lr")
    for text in (
        stats.study_text(one),
        stats.comparison_text(stats.compare(study_on("mnist", one), study_on("mnist", two))),
        stats.frontier_text(stats.measured_points([study_on("mnist", study) for study in studies])),
        str(verdict),
        str(failed),
        format_evaluation(evaluation, data.class_names),
        str(analysis.summary(hostile_net())),
        str(analysis.receptive_field(hostile_net())),
        str(table),
    ):
        assert_safe(text)
    assert len({display_width(line) for line in str(table).splitlines()[2:]}) == 1


def test_what_is_printed_is_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in HOSTILE:
        say(name)
        print_result(name)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        bar = Bar(name, delay=0)
        bar(1, 2)
        bar.close()
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(HOSTILE)
    assert_safe(out)
    assert "\x1b" not in err.replace("\x1b[A", "")
    assert not re.search(f"^{FORGED}", err, re.MULTILINE)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_on_stdout_is_utf8_in_every_locale(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    accept_all_characters()
    print_json("list", {"names": [*HOSTILE, "Größe 数字"]})
    print_result("Größe 数字")
    sys.stdout.flush()
    text, _, line = written.getvalue().rpartition(b"}\n")
    assert json.loads((text + b"}").decode())["names"] == [*HOSTILE, "Größe 数字"]
    assert line.decode(encoding).strip() in (
        "Größe 数字",
        r"Größe \u6570\u5b57",
        r"Gr\xf6\xdfe \u6570\u5b57",
    )


def markdown_tokens(text: str) -> list[Any]:
    """Parse Markdown as a reader does that allows raw HTML."""
    markdown_it = pytest.importorskip("markdown_it")
    tokens = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return [found for token in tokens for found in (token, *(token.children or ()))]


def test_markdown_has_no_html_no_links_and_no_images_from_names(pages: dict[str, Page]) -> None:
    for page in pages.values():
        assert_safe(page.markdown)
        for token in markdown_tokens(page.markdown):
            assert token.type not in ("html_block", "html_inline", "link_open"), token
            assert token.type != "image" or token.attrs["src"].endswith(".svg")


def test_tables_in_markdown_keep_their_columns(pages: dict[str, Page]) -> None:
    blocks = {
        "table_open",
        "tr_open",
        "th_open",
        "td_open",
        "heading_open",
        "fence",
        "paragraph_open",
    }
    plain, hostile = (
        [token.type for token in markdown_tokens(pages[name].markdown) if token.type in blocks]
        for name in ("plain", "pictures")
    )
    assert plain == hostile


def test_a_ladders_own_text_stays_markdown_without_html() -> None:
    text = "**b** `<kept>` a < b <http://kept> \\<img> \\\\<img>\n```\n<kept>\n```\n<img src=x> ` <b> \x1b"
    shown = Page(text.splitlines()[0], text).markdown
    found = {token.type for token in markdown_tokens(shown)}
    assert not {"html_block", "html_inline"} & found
    assert shown.count("`<kept>`") == 2
    assert "```\n<kept>\n```" in shown
    assert "a < b <http://kept>" in shown


class Elements(HTMLParser):
    """The elements of a page with the names of their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.kinds: set[tuple[str, ...]] = set()
        self.count = 0
        self.comments: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add((tag, *sorted(name for name, _ in attrs)))
        self.count += tag in ("script", "style", "img", "a")

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def test_html_has_the_elements_that_plain_names_give(pages: dict[str, Page]) -> None:
    pytest.importorskip("markdown_it")
    plain = Elements(pages["plain"].html)
    for name in ("study", "pictures", "card", "comparison", "frontier"):
        page = pages[name].html
        found = Elements(page)
        assert {kind[0] for kind in found.kinds} <= {kind[0] for kind in plain.kinds} | {
            "image",
            "em",
        }
        assert not [kind for kind in found.kinds if any(a.startswith("on") for a in kind[1:])]
        assert "script" not in {kind[0] for kind in found.kinds}
        assert escape_controls(page, keep="\n\t") == page
    assert Elements(pages["pictures"].html).count == plain.count


def test_figures_are_well_formed_and_can_be_written(pages: dict[str, Page], tmp_path: Path) -> None:
    for page in pages.values():
        for svg in page.pictures.values():
            tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}
            assert not tags & {"script", "img", "foreignObject"}
            assert escape_controls(svg, keep="\n\t") == svg
    confusion = pages["study"].pictures["confusion.svg"]
    assert r"caf\udce9" in confusion
    assert "<img" not in confusion
    for suffix in (".png", ".pdf"):
        write(
            Page("", "", {"confusion": pages["study"].figures["confusion"]}),
            tmp_path / f"x{suffix}",
        )


def test_a_font_without_a_names_letters_is_said_once_and_not_for_svg() -> None:
    names = [f"数字 {k}" for k in range(10)]
    study = make_study(make_seed_result(0, 990))
    study = replace(study, data=study.data | {"class_names": names})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = confusion_matrix(study)
        assert "数字 3" in figure_to_svg(figure)
        assert not caught
        figure_to_bytes(figure, ".png")
    assert [str(one.message)[:41] for one in caught] == [
        "the font of the figures lacks a letter of"
    ]


def test_tables_for_spreadsheets_and_latex_hold_text_only(pages: dict[str, Page]) -> None:
    for page in pages.values():
        for table in page.tables.values():
            rows = list(csv.reader(io.StringIO(table_to_csv(table)), strict=True))
            assert len(rows) == 1 + len(table.rows)
            assert {len(row) for row in rows} == {len(table.columns)}
            for cell in (cell for row in rows for cell in row):
                assert escape_controls(cell) == cell
                assert cell[:1] not in "=@\t\r" or not cell
                assert cell[:1] not in "+-" or not re.search(r"[|!()'=*/&]", cell)
            latex = table_to_latex(table)
            assert len(latex.splitlines()) == 6 + len(table.rows)
            assert_safe(latex)
            plain = re.sub(r"\\[\\&%$#_{}]|\\[a-z]+", "", latex)
            assert plain.count("{") == plain.count("}")
            assert not re.search(r"\\input|^[\[*]", latex, re.MULTILINE)
            body = latex.splitlines()[4 : 4 + len(table.rows)]
            assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(table.columns) - 1}


def hostile_net() -> nn.Module:
    """Return a net whose class and layers have hostile names."""
    net = nn.Sequential()
    net.add_module(HOSTILE[1].replace(".", ""), nn.Conv2d(1, 2, 3))
    net.add_module(HOSTILE[8], nn.ReLU())
    net.add_module(HOSTILE[4], nn.Flatten())
    net.add_module(HOSTILE[0], nn.Linear(2 * 26 * 26, 10))
    type_ = type(HOSTILE[0], (nn.Sequential,), {})
    net.__class__ = type_
    torch.manual_seed(0)
    return net.eval()


def hostile_data() -> Dataset:
    images = torch.arange(20, dtype=torch.uint8).repeat_interleave(784).reshape(20, 1, 28, 28)
    split = Split("train", images, torch.arange(20) % 10)
    return Dataset(HOSTILE[3], split, split.take(torch.arange(20), "test"), HOSTILE)


@pytest.fixture(scope="module")
def hostile_model() -> TracedModel:
    budget = TWENTY_K.replace(name=HOSTILE[8])
    return trace_model(
        TrainedNet(
            f"{HOSTILE[8]}:{HOSTILE[1]}",
            hostile_net(),
            (1, 28, 28),
            HOSTILE,
            0.1,
            0.3,
            None,
            budget,
        )
    )


def test_the_web_page_shows_names_as_text(hostile_model: TracedModel) -> None:
    page = build_page(hostile_model)
    plain = TrainedNet("plain", hostile_net(), (1, 28, 28), PLAIN, 0.1, 0.3, None, TWENTY_K)
    expected = Elements(build_page(trace_model(plain)))
    found = Elements(page)
    assert (found.kinds, found.count) == (expected.kinds, expected.count)
    assert not found.comments
    assert escape_controls(page, keep="\n\t") == page
    content = re.search(r'<script type="application/json" id="net">(.*?)</script>', page)
    assert content
    assert json.loads(content[1])["classes"] == list(HOSTILE)


def test_onnx_metadata_has_the_labels_as_json(hostile_model: TracedModel) -> None:
    pytest.importorskip("onnx")
    from netlet.export import build_onnx

    proto = build_onnx(hostile_model)
    proto.SerializeToString()
    metadata = {prop.key: prop.value for prop in proto.metadata_props}
    assert json.loads(metadata["labels"]) == list(HOSTILE)
    for text in (*metadata.values(), *(node.name for node in proto.graph.node)):
        assert escape_controls(text) == text


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_c_compiles_strictly_and_has_the_labels(hostile_model: TracedModel, tmp_path: Path) -> None:
    for name, text in generate_program(hostile_model).items():
        (tmp_path / name).write_bytes(text.encode("ascii"))
    (tmp_path / "main.c").write_text(
        '#include "netlet.h"\n#include <stdio.h>\nint main(void) {\n'
        "static const char *const labels[] = NETLET_LABELS;\n"
        "for (int k = 0; k < NETLET_CLASSES; k++) puts(labels[k]);\n"
        "return puts(NETLET_NET) < 0; }\n"
    )
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-trigraphs", "-O0"]
    program = tmp_path / "main"
    subprocess.run(
        ["cc", *strict, "-o", program, "main.c", "netlet.c", "-lm"], cwd=tmp_path, check=True
    )
    lines = subprocess.run([program], capture_output=True, check=True).stdout.decode().splitlines()
    assert lines[:-1] == [*map(escape_controls, HOSTILE)]


def test_weights_of_oddly_named_layers_are_saved(tmp_path: Path) -> None:
    save_weights(hostile_net(), tmp_path / "w.safetensors", {"name": HOSTILE[3]})


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_command_to_copy_means_the_same_words() -> None:
    words = [name.replace("\x00", "").replace("\ud800", "") for name in HOSTILE]
    command = quote_shell("printf", "%s\\0", *words)
    assert escape_controls(command) == command
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        check=True,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    assert done.stdout.split(b"\0")[:-1] == [*map(os.fsencode, words)]


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Write a data set into a folder whose name, classes and files are not UTF-8."""
    root = os.fsencode(tmp_path) + b"/dir\xe9"
    pixels = np.zeros((28, 28), np.uint8)
    for label, at in ((b"caf\xe9", 4), (b"th\xc3\xa9", 18)):
        os.makedirs(root + b"/" + label)
        for k in range(20):
            pixels[:] = k
            pixels[4:24, at : at + 6] = 250
            with open(root + b"/" + label + b"/%d\xff.png" % k, "wb") as file:
                Image.fromarray(pixels).save(file, "PNG")
    return Path(os.fsdecode(root))


@pytest.mark.slow
def test_names_that_are_not_utf8_train_resume_report_and_export(
    picture_folder: Path, netlet: Netlet, tmp_path: Path
) -> None:
    run = tmp_path / os.fsdecode(b"out\xff")
    quick = set_options(epochs=2, backend="eager", batch_size=20)
    code, out, err = netlet(
        "train", "week4_conv", "--dataset", str(picture_folder), "-o", str(run), *quick
    )
    assert code in (0, 1), err
    assert r"dir\udce9" in out
    record = json.loads((run / "run.json").read_bytes())
    assert record["data"]["class_names"] == [r"caf\udce9", "thé"]
    for command in (
        ("runs", str(tmp_path)),
        ("evaluate", str(run), "--dataset", str(picture_folder)),
        (
            "report",
            str(run),
            "-o",
            str(run / os.fsdecode(b"r\xfe.md")),
            "--dataset",
            str(picture_folder),
        ),
        ("export", str(run), "--to", "page", "-o", str(run / os.fsdecode(b"p\xfe.html"))),
        ("train", "--resume", str(run)),
    ):
        code, out, err = netlet(*command)
        assert code in (0, 1), (command, err)
        assert_safe(out + err)


def test_an_interrupted_run_with_names_that_are_not_utf8_resumes(
    picture_folder: Path, netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = os.fsdecode(b"n\xfe.py")
    Path(file).write_text(
        "from torch import nn\ndef small(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 2))\n"
    )
    words = ("train", f"{file}:small", "--dataset", str(picture_folder), "-o", "run")
    quick = set_options(epochs=2, backend="eager", batch_size=20)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_epoch_end", interrupt)
        assert netlet(*words, *quick)[0] == 130
    monkeypatch.chdir("/")
    code, out, err = netlet("train", "--trust", "--resume", str(tmp_path / "run"))
    assert code in (0, 1), err
    assert_safe(out + err)
    record = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert record["net"] == f"{file}:small"


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_other_pictures_are_answered_beside_one_whose_name_is_not_utf8(
    netlet: Netlet, tmp_path: Path
) -> None:
    drawn = np.zeros((28, 28), np.uint8)
    drawn[6:22, 13:16] = 255
    names = [os.fsdecode(b"caf\xe9.png"), "ok.png", "\x1b[2J.png", "a\nb.png"]
    for name in names:
        with open(name, "wb") as file:
            Image.fromarray(drawn).save(file, "PNG")
    code, out, err = netlet("predict", *names, "missing\x1b.png", "--show", "seen.png")
    assert (code, len(out.splitlines())) == (1, 2 + len(names))
    assert_safe(out + err)
    assert r"caf\udce9.png" in out
    assert r"missing\x1b.png" in err
    code, out, _ = netlet("predict", *names, "--json")
    assert [found["file"] for found in json.loads(out)["predictions"]] == names


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "utf-8:strict", "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "1"},
    ],
    ids=lambda environment: " ".join(f"{key}={value}" for key, value in environment.items()),
)
def test_every_locale_answers_for_every_name(
    environment: dict[str, str], picture_folder: Path, tmp_path: Path
) -> None:
    drawn = Image.fromarray(np.pad(np.full((16, 3), 255, np.uint8), ((6, 6), (12, 13))))
    for name in (b"caf\xe9.png", "é数.png".encode()):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            drawn.save(file, "PNG")
    for words in (
        ["predict", b"caf\xe9.png", "é数.png".encode()],
        ["predict", "--json", b"caf\xe9.png", "é数.png".encode()],
        ["train", "week4_conv", "--dataset", picture_folder, "-o", b"run\xff", "--set", "epochs=1"],
        ["runs", "."],
    ):
        command = [sys.executable, "-m", "netlet", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | environment, capture_output=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        assert b"\x1b" not in done.stdout
        if "--json" in words:
            found = [one["file"] for one in json.loads(done.stdout)["predictions"]]
            assert [*map(to_unicode, found)] == [r"caf\udce9.png", "é数.png"]


def test_an_exception_of_somebodys_net_cannot_draw_a_verdict(
    netlet: Netlet, tmp_path: Path
) -> None:
    (tmp_path / "n.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n"
        f"        raise ValueError({HOSTILE[0] + HOSTILE[1]!r})\n"
    )
    code, out, err = netlet("check", "n.py:Net")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert_safe(err)
    code, out, err = netlet("check", "n.py:Net", "--debug")
    assert (code, out) == (2, "")
    assert escape_controls(err, keep="\n") == err
    code, out, err = netlet("check", "n.py:\x1b[2JNet")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert_safe(err)


def test_a_layer_whose_name_cannot_be_saved_is_refused_before_training() -> None:
    def odd() -> nn.Module:
        net = nn.Sequential(nn.Flatten())
        net.add_module("caf\udce9", nn.Linear(784, 10))
        return net

    with pytest.raises(NetError, match=r"caf.udce9.weight' is not valid Unicode.*rename it"):
        build(odd, 0)


def test_long_names_make_names_of_files_that_every_system_allows() -> None:
    one, other = "x1 " * 200, "x1 " * 200 + "8"
    assert safe_name(one) != safe_name(other)
    for name in (one, other, "数" * 300):
        assert len(safe_name(name).encode()) <= 120
        assert safe_name(safe_name(name)) == safe_name(name)


def test_a_contact_sheet_has_a_line_for_each_class() -> None:
    data = hostile_data()
    assert draw_contact_sheet(data.held_out, data.class_names).height > 10 * 56


def test_names_are_stored_as_valid_unicode() -> None:
    data = hostile_data()
    assert data.class_names == tuple(map(to_unicode, HOSTILE))
    json.dumps(data.describe(), ensure_ascii=False).encode()
