"""The pages' numbers are those of the records, and the README's two commands are found."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from netlet import catalog, export, records, stats
from netlet.data import Dataset
from netlet.experiments import EXPERIMENTS, build_experiment, load_trained_net
from netlet.export.c_program import generate_program
from netlet.export.image_selection import select_calibration_images
from netlet.export.quantize import quantize_graph
from netlet.records.ladder import load_ladder_result
from tools.__main__ import (
    FRONTIER,
    LADDERS,
    PAGES,
    REPORTS,
    TABLES,
    draw_ladder,
    draw_report,
    fill_tables,
)
from tools.frontier import draw_frontier
from tools.records import RESULTS, all_studies, studies_on_val

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BASH_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
CI_MARKER = "<!-- ci: test -->"
DOCUMENTS = (ROOT / "docs" / "documents.md").read_text()
# Seeds that our recipes were scored with on test, at least, for the five documents' budgets.
OURS = {"pyramid": 5, "mnistnet_1": 5, "expand_squeeze": 5, "week4_conv": 5, "code_5": 5}
DOCUMENTED = {
    "pyramid": 3,
    "mnistnet_1": 3,
    "expand_squeeze": 3,
    "week4": 3,
    "code_1": 1,
    "code_2": 3,
    "code_3": 3,
    "code_4": 3,
    "code_5": 3,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_records(page: Path) -> None:
    assert "<!-- records: " in page.read_text()
    assert fill_tables(page.read_text()) == page.read_text(), "run python -m tools"


def test_every_table_stands_in_some_page() -> None:
    texts = "".join(page.read_text() for page in PAGES)
    for name in TABLES:
        assert f"<!-- records: {name} -->" in texts


@pytest.mark.parametrize("path", LADDERS, ids=lambda path: path.name)
def test_a_ladders_page_is_that_of_its_records(path: Path) -> None:
    page = draw_ladder(path)
    assert page.markdown_at(path) == path.read_text(), "run python -m tools"
    assert all((path.with_suffix("") / name).is_file() for name in page.pictures)


def test_the_frontier_is_that_of_its_records() -> None:
    page = draw_frontier()
    assert page.markdown_at(FRONTIER) == FRONTIER.read_text(), "run python -m tools"
    assert (FRONTIER.with_suffix("") / "frontier.svg").is_file()


@pytest.mark.mnist
@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_the_report_is_that_of_its_records(path: Path, mnist: Dataset) -> None:
    page = draw_report(path)
    assert page.markdown_at(path) == path.read_text(), "run python -m tools"
    assert all((path.with_suffix("") / name).is_file() for name in page.pictures)
    assert page.title in path.with_suffix(".html").read_text()


def test_a_figure_changed_by_hand_is_noticed() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    found = re.search(r"<!-- records: studies -->.*?([0-9.]+) ?%", page, re.DOTALL)
    assert found is not None
    changed = page[: found.start(1)] + "99.99" + page[found.end(1) :]
    assert fill_tables(changed) == page


@pytest.mark.slow  # the tests above look at the same pages one by one
@pytest.mark.mnist
def test_pages_are_checked_from_the_command_line(mnist: Dataset) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_result_at_the_top_is_that_of_the_records() -> None:
    found = records.load_study(RESULTS / "studies" / "swift")
    mean = statistics.mean(seed.correct for seed in found.seeds)
    assert f"{mean / 100:.2f}%" in README.split("```")[0]
    assert all(seed.verdict == "PASS" for seed in found.seeds)


@pytest.mark.mnist
def test_the_size_of_the_exported_c_is_that_of_the_program(mnist: Dataset) -> None:
    model = export.trace_model(load_trained_net("crest"))
    _, images = select_calibration_images(model, mnist)
    texts = generate_program(model, quantize_graph(model.graph, images))
    size = sum(len(text.encode()) for text in texts.values())
    for page in ("README.md", "docs/export.md", "docs/tracks/embedded.md"):
        assert f"netlet.c: {size:,} bytes\n" in (ROOT / page).read_text(), page
    assert f'"size_bytes": {size},' in (ROOT / "docs" / "json.md").read_text()


def test_the_mean_of_ten_seeds_of_sprint_is_that_of_the_record() -> None:
    study = records.load_study(RESULTS / "studies" / "sprint")
    interval = stats.interval_over_seeds(study)
    assert interval is not None
    low, high = interval
    words = f"{stats.mean_percent(study):.3f}%, 95% interval {low:.3f} to {high:.3f}%"
    assert words in README.replace("\n", " ")


def test_the_scribble_scores_are_those_of_the_records() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    scored = sorted(RESULTS.glob("swift-scribble-seed*"))
    assert len(scored) >= 3
    for folder in scored:
        run = records.load_run(folder)
        score = json.loads((folder / "mnist.json").read_text())["score"]
        assert f"| {run.seed} | {run.last_epoch.correct:,} | {score['correct']:,} |" in page


def test_every_record_was_made_with_the_recipe_of_the_catalog_or_of_a_rung() -> None:
    steps = {
        rung.name: build_experiment(rung)
        for folder in (RESULTS / "ladders").iterdir()
        for rung in load_ladder_result(folder).ladder.rungs
    }
    for run in map(records.load_run, records.find_runs(RESULTS)):
        assert run.recipe == records.to_json_value(EXPERIMENTS[run.name].recipe), (
            f"{run.name}: the recipe has changed; run it again"
        )
    for name, study in all_studies().items():
        experiment = EXPERIMENTS.get(name) or steps[name]
        assert study.recipe == records.to_json_value(experiment.recipe), (
            f"{name}: the recipe has changed; study it again"
        )
        assert study.budget == records.to_json_value(experiment.budget)
        assert (study.split, study.total, study.data["name"]) == ("test", 10_000, "mnist")


@pytest.mark.parametrize(("name", "seeds"), OURS.items())
def test_our_recipe_meets_each_documents_own_budget_by_the_mean_of_the_last_epoch(
    name: str, seeds: int
) -> None:
    study = all_studies()[name]
    assert len(study.seeds) >= seeds
    verdict = stats.study_verdict(study)
    assert verdict is not None
    claim = EXPERIMENTS[name].claim
    assert claim is not None
    assert verdict.budget == catalog.find_budget(f"document_{claim.document}").name
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize(("name", "seeds"), DOCUMENTED.items())
def test_each_net_was_trained_by_its_documents_recipe(name: str, seeds: int) -> None:
    study = all_studies()[f"{name}.documented"]
    assert len(study.seeds) >= seeds
    claim = EXPERIMENTS[f"{name}.documented"].claim
    assert claim is not None
    assert study.cost["parameters"] == claim.parameters


def test_our_ladder_ends_above_what_any_documents_recipe_came_to() -> None:
    top = load_ladder_result(RESULTS / "ladders" / "own").studies[-1]
    assert stats.study_verdict(top).passed  # type: ignore[union-attr]
    theirs = [stats.mean_percent(all_studies()[f"{name}.documented"]) for name in DOCUMENTED]
    assert stats.mean_percent(top) > max(theirs)


def test_where_a_document_states_no_result_the_page_says_so() -> None:
    rows = [
        line
        for line in DOCUMENTS.splitlines()
        if line.startswith(("| 000 |", "| 002 |", "| 003 |"))
    ]
    assert len(rows) == 3
    assert all("none stated" in row for row in rows)
    assert "best 99.44%, last 99.36%" in DOCUMENTS


def test_choices_were_made_on_val_and_with_other_seeds() -> None:
    chosen = studies_on_val()
    assert {study.split for study in chosen} == {"val"}
    tried = {
        json.loads(line)["seed"]
        for line in (RESULTS / "trials" / "clock.jsonl").read_text().splitlines()
    }
    tried |= {seed.seed for study in chosen for seed in study.seeds}
    for name in ("sprint", "dash", "sprint8k"):
        found = all_studies()[name]
        assert len(found.seeds) == 10
        assert not tried & {seed.seed for seed in found.seeds}


def test_the_page_that_reports_refer_to_says_how_every_recipe_was_chosen() -> None:
    section = DOCUMENTS.partition("## How netlet's recipes were chosen")[2].partition("<!--")[0]
    ours = [name for name in catalog.RECIPES if not name.startswith("document_")]
    assert [name for name in ours if f"`{name}`" not in section] == []


def test_the_first_two_shell_blocks_are_the_two_commands() -> None:
    train, test = BASH_BLOCK.findall(README)[:2]
    assert len(train.strip().splitlines()) == len(test.strip().splitlines()) == 1
    assert train.strip().endswith("netlet train")
    assert test.strip().endswith("python -m pytest -n auto --dist loadfile")


def test_the_ci_marker_stands_above_the_test_command() -> None:
    assert README.count(CI_MARKER) == 1
    after = README.partition(CI_MARKER)[2]
    assert after.startswith("\n```bash\n"), "put the marker on the line above the block"
    assert BASH_BLOCK.findall(after)[0] == BASH_BLOCK.findall(README)[1]


def test_ci_without_the_marker_says_where_to_put_it(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "README.md").write_text(README.replace(CI_MARKER, ""))
    done = subprocess.run([tmp_path / ".ci" / "run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"after a line '{CI_MARKER}'; put the marker above the test command")
