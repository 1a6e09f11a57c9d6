"""How values of the Python API look: short plain reprs, escaped HTML for notebooks, plots."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
import re
import statistics
import sys
import typing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import make_seed_result, make_study
from torch import nn

import netlet
from netlet import (
    analysis,
    budgets,
    classroom,
    evaluation,
    experiments,
    export,
    nets,
    recipes,
    report,
    stats,
)
from netlet.budgets import Budget
from netlet.classroom.examine import Examination
from netlet.classroom.roster import Claim
from netlet.data import Dataset
from netlet.display import LONGEST_REPR, Displayed, Plotted, short_repr
from netlet.errors import RecordError, ReportError
from netlet.graph import Tracer, trace_graph
from netlet.recipes import Recipe
from netlet.records import Run, Study
from netlet.report.markdown import escape_markdown
from netlet.text import Table
from netlet.training import Callback, Checkpoint, Plan, RangeTest, Recorder

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\n\"'&lt;"
LONG = HOSTILE + "x" * 600
FAST = Recipe(name=LONG, epochs=2, batch_size=50, peak_lr=0.02, backend="eager")

# Reprs of a few numbers and short names, which the dataclass decorator makes well enough.
PLAIN = {
    "CalibrationBin",
    "CatalogRate",  # a number
    "DownloadProgress",
    "EpochScore",
    "Mistake",
    "Score",
    "WorkerEvent",
}


class Keeper(Callback):
    def on_start(self, plan: Plan) -> None:
        self.plan = plan

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint


def hostile_run(data: Dataset, keeper: Keeper, seed: int = 0, name: str = HOSTILE) -> Run:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    limits = Budget(name=LONG, params_below=9, forbids=("Linear",), accuracy_above=50.0)
    return netlet.fit(net, data, FAST, seed=seed, budget=limits, name=name, callbacks=[keeper])


@pytest.fixture(scope="module")
def values(blob_data: Dataset) -> dict[str, object]:
    """Return a value of every kind that the API returns, with hostile names where names go."""
    classes = tuple(f"{number}{HOSTILE}" for number in range(10))
    data = dataclasses.replace(blob_data, name=HOSTILE, class_names=classes)
    keeper = Keeper()
    runs = [hostile_run(data, keeper, seed) for seed in (0, 1)]
    study, other = Study.from_runs(runs), Study.from_runs([hostile_run(data, keeper, name="b<i>")])
    swift = experiments.load_trained_net("swift")
    trained = dataclasses.replace(swift, name=HOSTILE, class_names=classes)
    traced = export.trace_model(trained)
    record = dataclasses.replace(netlet.publishing.find_record("swift", swift), license=LONG)
    net = netlet.build(nets.swift, 0)
    images = [image[0].numpy() for image in data.held_out.images[:30]]
    point = stats.FrontierPoint(
        name=HOSTILE, parameters=9_000, epochs="2", percent=99.5, evidence=LONG, author=HOSTILE
    )
    checked = netlet.check(net, Budget(name=LONG, params_below=9))
    ladder = experiments.find_ladder("own")
    execution = Tracer(net, torch.zeros(2, 1, 28, 28)).run()
    grade = classroom.Grade(
        name=HOSTILE,
        student=LONG,
        state="FAIL",
        points=2.5,
        max_points=20,
        problem=LONG,
        rules=checked.results,
        score=runs[0].last_epoch,
        claim=Claim(accuracy=99.5, weights=LONG, recipe=FAST),
        summary=LONG,
    )
    return {
        "summary": netlet.summary(net),
        "receptive field": netlet.receptive_field(net),
        "cost": netlet.cost(net),
        "trace": analysis.trace(net, (1, 28, 28)),
        "op": analysis.trace(net, (1, 28, 28)).ops[3],
        "verdict": checked,
        "rule": checked.results[0],
        "budget": Budget(name=LONG, params_below=8_000),
        "recipe": FAST.replace(about=LONG),
        "run": runs[0],
        "verdict of a run": runs[0].verdict,
        "epoch": runs[0].epochs[0],
        "stretch": runs[0].stretches[0],
        "study": study,
        "seed": study.seeds[0],
        "comparison": netlet.compare(study, other),
        "gap": stats.generalization_gap(study),
        "frontier": stats.Frontier([point, *stats.PUBLISHED_POINTS[1:4]]),
        "point": point,
        "explanation": evaluation.explain(net, data.held_out.images[:5]),
        "range test": RangeTest((0.1, 1.0, 10.0), (3.0, 1.0, 2.0), (3.0, 1.0, 2.0), False, 3, 0.1),
        "table": stats.seed_table(study),
        "data": data,
        "split": data.train,
        "source": netlet.data.SOURCES["mnist"],
        "published": netlet.publishing.build_model_folder(swift, record),
        "record of a net": record,
        "evaluation": netlet.evaluate(net, data.held_out, FAST, 10),
        "predictions": evaluation.predict(net, images),
        "prediction": evaluation.predict(net, images)[0],
        "trained net": trained,
        "traced model": traced,
        "inference graph": traced.graph,
        "layer": traced.graph.layers[0],
        "web page": export.build_page(traced),
        "report": report.Page(
            escape_markdown(HOSTILE),
            "Text <b>of</b> the page\n",
            {},
            {"a": stats.seed_table(study)},
        ),
        "experiment": netlet.find_experiment("swift"),
        "definition": netlet.catalog.DEFINITIONS[0],
        "net": nets.NETS["swift"],
        "input format": nets.InputFormat((1, 28, 28), 0.5, 0.5, class_names=classes),
        "ladder": ladder,
        "rung": ladder.rungs[0],
        "confidence": experiments.load_confidence(swift),
        "plan": keeper.plan,
        "checkpoint": keeper.checkpoint,
        "callback": keeper,
        "recorder": Recorder(Path(LONG)),
        "graph": trace_graph(net, (1, 28, 28)),
        "execution": execution,
        "module run": execution.root,
        "function call": next(execution.root.calls()),
        "grade": grade,
        "grading settings": classroom.GradingSettings(budget=Budget(name=LONG), weights=LONG),
        "submission": classroom.Submission(LONG, Path(LONG)),
        "claim": grade.claim,
        "examination": Examination(grade),
        "config": experiments.configure_run(netlet.find_experiment("swift"), blob_data),
    }


@pytest.fixture(scope="module")
def pages(values: dict[str, object]) -> dict[str, str]:
    """Return the HTML of every value."""
    return {kind: value._repr_html_() for kind, value in values.items()}  # type: ignore[attr-defined]


def test_notebooks_show_suggested_rates_rounded_and_accuracies_in_percent() -> None:
    losses = (4.0, 3.0, 1.0, 2.0)
    test = RangeTest((0.0123456, 0.0234567, 0.123456, 1.0), losses, losses, False, 4, 0.0123456)
    page = Tags(test._repr_html_())
    assert "0.012steps4peak lr0.0123456" in page.text
    budget = Budget(name="mine", params_below=8_000, accuracy_at_least=99.4)
    assert Tags(budget._repr_html_()).text.endswith("8,000accuracy at least99.4%")


def test_a_data_set_of_many_classes_stays_short(blob_data: Dataset) -> None:
    names = tuple(f"class {k}" for k in range(5_000))
    data = dataclasses.replace(blob_data, class_names=names)
    page = Tags(data._repr_html_())
    assert "and 4,980 more classes" in page.text
    assert page.tags.count("tr") == 4 + 1 + 20 + 2  # facts, head, classes, the rest and all
    assert len(repr(data)) < 120


class Tags(HTMLParser):
    """The tags and attributes of HTML, whether each is closed, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_repr_is_one_short_line_without_addresses(values: dict[str, object]) -> None:
    for kind, value in values.items():
        text = repr(value)
        assert len(text) <= LONGEST_REPR, kind
        assert text.isprintable(), (kind, text)
        assert not re.search(r"0x[0-9a-f]{4,}", text), (kind, text)
        assert "tensor(" not in text, kind
        assert "array(" not in text, kind
        assert text.startswith((type(value).__name__, f"<{type(value).__name__}")), (kind, text)


def test_runs_and_studies_have_the_accuracy_that_they_show(values: dict[str, object]) -> None:
    run, study = values["run"], values["study"]
    assert isinstance(run, Run)
    assert isinstance(study, Study)
    assert run.accuracy == 100 * run.last_epoch.correct / run.last_epoch.total
    percents = [100 * seed.correct / study.total for seed in study.seeds]
    assert study.accuracy == pytest.approx(statistics.mean(percents))
    assert f"({run.accuracy:.2f}%)" in repr(run)
    assert f"mean {study.accuracy:.3f}%" in repr(study)


def test_all_html_is_escaped_closed_and_without_colors(pages: dict[str, str]) -> None:
    for kind, page in pages.items():
        found = Tags(page)
        assert not found.open, kind
        assert "script" not in found.tags, kind
        assert "\x1b" not in page, kind
        assert "\u202e" not in page, kind
        assert not re.search(r"0x[0-9a-f]{8,}", found.text), kind
        assert not any(name.startswith("on") for name, _ in found.attributes), kind
        if "svg" not in found.tags:
            styles = " ".join(text or "" for name, text in found.attributes if name == "style")
            assert not re.search(r"(background|[^-]color)", styles.replace("currentColor", "")), (
                kind
            )
        assert "<style" not in page.replace("<style type=", ""), kind  # it would reach other cells
        for tag, name in (("img", "alt"), ("iframe", "title")):
            assert tag not in found.tags or name in dict(found.attributes), kind
        if "svg" in found.tags:
            assert ("role", "img") in found.attributes, kind


def test_a_frame_keeps_its_page_away_from_the_notebook(
    values: dict[str, object], pages: dict[str, str]
) -> None:
    for kind in ("web page", "report"):
        page = Tags(pages[kind])
        attributes = dict(page.attributes)
        assert page.tags[:2] == ["div", "iframe"]
        assert attributes["sandbox"] == "allow-scripts"  # but not the origin of the notebook
        inner = attributes["srcdoc"]
        assert inner is not None
        whole = values[kind]
        assert inner == (whole if isinstance(whole, str) else whole.html)  # type: ignore[attr-defined]


def test_html_tells_what_matters(pages: dict[str, str]) -> None:
    expected = {
        "run": ("accuracy", "images (", "parameters", "svg"),
        "study": ("95% interval over seeds", "svg", "mean accuracy"),
        "comparison": ("test over images", "svg"),
        "data": ("data:image/png;base64,", "images of class"),
        "evaluation": ("confusion matrix", "95% interval"),
        "summary": ("conv1", "18,952", "receptive field"),
        "verdict": ("most parameters", "FAIL"),
        "explanation": ("svg", "and 1 more image", "Grad-CAM maps of image 3"),
        "frontier": ("svg", "Parameter-Efficient-MNIST"),
        "predictions": ("runner-up", "and 10 more images"),
        "recipe": ("peak lr", "0.02", "nesterov"),
    }
    for kind, words in expected.items():
        for word in words:
            assert word in pages[kind], (kind, word)


def public_classes() -> dict[str, type]:
    """Return every class that the public packages name or that their functions return."""
    found: dict[str, type] = {}

    def take(kind: object) -> None:
        for argument in typing.get_args(kind):
            take(argument)
        kind = typing.get_origin(kind) or kind
        if isinstance(kind, type) and kind.__module__.startswith("netlet."):
            found[kind.__name__] = kind

    for name in netlet._MODULES:
        package = importlib.import_module(f"netlet.{name}")
        for public in package.__all__:
            value = getattr(package, public)
            take(value)
            if inspect.isfunction(value):
                returned = value.__annotations__.get("return", "")
                module = sys.modules[value.__module__]
                for word in re.findall(r"\b[A-Z]\w+", str(returned)):
                    take(getattr(module, word, None))
    return found


def test_every_class_that_the_api_returns_shows_itself() -> None:
    classes = public_classes()
    assert {"Run", "Study", "Dataset", "Page", "TrainedNet", "Trace"} <= set(classes)
    bare = {
        name
        for name, kind in classes.items()
        if not issubclass(kind, Displayed | BaseException | Table)
    }
    assert bare <= PLAIN, "let these inherit from netlet.display.Displayed"


@pytest.mark.parametrize(
    "value", [*recipes.GENERAL_RECIPES, *budgets.GENERAL_BUDGETS], ids=lambda value: value.name
)
def test_recipes_and_budgets_are_shown_as_python_that_makes_them(value: Recipe | Budget) -> None:
    made = eval(repr(value), {**vars(recipes), "Budget": Budget})
    assert made == value
    if isinstance(made, Recipe) and isinstance(value, Recipe):
        assert made.for_net(in_catalog=False) == value.for_net(in_catalog=False)


def test_a_callback_keeps_a_repr_of_its_own() -> None:
    class Own(Callback):
        def __repr__(self) -> str:
            return "mine"

    assert repr(Own()) == "mine"


def test_long_values_are_shortened_and_long_lists_cut() -> None:
    facts = {f"fact{number}": "word " * 40 for number in range(60)}
    text = short_repr("Thing", facts)
    assert len(text) <= LONGEST_REPR
    assert text.startswith("Thing(fact0='word ")
    assert text.endswith(", ...)")
    assert short_repr("Thing", {"a": list(range(500)), "b": (1,)}) == "Thing(a=<500 items>, b=(1,))"
    assert short_repr("Thing", {"f": len, "n": nn.Linear(1, 1), "o": object()}) == (
        "Thing(f=<len>, n=<Linear>, o=<object>)"
    )
    array = np.zeros((60, 28))
    assert short_repr("Thing", {"x": array, "y": {"k": None}}) == (
        "Thing(x=<60x28 float64>, y={'k': None})"
    )


def test_a_long_list_is_read_only_until_it_is_too_long() -> None:
    seen: list[object] = []

    class Item:
        def __repr__(self) -> str:
            seen.append(self)
            return "item"

    assert short_repr("Thing", {"a": [Item()] * 100_000}) == "Thing(a=<100000 items>)"
    assert len(seen) < 100


@pytest.mark.parametrize("kind", ["run", "study", "comparison", "frontier", "range test"])
def test_plots_draw_on_their_own_axes_and_on_given_ones(
    values: dict[str, object], kind: str
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    value = values[kind]
    assert isinstance(value, Plotted)
    before = dict(matplotlib.rcParams)
    axes = value.plot()
    assert axes.has_data()
    assert axes.figure.number in pyplot.get_fignums()  # so that a notebook shows it
    figure, (left, right) = pyplot.subplots(1, 2)
    assert value.plot(ax=right) is right
    assert right.has_data()
    assert not left.has_data()
    assert right.get_legend() is not None  # of these axes, not of the whole figure
    assert not figure.legends
    figure.savefig(io.BytesIO(), format="png")
    pyplot.close("all")
    assert dict(matplotlib.rcParams) == before


def test_a_plot_keeps_what_the_first_figure_of_a_notebook_sets(
    values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    new_figure = pyplot.figure

    def choose_backend(**options: object) -> object:  # as that of notebooks does
        matplotlib.rcParams["interactive"] = True
        return new_figure(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(pyplot, "figure", choose_backend)
    with matplotlib.rc_context():
        matplotlib.rcParams["interactive"] = False
        values["study"].plot()  # type: ignore[attr-defined]
        assert matplotlib.rcParams["interactive"]
    pyplot.close("all")


def test_there_are_further_plots_and_an_unknown_one_names_them(values: dict[str, object]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    run, study = values["run"], values["study"]
    assert isinstance(run, Run)
    assert isinstance(study, Study)
    for what in ("loss", "learning_rate", "confusion", "calibration"):
        assert run.plot(what).has_data()
        assert study.plot(what).has_data()
    assert study.plot("seeds").has_data()
    with pytest.raises(ReportError, match="no plot 'los'; did you mean 'loss'"):
        run.plot("los")
    with pytest.raises(TypeError, match="pass axes as ax="):
        run.plot(pyplot.subplots()[1])  # type: ignore[arg-type]
    pyplot.close("all")
    with pytest.raises(ReportError, match="no points"):
        stats.Frontier().plot()


def test_without_matplotlib_html_has_no_curves_and_plot_says_what_to_install(
    values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = values["run"]
    assert isinstance(run, Run)
    with pytest.raises(ReportError, match="pip install"):
        run.plot()
    page = run._repr_html_()
    assert "pip install" in page
    assert "<svg" not in page


def test_a_run_that_contradicts_itself_has_facts_and_no_curves(values: dict[str, object]) -> None:
    run = values["run"]
    assert isinstance(run, Run)
    score = dataclasses.replace(run.train_score, total=run.train_score.total + 1)
    page = dataclasses.replace(run, train_score=score)._repr_html_()
    assert "<table>" in page
    assert "<svg" not in page


def test_the_frontier_loads_what_comes_with_netlet() -> None:
    frontier = netlet.load_frontier()
    assert {"swift", "SimpleNet"} <= {point.name for point in frontier}
    assert repr(frontier).startswith("Frontier(measured=")


def test_the_frontier_of_a_folder_can_do_without_published_nets(
    values: dict[str, object], tmp_path: Path
) -> None:
    study = values["study"]
    assert isinstance(study, Study)
    (tmp_path / "study.json").write_text(study.to_json())
    assert not netlet.load_frontier(tmp_path, published=False)  # scored on other images
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(RecordError, match=r"study\.json"):
        netlet.load_frontier(tmp_path)


def test_runs_on_one_axes_have_names_and_colors_of_their_own(values: dict[str, object]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    run = values["run"]
    assert isinstance(run, Run)
    one, other = (dataclasses.replace(run, name=name) for name in ("_Net", "wide"))
    of = [" of _Net", " of _Net (2)", " of wide"]
    for what, labels in (
        (
            "accuracy",
            [text for name in of for text in (f"test images{name}", f"training images{name}")],
        ),
        (
            "loss",
            [text for name in of for text in (f"test images{name}", f"training images{name}")],
        ),
        ("learning_rate", [f"learning rate{name}" for name in of]),
        ("calibration", ["perfect calibration", *(f"predictions{name}" for name in of)]),
    ):
        axes = one.plot(what)
        alone = _find_legend(axes)
        assert not any("_Net" in text for text in alone)
        limits = axes.get_xlim()
        assert one.plot(what, ax=axes) is axes
        other.plot(what, ax=axes)
        shown = _find_legend(axes)
        assert len(shown) == len(labels)
        assert all(label in text for label, text in zip(labels, shown, strict=True)), shown
        assert len({line.get_color() for line in axes.lines}) == len(axes.lines)
        assert axes.get_xlim() == limits
        assert len(axes.figure.legends) <= 1  # the later one replaces the earlier one
    pyplot.close("all")


def test_all_curves_on_one_axes_stay_in_view() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    worse = [make_seed_result(0, correct) for correct in (300, 900)]
    low, high = (make_study(one, name=f"{one.correct}") for one in worse)
    for what in ("accuracy", "loss", "learning_rate"):
        both = []
        for first, second in ((low, high), (high, low)):
            axes = first.plot(what)
            second.plot(what, ax=axes)
            both.append((axes.get_xlim(), axes.get_ylim()))
        assert both[0] == both[1]
    longer = dataclasses.replace(
        high,
        recipe={**high.recipe, "batch_size": 50, "epochs": 3},
        lr_by_epoch=(0.1, 0.05, 0.0),
        seeds=(
            dataclasses.replace(
                high.seeds[0],
                correct_by_epoch=(880, 890, 900),
                train_correct_by_epoch=(570, 575, 580),
                held_out_losses=(0.4, 0.3, 0.2),
                train_losses=(0.5, 0.4, 0.3),
            ),
        ),
    )
    axes = longer.plot("accuracy")
    low.plot("accuracy", ax=axes)
    assert axes.get_ylim()[0] < 30.0
    axes = longer.plot("learning_rate")
    assert axes.get_xlabel() == "epoch (12 steps each)"
    low.plot("learning_rate", ax=axes)
    assert axes.get_xlabel() == "epoch"
    pyplot.close("all")


def _find_legend(axes: Any) -> list[str]:
    legends = [*axes.figure.legends, *filter(None, [axes.get_legend()])]
    texts = [text.get_text() for legend in legends for text in legend.get_texts()]
    return [text for text in texts if not text.startswith("target")]
