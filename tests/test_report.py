"""Reports: what is in them, that one file is one file, that commands in them make the same again; and netlet runs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shlex
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from helpers import ROOT, Netlet, make_seed_result, make_study

from netlet import budgets, catalog, recipes, records, stats
from netlet.budgets import Score
from netlet.cli import main
from netlet.cli.settings import apply_settings
from netlet.data import MNIST, Dataset, Split
from netlet.data.disputed_labels import DISPUTED_LABELS
from netlet.errors import OutputError, ReportError
from netlet.evaluation import Evaluation
from netlet.evaluation.format import class_table, confusion_table, format_evaluation
from netlet.recipes import AUGMENTS, QUICK, STEADY, Recipe, Warp
from netlet.records import Mistake, to_json_value
from netlet.report import (
    Page,
    combine_pages,
    command_for,
    comparison_page,
    curves_of_studies,
    save_figure,
    study_page,
    write,
    write_table,
)
from netlet.report.commands import budget_file_for
from netlet.report.comparison_page import comparison_table
from netlet.report.figures import new_figure
from netlet.report.label_placement import Label, place_labels
from netlet.report.mistakes import add_mistakes
from netlet.report.net_diagram import net_diagram
from netlet.report.page import Draft
from netlet.report.study_page import _explain_command, summarize_cost
from netlet.report.study_plots import (
    accuracy_curves,
    confusion_matrix,
    learning_rate_curve,
    loss_curves,
    seed_accuracies,
)
from netlet.report.study_tables import class_table as study_class_table
from netlet.report.tables import (
    Bold,
    Code,
    Link,
    table_to_csv,
    table_to_latex,
    table_to_markdown,
)
from netlet.text import Table

FAST = ("--set", "epochs=2", "--set", "batch_size=50", "--set", "precision=float32")
BUDGET = to_json_value(budgets.TWENTY_K)
IMAGES = Split("test", torch.zeros(1_000, 1, 28, 28, dtype=torch.uint8), torch.arange(1_000) % 10)


class Refs(HTMLParser):
    """What a page would fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            local = (value or "").startswith(("#", "data:"))
            if name in ("src", "href", "xlink:href") and not local and tag != "a":
                self.fetched.append(f"{tag} {value}")


def test_a_report_says_below_the_verdict_what_the_budget_says_of_it() -> None:
    budget = budgets.Budget(
        name="class",
        params_below=2,
        messages=(("params_below", "Fewer *channels* will do."),),
    )
    text = study_page(make_study(make_seed_result(0, 990), budget=to_json_value(budget))).markdown
    _, failed, below = text.partition("| **FAIL** | parameters |")
    assert failed
    assert r"- parameters: Fewer \*channels\* will do." in below.split("## ")[0]


def test_a_studys_report_has_all_that_a_reader_needs() -> None:
    found = make_study(
        make_seed_result(0, 990, verdict="FAIL"),
        make_seed_result(1, 995),
        budget=BUDGET,
        net="swift",
    )
    page = study_page(found, IMAGES)
    for words in (
        "# swift: 99.25% test accuracy on mnist",
        "**Budget twenty_k: FAIL.** Judged by the mean of the seeds; 1 of 2 seeds "
        "pass by themselves.",
        "| **FAIL** | accuracy, last epoch | at least 99.4% | 1,985 of 2,000 test images (99.25%) | -3 images |",
        "## How certain the result is",
        "Student's t, 2 seeds",
        "Mean of all seeds above the target of 99.4%: one-sided t test, p =",
        "10 images are misclassified by at least one seed, 5 by all",
        "only the last epoch counts",
        "Whether the recipe was chosen by test accuracy is not recorded",
        "## What the results mean",
        "## Training",
        "bands reach from the lowest to the highest",
        "## The net",
        "| `0` | Conv2d | 3 | 1 | 0 | 10x1x1 | 3 | 9 | 3 |",
        "### Receptive field",
        "| `0` | Conv2d | 28 | 3 | 1 | 0 | 1 | 1 | 1 | 3 | 1 |",
        "## Errors",
        "Confusion matrix and calibration are sums over all seeds. In the plot",
        "### Calibration",
        "| 70 to 80% | 15 | 75.00% | 0.00% |",
        "| 4 | 100 | 99.00% | 94.55 to 99.82% | 5 (1.0) |",
        "### Worst mistakes",
        "10 of 10 misclassified images",
        "## How to reproduce it",
        "netlet study swift",
        "| peak_lr | `0.01` |",
        "1 thread for each run",
    ):
        assert words in page.markdown, words
    shown = re.findall(r"^!\[.+?\]\((\S+)\)$", page.markdown, re.MULTILINE)
    assert sorted(shown) == sorted(page.pictures)
    assert set(shown) == {
        "seeds.svg",
        "accuracy.svg",
        "loss.svg",
        "learning-rate.svg",
        "net.svg",
        "confusion.svg",
        "calibration.svg",
        "mistakes.svg",
    }


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("quick", "Recipe quick comes with netlet; docs/documents.md says how it was chosen."),
        (
            "plain",
            "Recipe plain is a baseline that comes with netlet; it was not chosen by any accuracy.",
        ),
        ("document_004", "Recipe document_004 is a write-up's, as far as the write-up states it"),
    ],
)
def test_a_report_says_how_the_recipe_was_chosen(recipe: str, words: str) -> None:
    used = to_json_value(catalog.RECIPES[recipe].for_net(in_catalog=True))
    page = study_page(make_study(make_seed_result(0, 990), net="swift", recipe=used))
    assert words in page.markdown


@pytest.mark.slow
def test_pictures_read_on_any_ground_and_are_the_same_each_time() -> None:
    found = make_study(make_seed_result(0, 990), make_seed_result(1, 995), budget=BUDGET)
    pictures = study_page(found, IMAGES).pictures
    for name, svg in pictures.items():
        ET.fromstring(svg)
        assert "currentColor" in svg, name
        assert "background:#fff" in svg
        assert "prefers-color-scheme:dark" in svg
        assert not re.search(r"(?:fill|stroke): ?(?:#000000|black)", svg), (
            f"{name}: black is lost on black"
        )
        assert "<text" in svg
        assert "<metadata" not in svg or "date" not in svg
    assert pictures == study_page(found, IMAGES).pictures


def test_html_is_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    named = {
        "class_names": ["<b>0</b>", "a|b", "__init__", "![x](http://e/a.png)", "$5^$", *"56789"]
    }
    found = make_study(make_seed_result(0, 990), budget=BUDGET, name="<script>alert(1)</script>")
    found = dataclasses.replace(found, data=found.data | named)
    written = write(study_page(found, IMAGES), tmp_path / "r.html")
    assert written == [tmp_path / "r.html"]
    text = written[0].read_text()
    reader = Refs()
    reader.feed(text)
    assert reader.fetched == []
    assert "script" not in reader.tags
    assert reader.tags.count("svg") == 7 + 1  # the net twice, once for narrow screens
    assert reader.tags.count("table") >= 7
    assert "<td>a|b</td>" in text
    assert "<td>__init__</td>" in text
    assert "<td>![x](http://e/a.png)</td>" in text
    assert '<meta name="viewport"' in text


@pytest.mark.slow
def test_markdown_has_its_pictures_beside_it(tmp_path: Path) -> None:
    found = make_study(make_seed_result(0, 990), budget=BUDGET)
    page, *pictures = write(study_page(found), tmp_path / "deep" / "my r.md")
    assert page == tmp_path / "deep" / "my r.md"
    shown = re.findall(r"^!\[.+?\]\((\S+)\)$", page.read_text(), re.MULTILINE)
    assert {page.parent / unquote(name) for name in shown} == set(pictures)
    assert len(pictures) == 6  # no gallery without the images, no interval of one seed
    assert "The images were not available" in page.read_text()
    with pytest.raises(
        ReportError, match=r"r.doc: cannot write this format; name a file that ends"
    ):
        write(study_page(found), tmp_path / "r.doc")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(study_page(found), tmp_path / "file" / "r.md")


@pytest.mark.slow
def test_figures_and_tables_are_written_alone(tmp_path: Path) -> None:
    page = study_page(make_study(make_seed_result(0, 990), make_seed_result(1, 993), budget=BUDGET))
    figures = write(page, tmp_path / "r.pdf")
    assert {path.name for path in figures} == {f"r-{name}.pdf" for name in page.figures}
    assert all(path.read_bytes().startswith(b"%PDF") for path in figures)
    tables = write(page, tmp_path / "r.csv")
    assert {path.name for path in tables} == {f"r-{name}.csv" for name in page.tables}
    assert (tmp_path / "r-seeds.csv").read_text().splitlines()[1].startswith("0,PASS,990,99.00%")
    alone = Page("x", "", {"a": page.figures["loss"]}, {"b": page.tables["layers"]})
    assert write(alone, tmp_path / "a.png") == [tmp_path / "a.png"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert write(alone, tmp_path / "b.tex") == [tmp_path / "b.tex"]
    with pytest.raises(ReportError, match=r"the page has no figures; name an .html or .md file"):
        write(Page("x", "y"), tmp_path / "a.svg")
    for suffix in (".pdf", ".png", ".svg"):
        save_figure(page.figures["net"], tmp_path / f"f{suffix}")
    with pytest.raises(ReportError, match=r"f.gif: cannot write a figure in this format"):
        save_figure(page.figures["net"], tmp_path / "f.gif")


def test_cells_of_a_table_keep_their_meaning_in_every_format(tmp_path: Path) -> None:
    table = Table(
        ("a_b", "n"),
        [(Code("x_1"), "1,234"), (Bold("50%"), "-3"), (Link("R&D *", "https://e.org/a_b"), "|")],
        "lr",
    )
    assert table_to_markdown(table).splitlines() == [
        "| a_b | n |",
        "| --- | ---: |",
        "| `x_1` | 1,234 |",
        "| **50%** | -3 |",
        "| [R\\&D \\*](https://e.org/a_b) | \\| |",
    ]
    assert table_to_csv(table) == "a_b,n\nx_1,1234\n50%,-3\nR&D *,|\n"
    assert table_to_latex(table).splitlines() == [
        "\\begin{tabular}{lr}",
        "\\toprule",
        "a\\_b & n \\\\",
        "\\midrule",
        "\\texttt{x\\_1} & 1,234 \\\\",
        "\\textbf{50\\%} & -3 \\\\",
        "\\href{https://e.org/a\\_b}{R\\&D *} & | \\\\",
        "\\bottomrule",
        "\\end{tabular}",
    ]
    with pytest.raises(ReportError, match=r"t.xls: cannot write a table in this format"):
        write_table(table, tmp_path / "t.xls")
    assert write_table(table, tmp_path / "t.csv") is None
    assert (tmp_path / "t.csv").read_text() == table_to_csv(table)


def test_one_seed_has_no_plot_of_an_interval_and_mistakes_are_shown_once() -> None:
    one = study_page(make_study(make_seed_result(0, 990), budget=BUDGET), IMAGES)
    assert "seeds" not in one.figures
    assert "over all seeds" not in one.markdown
    assert "mistakes" in one.figures
    assert "mistakes" not in one.tables
    assert "mistakes" in study_page(make_study(make_seed_result(0, 990))).tables


def test_the_learning_rate_is_drawn_for_every_step() -> None:
    study = make_study(make_seed_result(0, 990))
    (axes,) = study_page(study).figures["learning-rate"].axes
    recipe = recipes.recipe_from_json(study.recipe)
    steps = -(-study.train_total // recipe.batch_size)
    rates = axes.lines[0].get_ydata()
    assert len(rates) == recipe.epochs * steps
    assert max(rates) == pytest.approx(recipe.peak_lr, rel=0.3)
    assert rates[-1] == pytest.approx(study.lr_by_epoch[-1])


def test_the_picture_of_a_net_has_its_stages_and_receptive_fields() -> None:
    svg = study_page(make_study(make_seed_result(0, 990))).pictures["net.svg"]
    for words in (">1×28×28<", ">10×1×1<", ">input<", ">conv 3×3<", ">RF 3<"):
        assert words in svg, words


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"kind": "ConvTranspose2d", "stride": [2, 2]}, "transposed 3×3, ×2"),
        ({"kind": "ConvBlock", "kernel": None, "stride": None}, "conv"),
    ],
)
def test_the_picture_of_a_net_has_any_convolution(changes: dict[str, Any], label: str) -> None:
    study = make_study(make_seed_result(0, 990))
    study.summary["rows"][0].update(changes)
    figure = net_diagram(study)
    assert figure is not None
    assert label in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("kind", "line"),
    [("relu", "ReLU"), ("log_softmax", "log-softmax"), ("clamp_min", "clamp"), ("add", "")],
)
def test_the_picture_of_a_net_has_its_functional_activations(kind: str, line: str) -> None:
    study = make_study(make_seed_result(0, 990))
    rows = study.summary["rows"]
    function = {"kind": kind, "kernel": None, "stride": None, "field": None}
    rows.insert(1, rows[0] | function | {"name": "(net)"})
    figure = net_diagram(study)
    assert figure is not None
    label = f"conv 3×3\n{line}".strip()
    assert label in [text.get_text() for text in figure.axes[0].texts]


def test_the_picture_of_a_net_has_arrows_only_without_branches() -> None:
    study = make_study(make_seed_result(0, 990))
    order = "Stages are in the order in which they run; branches are not drawn."
    figure = net_diagram(study)
    assert figure is not None
    assert "" in [text.get_text() for text in figure.axes[0].texts]  # the arrows' annotations
    assert order not in study_page(study).markdown
    rows = study.summary["rows"]
    rows.insert(1, rows[0] | {"name": "(net)", "kind": "add", "kernel": None, "stride": None})
    figure = net_diagram(study)
    assert figure is not None
    assert "" not in [text.get_text() for text in figure.axes[0].texts]
    assert order in study_page(study).markdown


def test_long_names_in_the_picture_of_a_net_are_cut_to_their_space() -> None:
    study = make_study(make_seed_result(0, 990))
    rows = study.summary["rows"]
    kinds = ("Sequential", "TransformerEncoderLayer", "TransformerEncoderLayer", "LayerNorm")
    for kind in reversed(kinds):
        rows.insert(1, rows[0] | {"name": "(net)", "kind": kind, "kernel": None, "stride": None})
    figure = net_diagram(study)
    assert figure is not None
    label = "conv 3×3\nTransformerE…,\nTransformerE …"
    assert label in [text.get_text() for text in figure.axes[0].texts]


def test_the_picture_of_a_net_has_fewer_columns_on_a_narrow_screen() -> None:
    study = make_study(make_seed_result(0, 990))
    wide, narrow = net_diagram(study), net_diagram(study, narrow=True)
    assert wide is not None
    assert narrow is not None
    assert narrow.get_figwidth() == pytest.approx(wide.get_figwidth() * 3 / 8)
    one = Draft()
    one.add(one.figure("net", wide, "The net", narrow))
    page = one.finish("one")
    assert page.markdown.count("](net.svg)") == 1
    whole = combine_pages(Page("All", ""), [page, page])
    assert list(whole.narrow) == ["1-net", "2-net"]
    assert whole.html.count('<span class="figure large wide" role="img" aria-label="The net">') == 2
    assert whole.html.count('<span class="figure narrow" role="img" aria-label="The net">') == 2


@pytest.mark.slow
def test_a_page_shows_one_of_both_pictures_and_never_scrolls_sideways(
    browser: Any, tmp_path: Path
) -> None:
    draft = Draft()
    summary = "layer    " * 20
    draft.add(f"```text\n{summary}\n{'-' * 160}\n```", f"```sh\n{'netlet ' * 40}\n```")
    study = make_study(make_seed_result(0, 990))
    wide, narrow = net_diagram(study), net_diagram(study, narrow=True)
    assert wide is not None
    draft.add(draft.figure("net", wide, "The net", narrow))
    write(draft.finish("one"), tmp_path / "page.html")
    for width, shown in ((320, ".narrow"), (390, ".narrow"), (1200, ".wide")):
        visit = browser.new_page(viewport={"width": width, "height": 800})
        visit.goto((tmp_path / "page.html").as_uri())
        assert visit.evaluate("document.documentElement.scrollWidth") == width
        figures = visit.locator(".figure")
        assert figures.evaluate_all("all => all.filter(one => one.offsetWidth).length") == 1
        assert visit.locator(shown).is_visible()
        text = visit.locator(f"{shown} svg text").first.bounding_box()
        assert text["height"] >= 10
        # A table of text keeps its columns and scrolls in its own box.
        boxes = visit.locator("pre").evaluate_all("all => all.map(one => one.scrollWidth)")
        assert boxes[0] > 1_300
        assert boxes[1] <= width  # a command is broken into lines
        visit.close()


def test_labels_of_a_plot_overlap_neither_texts_nor_points() -> None:
    figure = new_figure(4, 3)
    axes = figure.subplots()
    points = [(1 + 0.02 * i, 1 + 0.03 * (i % 4)) for i in range(12)]
    axes.set(xlim=(0, 2), ylim=(0, 2))
    figure.canvas.draw()
    figure.set_layout_engine("none")
    axes.text(1.3, 1.03, "(b)")  # where net_11 would have its label
    place_labels(axes, [Label(x, y, f"net_{i}") for i, (x, y) in enumerate(points)], points)
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer).shrunk(0.98, 0.75) for text in axes.texts]
    assert len(boxes) == 13
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert not any(box.contains(*axes.transData.transform(point)) for point in points)


@pytest.mark.slow
def test_several_studies_are_held_side_by_side() -> None:
    a = make_study(
        make_seed_result(0, 970),
        make_seed_result(1, 973),
        make_seed_result(2, 968),
        name="a",
        net="a",
        budget=BUDGET,
    )
    b = make_study(
        make_seed_result(0, 995),
        make_seed_result(1, 993),
        make_seed_result(2, 996),
        name="b",
        net="b",
        budget=BUDGET,
    )
    page = comparison_page([a, b], [study_page(one) for one in (a, b)])
    assert page.title == "a and b"
    assert page.tables["studies"].columns[4] == "gap (points)"
    assert "The gap is the accuracy on the training images, without" in page.text
    assert "Trained differently" not in page.text
    shorter = dataclasses.replace(b, recipe=to_json_value(QUICK.replace(epochs=1)))
    unequal = comparison_page([a, shorter], [study_page(one) for one in (a, shorter)])
    assert "\n- Trained differently (a / b): epochs 2 / 1\n" in unequal.text
    assert "b is better than a by 2.433 points, significant over seeds" in page.text
    assert "\n## a: 97.03% test accuracy on mnist" in page.text
    assert "\n### Training" in page.text
    assert len(page.pictures) == 2 + 2 * 7  # of the same names in both, and none lost
    curves = page.pictures["curves.svg"]
    assert all(f">{name}<" in curves for name in ("a", "b", "target 99.4%"))
    for name in page.pictures:
        assert f"]({name})" in page.text
    whole = combine_pages(Page("All", ""), [Page("x", "## y\n\n```sh\n# z\n```", {})])
    assert whole.text == "## x\n\n### y\n\n```sh\n# z\n```"


def test_targets_of_different_budgets_have_lines_of_their_own() -> None:
    higher = to_json_value(dataclasses.replace(budgets.TWENTY_K, accuracy_at_least=99.7))
    a = make_study(make_seed_result(0, 970), make_seed_result(1, 972), name="a", budget=BUDGET)
    b = dataclasses.replace(a, name="b", budget=higher)
    shared = accuracy_curves(a, name="a")
    accuracy_curves(b, shared.axes[0], name="b")
    curves, seeds = curves_of_studies([a, b, a]), seed_accuracies([b, a])
    for figure in (curves, seeds, shared):
        (legend,) = figure.legends
        texts = [text.get_text() for text in legend.get_texts()]
        lines = dict(zip(texts, legend.get_lines(), strict=True))
        targets = {text: line.get_linestyle() for text, line in lines.items() if "target" in text}
        of_a, of_b = (" (a, a)", " (b)") if figure is curves else ("", "")
        assert targets == {f"target 99.4%{of_a}": "--", f"target 99.7%{of_b}": ":"}
    rows = [
        line.get_xydata() for line in seeds.axes[0].lines if line.get_linestyle() in ("--", ":")
    ]
    assert [row.tolist() for row in rows if len(row) == 2] == [
        [[99.7, -0.5], [99.7, 0.5]],
        [[99.4, 0.5], [99.4, 1.5]],
    ]


def test_a_row_of_comparisons_names_both_studies_and_has_both_intervals() -> None:
    seeds = [make_seed_result(seed, correct) for seed, correct in enumerate((970, 973, 968))]
    a = make_study(*seeds, name="a", net="a")
    b = dataclasses.replace(a, name="b", seeds=a.seeds[:2])
    found = [stats.compare(a, other) for other in (b, dataclasses.replace(b, seeds=a.seeds[:1]))]
    table = comparison_table(found)
    assert table.columns[:5:2] == ("study", "difference (points)", "95% interval over seeds")
    for row, one in zip(table.rows, found, strict=True):
        assert row[:2] == ["b", "a"]
        tests = (one.over_seeds, one.over_images)
        assert row[4:7:2] == [stats.format_interval(test.interval, "points") for test in tests]
    assert table.rows[1][3:5] == ["undecided", "-"]


def test_studies_of_one_name_are_told_apart_by_their_recipes() -> None:
    recipe = to_json_value(QUICK.replace(name="quick with peak_lr=0.02", epochs=2))
    a = make_study(make_seed_result(0, 970), name="_Net", net="_Net")
    b = dataclasses.replace(a, recipe=recipe)
    c = make_study(make_seed_result(0, 980), name="c", net="c")
    names = [study.name for study in stats.distinguish_names([a, b, c])]
    assert names == ["_Net (quick)", "_Net (quick with peak_lr=0.02)", "c"]
    figure = curves_of_studies(stats.distinguish_names([a, b, c]))
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == names  # also those that begin with an underscore


def test_curves_of_studies_with_other_epochs_and_perfect_scores_fit_one_plot() -> None:
    perfect = make_study(make_seed_result(0, 1_000, best=1_000, running=600), name="perfect")
    seed = make_seed_result(0, 900)
    longer = dataclasses.replace(
        seed,
        correct_by_epoch=(500, 800, 900),
        train_correct_by_epoch=(300, 500, 550),
    )
    other = make_study(longer, name="longer", lr_by_epoch=(0.1, 0.1, 0.0))
    upper, lower = curves_of_studies([perfect, other]).axes
    assert [len(line.get_xdata()) for line in upper.lines] == [2, 3]
    low, high = upper.get_ylim()
    assert 50 < low < 80 < 100 < high  # the first epoch of three may lie below
    cut = "epoch (the first has values below the plot)"
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", cut)
    assert accuracy_curves(other).axes[0].get_xlabel() == cut
    assert curves_of_studies([perfect]).axes[1].get_xlabel() == "epoch"
    assert accuracy_curves(perfect).axes[0].get_xlabel() == "epoch"
    assert lower.get_xlim() == (0.7, 3.3)


def disputed_study(*images: int, seeds: int = 1) -> records.Study:
    """Return a study whose seeds misclassify these images of MNIST's own test set."""
    mistakes = [
        Mistake(image, DISPUTED_LABELS[image].label, DISPUTED_LABELS[image].other, 0.9)
        if image in DISPUTED_LABELS
        else Mistake(image, 3, 5, 0.5)
        for image in images
    ]
    results = [
        dataclasses.replace(
            make_seed_result(seed, 10_000 - len(images), total=10_000), mistakes=tuple(mistakes)
        )
        for seed in range(seeds)
    ]
    found = make_study(*results)
    md5 = {file.name: file.md5 for file in MNIST.files}
    return dataclasses.replace(found, data={**found.data, "checksums": md5})


def test_wrong_classes_are_counted_in_images_and_in_images_per_seed_if_there_are_several() -> None:
    found = disputed_study(947, 17)
    by_class = {
        seeds: study_page(disputed_study(947, 17, seeds=seeds)).tables["classes"]
        for seeds in (1, 2)
    }
    row = found.data["class_names"].index("8")
    assert by_class[1].columns[-1] == "most often mistaken for (images)"
    assert by_class[1].rows[row][-1] == "9 (1)"
    assert by_class[2].columns[-1] == "most often mistaken for (images per seed)"
    assert by_class[2].rows[row][-1] == "9 (1.0)"


def test_the_recipe_of_a_report_is_in_words_and_has_all_digits() -> None:
    augment = [to_json_value(Warp(rotate_deg=5, shift_px=1.23456789))]
    changes = {"augment": augment, "dropout": None, "peak_lr": 0.0123456789, "teacher": ""}
    found = make_study(make_seed_result(0, 970))
    recipe = dict(
        study_page(dataclasses.replace(found, recipe={**found.recipe, **changes}))
        .tables["recipe"]
        .rows
    )
    assert recipe["augment"] == "rotate_deg 5, shift_px 1.23456789"
    assert recipe["dropout"] == "as in the net"
    assert recipe["peak_lr"] == "0.0123456789"
    assert recipe["teacher"] == "none"


def test_tables_of_a_net_have_dilations_only_if_a_layer_is_dilated() -> None:
    plain = make_study(make_seed_result(0, 970))
    (row,), (window,) = plain.summary["rows"], plain.receptive_field["rows"]
    rows = [{**row, "dilation": None}, {**row, "dilation": [2, 1]}]
    windows = [window, {**window, "d": [2, 1]}]
    dilated = dataclasses.replace(
        plain,
        summary={**plain.summary, "rows": rows},
        receptive_field={**plain.receptive_field, "rows": windows},
    )
    for study, found in ((plain, False), (dilated, True)):
        tables = study_page(study).tables
        assert ("dilation" in tables["layers"].columns) == found
        assert ("d" in tables["receptive-field"].columns) == found
    assert [row[5] for row in tables["layers"].rows] == ["", "2x1"]
    assert [row[6] for row in tables["receptive-field"].rows] == ["1", "2x1"]


def test_evaluations_and_reports_name_the_same_frequent_mistakes_in_one_order() -> None:
    for row, wanted in (
        ([1_993, 0, 1, 1, 1, 0, 0, 0, 4, 0], "8 (4), 2 (1), 3 (1)"),  # as frequent: by class
        ([2_000, 0, 0, 0, 0, 0, 0, 0, 0, 0], "-"),
        ([1, 1, 0, 0, 0, 1_998, 0, 0, 0, 0], "5 (1,998), 1 (1)"),
    ):
        predicted = [k for k, times in enumerate(row) for _ in range(times) if k]
        seed = dataclasses.replace(
            make_seed_result(0, 20_000 - len(predicted), total=20_000),
            mistakes=tuple(Mistake(10 * i, 0, k, 0.5) for i, k in enumerate(predicted)),
        )
        study = make_study(seed)
        confusion = tuple(map(tuple, study.confusion()))
        assert confusion[0] == tuple(row)
        score = Score("test", seed.correct, 20_000)
        found = Evaluation(score, 0.1, confusion, (), seed.mistakes)
        for table in (study_class_table(study), class_table(found, list("0123456789"))):
            assert table.rows[0][-1] == wanted
    text = format_evaluation(found, list("0123456789"), 1, {0: DISPUTED_LABELS[947]})
    assert "1 of 1,999 mistakes" in text
    assert "1 of the 1,999 mistakes has a label" in text
    assert confusion_table(found, list("0123456789")).rows[0][6] == "1,998"
    shown = [text.get_text() for text in confusion_matrix(study).axes[0].texts]
    assert shown == ["1", "1,998"]


def test_mistakes_whose_label_annotators_reject_are_marked() -> None:
    study = disputed_study(947, 17, 3520)
    labels = torch.arange(10_000) % 10
    for mistake in study.seeds[0].mistakes:
        labels[mistake.image] = mistake.label
    digits = Split("test", torch.zeros(10_000, 1, 28, 28, dtype=torch.uint8), labels)
    page = study_page(study, digits)
    assert "Most annotators reject the label of 15 test images; 2 of these are" in page.text
    assert "2 of them have an orange frame" in page.text
    assert "reaches at most 99.85%" in page.text
    assert "arxiv.org/abs/2103.14749" in page.text
    gallery = page.figures["mistakes"].axes
    captions = [axes.get_xlabel() for axes in gallery]
    assert captions[0] == "8, predicted 9\n90%, no. 947\nrejected by 5 of 5"
    assert captions[1] == "6, predicted 4\n90%, no. 3520\nrejected by 3 of 5"
    assert "rejected" not in captions[2]
    assert [axes.spines["top"].get_visible() for axes in gallery] == [True, True, False, False]
    table = study_page(disputed_study(947, 17)).tables["mistakes"]
    assert [row[-1] for row in table.rows] == ["by 5 of 5", ""]
    found = dataclasses.replace(disputed_study(947), total=5_000)
    draft = Draft()
    add_mistakes(draft, found, None)
    assert "reaches at most 99.70%" in draft.finish("study").text


def test_pictures_of_other_images_are_refused() -> None:
    study = make_study(make_seed_result(0, 990))
    scored = dataclasses.replace(IMAGES, labels=IMAGES.labels.clone())
    for mistake in study.seeds[0].mistakes:
        scored.labels[mistake.image] = mistake.label
    assert study_page(study, scored).pictures
    for other in (
        dataclasses.replace(scored, name="val"),
        scored.take(torch.arange(999)),
        dataclasses.replace(scored, labels=(scored.labels + 1) % 10),
    ):
        with pytest.raises(ReportError, match="was scored on 1,000 test images of mnist, not on"):
            study_page(study, other)


@pytest.mark.parametrize("change", ["another data set", "val"])
def test_images_of_other_data_and_splits_have_no_disputed_labels(change: str) -> None:
    found = disputed_study(947, 17)
    if change == "val":
        found = dataclasses.replace(found, split="val")
    else:
        checksums = found.data["checksums"] | {"t10k-labels-idx1-ubyte": "0" * 32}
        found = dataclasses.replace(found, data={**found.data, "checksums": checksums})
    page = study_page(found)
    assert "annotators" not in page.text
    assert "label rejected" not in page.tables["mistakes"].columns


def test_the_disputed_labels_are_those_that_the_docs_list() -> None:
    text = (ROOT / "docs" / "data.md").read_text()
    assert len(DISPUTED_LABELS) == 15
    for image, one in DISPUTED_LABELS.items():
        chosen = f"{one.chose_label} | {one.chose_other} | {one.chose_neither}"
        assert f"| {image} | {one.label} | {one.other} | {chosen} |" in text
    for one in DISPUTED_LABELS.values():
        assert one.chose_label + one.chose_other + one.chose_neither == 5
        assert one.rejected >= 3


@pytest.mark.mnist
def test_the_disputed_labels_are_those_of_mnist(mnist: Dataset) -> None:
    for image, one in DISPUTED_LABELS.items():
        assert int(mnist.held_out.labels[image]) == one.label


@pytest.mark.slow
def test_a_perfect_seed_and_one_at_chance_can_be_told() -> None:
    for found in (
        make_study(make_seed_result(0, 1_000), budget=BUDGET),
        make_study(make_seed_result(0, 100), budget=BUDGET),
    ):
        page = study_page(found, IMAGES)
        assert "## Errors" in page.markdown
    assert (
        "0 of 0 misclassified images"
        in study_page(make_study(make_seed_result(0, 1_000)), IMAGES).markdown
    )


@pytest.mark.parametrize(
    "recipe",
    [
        recipes.QUICK,
        STEADY.replace(
            name="steady with epochs=3", epochs=3, dropout=None, nesterov=False, optimizer="sgd"
        ),
        STEADY.replace(name="steady (changed)", augment=()),
        STEADY.replace(name="steady (changed)", augment=AUGMENTS["document_001"]),
        STEADY.replace(
            name="steady (changed)",
            augment=(dataclasses.replace(AUGMENTS["full"][0], rotate_deg=9.5),),
        ),
        recipes.PLAIN.replace(name="plain (changed)", augment=(Warp(rotate_deg=3),)),
        recipes.PLAIN.replace(name="plain with epochs=2, momentum=0.5", epochs=2, momentum=0.5),
        Recipe(
            name="somebody's", epochs=4, augment=AUGMENTS["light"], nesterov=True, optimizer="sgd"
        ),
    ],
    ids=lambda recipe: f"{recipe.name}-{recipe.epochs}",
)
def test_the_command_gives_the_recipe_again(recipe: Recipe) -> None:
    found = make_study(
        make_seed_result(3, 990),
        make_seed_result(4, 991),
        recipe=to_json_value(recipe),
        net="summit",
        name="step",
    )
    words = shlex.split(command_for(found) or "")
    assert words[:3] == ["netlet", "study", "summit"]
    assert words[-4:] == ["--first-seed", "3", "--seeds", "2"]
    gap = dataclasses.replace(found, seeds=(*found.seeds, make_seed_result(7, 992)))
    assert [line.split()[-4:] for line in (command_for(gap) or "").splitlines()] == [
        ["--first-seed", "3", "--seeds", "2"],
        ["--first-seed", "7", "--seeds", "1"],
    ]
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    made = apply_settings(catalog.find_recipe(words[words.index("--recipe") + 1]), settings)
    assert to_json_value(made.replace(name="x")) == to_json_value(recipe.replace(name="x"))


def test_the_command_says_what_else_matters() -> None:
    known = make_study(
        make_seed_result(0, 990),
        recipe=to_json_value(recipes.QUICK),
        budget=BUDGET,
        name="swift",
        net="swift",
    )
    assert command_for(known) == "netlet study swift --first-seed 0 --seeds 1"
    other = dataclasses.replace(
        known,
        split="val",
        data=known.data | {"name": "scribble"},
        environment=known.environment | {"threads": 2},
    )
    assert command_for(other) == (
        "netlet study swift --workers 1 --threads 2 --val 1000 --dataset scribble --first-seed 0 --seeds 1"
    )
    assert command_for(dataclasses.replace(known, budget=to_json_value(budgets.EIGHT_K))) == (
        "netlet study swift --budget eight_k --first-seed 0 --seeds 1"
    )
    on_val = budgets.EIGHT_K.replace(name="eight_k on val", judged_on="val")
    assert command_for(dataclasses.replace(known, budget=to_json_value(on_val))) == (
        "netlet study swift --budget eight_k --judge val --first-seed 0 --seeds 1"
    )
    assert command_for(dataclasses.replace(known, budget=BUDGET | {"params_below": 7})) is None
    assert "--channels 3" in (
        command_for(dataclasses.replace(known, data=known.data | {"shape": [3, 28, 28]})) or ""
    )
    # A step that is called like an experiment of ours, but is another net.
    assert (command_for(dataclasses.replace(known, net="code_2")) or "").startswith(
        "netlet study code_2 --recipe quick"
    )
    begun = dataclasses.replace(known, initial_weights_digest="a" * 64)
    assert command_for(begun) is None
    assert "Training started from given weights" in study_page(begun).markdown
    odd = recipes.QUICK.replace(augment=(Warp(rotate_deg=3), Warp(rotate_deg=4), Warp(scale=0.1)))
    assert command_for(dataclasses.replace(known, recipe=to_json_value(odd))) is None
    assert (
        "made in Python"
        in study_page(dataclasses.replace(known, recipe=to_json_value(odd))).markdown
    )


WORDS = ("--dataset", "digits.npz", *FAST)


def run_main(folder: Path, *words: str) -> None:
    with contextlib.chdir(folder), pytest.raises(SystemExit, match="0"):
        main([*words, *WORDS])


@pytest.fixture(scope="module")
def one_study_once(digits_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two seeds, and a run."""
    folder = tmp_path_factory.mktemp("one")
    shutil.copy(digits_file, folder)
    run_main(folder, "study", "code_2", "--seeds", "2", "--workers", "1")
    run_main(folder, "train", "code_2", "--seed", "7")
    return folder


@pytest.fixture(scope="module")
def once(one_study_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies of two seeds, and a run."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(one_study_once, folder, dirs_exist_ok=True)
    run_main(folder, "study", "code_3", "--seeds", "2", "--workers", "1")
    return folder


@pytest.fixture
def one_study(netlet: Netlet, one_study_once: Path, tmp_path: Path) -> Path:
    """The first study and the run, to be spoiled."""
    shutil.copytree(one_study_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def trained(netlet: Netlet, once: Path, tmp_path: Path) -> Path:
    """Both studies and the run, to be spoiled."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.slow
def test_report_compare_and_runs_from_the_command_line(netlet: Netlet, trained: Path) -> None:
    one, other = "studies/code_2-digits.npz", "studies/code_3-digits.npz"
    code, out, err = netlet("report", one, "-o", "one.html")
    assert (code, out.strip()) == (0, "one.html")
    assert (
        "without pictures of mistakes; pass the data set that it was scored on with --dataset PATH"
        in err
    )
    code, out, err = netlet("report", one, other, "-o", "both.html", "--dataset", "digits.npz")
    assert (code, err) == (0, "")
    assert "code_2 and code_3" in Path("both.html").read_text()
    code, out, _ = netlet(
        "report", "runs/code_2-digits.npz-seed7", "-o", "run.md", "--dataset", "digits.npz"
    )
    assert out.strip() == "run.md, and 7 figures in run/"
    # Single runs of one experiment are its study.
    netlet(
        "report",
        f"{one}/seed-0",
        f"{one}/seed-1/run.json",
        "-o",
        "joined.md",
        "--dataset",
        "digits.npz",
    )
    assert "mean of 2 seeds: 0, 1" in Path("joined.md").read_text()

    code, out, _ = netlet("compare", one, other)
    assert code == 0
    assert "paired t test over seeds" in out
    found = json.loads(netlet("compare", one, f"{other}/study.json", "--json")[1])
    assert found["seeds"] == [2, 2]
    assert netlet("compare", f"{one}/seed-0", f"{other}/seed-1")[0] == 0

    rows = [json.loads(line) for line in netlet("runs", ".", "--jsonl")[1].splitlines()]
    assert [(row["name"], row["seed"]) for row in rows] == [
        ("code_2", 7),
        ("code_2", 0),
        ("code_2", 1),
        ("code_3", 0),
        ("code_3", 1),
    ]
    assert [
        row["seed"]
        for row in json.loads(netlet("runs", ".", "--name", "*_2", "--sort", "seed", "--json")[1])[
            "runs"
        ]
    ] == [
        0,
        1,
        7,
    ]
    assert (
        json.loads(netlet("runs", ".", "--params-below", "5000", "--net", "code_3", "--json")[1])[
            "runs"
        ]
        == []
    )
    assert (
        "none of the 5 runs in . matches" in netlet("runs", ".", "--accuracy-at-least", "99.9")[1]
    )
    for verdict in ("NOT*", "not*"):
        assert "none of" not in netlet("runs", ".", "--verdict", verdict)[1]
    best_first = [
        row["last_percent"]
        for row in json.loads(netlet("runs", ".", "--sort", "last", "--json")[1])["runs"]
    ]
    assert best_first == sorted(best_first, reverse=True)
    code, out, _ = netlet("runs", ".", "--compare")
    assert code == 0
    assert re.search(r"^code_2 .+ 3 ", out, re.MULTILINE)
    assert re.search(r"^code_3 .+ 2 .+(best|no difference shown|worse)$", out, re.MULTILINE)


@pytest.mark.slow
def test_a_studys_record_stands_for_runs_that_are_gone(netlet: Netlet, trained: Path) -> None:
    before = json.loads(netlet("runs", "studies", "--json")[1])["runs"]
    for path in (trained / "studies").rglob("run.json"):
        path.unlink()
    after = json.loads(netlet("runs", "studies", "--json")[1])["runs"]
    drop = ("path", "train_s")  # the study's record rounds the seconds
    assert [{k: v for k, v in row.items() if k not in drop} for row in after] == [
        {k: v for k, v in row.items() if k not in drop} for row in before
    ]


def test_an_edited_run_is_noticed(netlet: Netlet, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results" / "swift-scribble-seed0", tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"train_score": run["train_score"] | {"correct": 70_000}}))
    code, _, err = netlet("report", str(path), "-o", "x.md")
    assert code == 2
    assert "contradicts itself: train_score.correct is 70,000, but there are 60,000 images" in err


def test_the_same_run_in_two_places_counts_once(netlet: Netlet, one_study: Path) -> None:
    shutil.copytree(one_study / "studies" / "code_2-digits.npz", one_study / "copy")
    rows = [
        json.loads(line)
        for line in netlet("runs", ".", "--name", "code_2", "--compare", "--jsonl")[1].splitlines()
    ]
    assert [row["seeds"] for row in rows] == [3]


def test_weights_that_somebody_gave_are_recorded_and_kept_apart(
    netlet: Netlet, one_study: Path
) -> None:
    weights = str(one_study / "runs" / "code_2-digits.npz-seed7" / "weights.safetensors")
    code, _, err = netlet(
        "train", "code_2", "--seed", "9", "--weights", weights, "--dataset", "digits.npz", *FAST
    )
    assert code == 0, err
    found = records.load_run("runs/code_2-digits.npz-seed9")
    assert (
        found.initial_weights_digest
        == records.load_run("runs/code_2-digits.npz-seed7").weights_digest
    )
    code, _, err = netlet(
        "report", "runs/code_2-digits.npz-seed7", "runs/code_2-digits.npz-seed9", "-o", "x.md"
    )
    assert code == 0, err  # two studies, whose seeds are not pooled
    text = Path("x.md").read_text()
    names = [f"code_2 (code_2-digits.npz-seed{seed})" for seed in (7, 9)]
    weights = f"from the seed / weights {found.initial_weights_digest[:8]}"
    assert f"Trained differently ({' / '.join(names)}): initial weights {weights}" in text


@pytest.mark.slow
def test_bad_records_are_one_line_each_and_never_a_figure(netlet: Netlet, trained: Path) -> None:
    path = trained / "studies" / "code_2-digits.npz" / "study.json"
    whole = json.loads(path.read_text())

    def says(record: object, message: str) -> None:
        path.write_text(record if isinstance(record, str) else json.dumps(record))
        for words in (
            ("report", str(path), "-o", "x.md"),
            ("compare", str(path), "studies/code_3-digits.npz"),
        ):
            code, out, err = netlet(*words)
            assert (code, out) == (2, ""), err
            assert message in err
            assert len(err.splitlines()) == 1
        code, _, err = netlet("runs", "studies")
        assert code == 1
        assert message in err
        assert not Path("x.md").exists()

    says(path.read_text()[:500], "found broken JSON (line 4, column ")
    says("[]", "expected the record of a study, found something else")
    seeds = whole["seeds"]
    says(whole | {"seeds": []}, "it has no seeds")
    says(whole | {"seeds": [seeds[0], seeds[0]]}, "it contains a seed twice")
    says(whole | {"seeds": [seeds[0] | {"correct": 99}]}, "seed 0 has 99 correct and")
    says(
        whole | {"seeds": [seeds[0] | {"correct_by_epoch": seeds[0]["correct_by_epoch"][:1]}]},
        "seed 0 has epochs that do not end in its result",
    )
    says(whole | {"class_sizes": [10] * 9}, "its classes hold 90 images, but total is 100")
    said = seeds[0]["mistakes"]
    says(
        whole | {"seeds": [seeds[0] | {"mistakes": [[said[0][0], 10, *said[0][2:]], *said[1:]]}]},
        "with an impossible label or prediction",
    )
    says(
        whole | {"seeds": [seeds[0] | {"train_correct": 700}]},
        "more correct training images than there are",
    )
    says(
        whole | {"seeds": [seeds[0] | {"correct_by_epoch": [5_000, seeds[0]["correct"]]}]},
        "an epoch with more correct images than there are",
    )
    says(
        whole | {"seeds": [seeds[0] | {"calibration": []}]},
        "a calibration over a different number of images",
    )
    says(whole | {"lr_by_epoch": []}, "the length of lr_by_epoch is 0, but recipe.epochs gives 2")
    says(
        whole | {"data": whole["data"] | {"class_names": ["0"]}},
        "data.classes is 10, but data.class_names gives 1 names",
    )
    says(
        whole | {"schema": 1},
        "expected schema 2 to 4, found 1; another version of",
    )
    says({k: v for k, v in whole.items() if k != "recipe"}, "recipe: expected a value, found")


@pytest.mark.slow
def test_what_does_not_belong_together_is_refused(netlet: Netlet, trained: Path) -> None:
    with np.load(trained / "digits.npz") as whole:
        np.savez(trained / "digits2.npz", **{name: whole[name][::-1] for name in whole.files})
    netlet("train", "code_3", "--dataset", "digits2.npz", "-o", "elsewhere", *FAST)
    code, out, err = netlet("compare", "studies/code_2-digits.npz", "elsewhere")
    assert (code, out) == (2, "")
    assert "compare studies of one data set" in err
    code, _, err = netlet("report", "studies/code_2-digits.npz", "elsewhere", "-o", "x.html")
    assert code == 2
    assert "compare studies of one data set" in err
    code, _, err = netlet("report", "nowhere", "-o", "x.html")
    assert (code, len(err.splitlines())) == (2, 1)
    Path("empty").mkdir()
    code, _, err = netlet("report", "empty", "-o", "x.html")
    assert "holds neither study.json nor run.json" in err
    code, _, err = netlet("report", "elsewhere", "-o", "x.doc")
    assert "x.doc: cannot write this format" in err
    code, _, err = netlet("runs", ".", "--sort", "accuracy")
    assert "--sort 'accuracy' is not a column; choose one of" in err
    code, _, err = netlet("runs", ".", "--compare", "--verdict", "pass")
    assert code == 2
    assert "which select seeds by their results" in err
    # The images have changed since: figures stay, pictures are left out.
    code, out, err = netlet("report", "elsewhere", "-o", "x.md", "--dataset", "digits.npz")
    assert code == 0
    assert "digits.npz is not the data set that code_3 was scored on; pass that" in err
    assert "The images were not available" in Path("x.md").read_text()


def test_without_the_libraries_for_pictures_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.split(".")[0] in ("matplotlib", "markdown_it"):
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ReportError, match=r"figures need matplotlib, .* pip install '\.\[report\]'"
    ):
        study_page(make_study(make_seed_result(0, 990)))
    with pytest.raises(ReportError, match="HTML needs markdown-it-py"):
        _ = Page("a", "b").html


def test_a_study_is_the_same_from_runs_and_from_its_file(one_study: Path) -> None:
    folder = one_study / "studies" / "code_2-digits.npz"
    runs = [records.load_run(path) for path in sorted(folder.glob("seed-*"))]
    assert records.Study.from_runs(runs) == records.load_study(folder)


def test_a_named_augmentation_is_one_option_of_the_command() -> None:
    recipe = recipes.PLAIN.replace(name="plain (changed)", augment=AUGMENTS["full"])
    found = make_study(make_seed_result(3, 990), recipe=to_json_value(recipe), net="summit")
    words = shlex.split(command_for(found) or "")
    assert [word for word in words if "augment" in word] == ["augment=full"]


def test_the_command_reads_a_budget_of_ones_own_from_the_file_beside_it(tmp_path: Path) -> None:
    budget = budgets.Budget(
        name="Class 6",
        params_below=8_000,
        requires=("GAP or FC",),
        judged_on="val",
        messages={"GAP or FC": "See \u201clecture 4\u201d;\n```\nuse <b>both</b>."},
    )
    found = make_study(make_seed_result(3, 990), budget=to_json_value(budget))
    assert command_for(found) is None  # without the file, it would be of no use
    file = budget_file_for(found)
    assert file is not None
    name, content = file
    assert name == "Class_6.toml"
    command = "netlet study swift --recipe quick --set epochs=2 --budget Class_6.toml"
    assert (command_for(found, name) or "").startswith(command)
    (tmp_path / name).write_text(content)
    assert to_json_value(budgets.load_budget(tmp_path / name)) == found.budget
    text = _explain_command(found)
    assert text.startswith(f"```sh\n{command}")
    assert "No command" not in text
    (tmp_path / name).write_text(text.partition("```toml\n")[2].partition("\n```")[0])
    assert to_json_value(budgets.load_budget(tmp_path / name)) == found.budget
    html = Page("", text, {}, {}).html
    assert "<b>" not in html
    assert html.count("<pre") == 2
    named = make_study(make_seed_result(0, 990), budget=BUDGET, net="swift")
    assert budget_file_for(named) is None
    assert "```toml" not in _explain_command(named)
    recipe = recipes.PLAIN.replace(augment=(Warp(rotate_deg=3), Warp(shift_px=2)))
    unknown = make_study(make_seed_result(0, 990), recipe=to_json_value(recipe))
    assert _explain_command(unknown).startswith("No command expresses this recipe: it was made in")


def test_the_sizes_of_parameters_and_weights_have_a_word_each() -> None:
    found = make_study(make_seed_result(0, 990))
    assert ", 0.0 KiB of parameters, peak activations" in summarize_cost(found)
    more = dataclasses.replace(
        found,
        summary=found.summary | {"parameter_bytes": 57_242},
        cost=found.cost | {"weight_bytes": 58_061},
    )
    text = summarize_cost(more)
    assert ", 55.9 KiB of parameters (56.7 KiB with buffers), peak activations" in text


@pytest.mark.parametrize("augmented", [False, True])
def test_curves_are_called_augmented_only_if_the_images_were(augmented: bool) -> None:
    study = make_study(make_seed_result(0, 900))
    recipe = study.recipe | {"augment": to_json_value(STEADY)["augment"] if augmented else []}
    study = dataclasses.replace(study, recipe=recipe)
    for draw in (accuracy_curves, loss_curves):
        labels = draw(study).axes[0].get_legend_handles_labels()[1]
        (label,) = (one for one in labels if one.startswith("training images"))
        assert ("augmented" in label) == augmented


@pytest.mark.parametrize("epochs", [1, 2, 3, 12])
def test_curves_have_whole_epochs_as_ticks(epochs: int) -> None:
    falling = tuple(1 / epoch for epoch in range(1, epochs + 1))
    seed = dataclasses.replace(
        make_seed_result(0, 990),
        correct_by_epoch=tuple(range(980, 980 + epochs)),
        train_correct_by_epoch=tuple(range(500, 500 + epochs)),
        train_losses=falling,
        held_out_losses=falling,
    )
    whole = make_study(seed)
    study = dataclasses.replace(
        whole, recipe={**whole.recipe, "epochs": epochs}, lr_by_epoch=falling
    )
    for draw in (accuracy_curves, loss_curves, learning_rate_curve):
        ticks = draw(study).axes[0].get_xticks()
        assert len(ticks) > 1
        assert all(tick == int(tick) for tick in ticks)


@pytest.mark.parametrize("highest", [0.011, 0.3, 1.9, 2.4, 8.6])
@pytest.mark.parametrize("ratio", [1, 1.5, 2, 50])
def test_a_plot_of_losses_has_ticks_wherever_they_are(highest: float, ratio: float) -> None:
    losses = (highest, highest / ratio)
    seed = dataclasses.replace(
        make_seed_result(0, 990),
        correct_by_epoch=(980, 990),
        train_correct_by_epoch=(980, 990),
        train_losses=losses,
        held_out_losses=losses,
    )
    whole = make_study(seed)
    study = dataclasses.replace(whole, recipe={**whole.recipe, "epochs": 2}, lr_by_epoch=losses)
    axes = loss_curves(study).axes[0]
    low, high = axes.get_ylim()
    ticks = axes.get_yticks()
    assert 3 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
