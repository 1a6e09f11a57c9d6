"""The README's figures are those of the records, and its two commands are where they are looked for."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest

from benchmarks.pages import PAGES, drawn
from netlet import records, studies

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def runs(name: str, data: str = "mnist") -> list[records.Run]:
    found = map(records.load, records.find(ROOT / "results"))
    return [run for run in found if (run.name, run.data["name"]) == (name, data)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_records(page: Path) -> None:
    assert "<!-- records: " in page.read_text()
    assert drawn(page.read_text()) == page.read_text(), "run python -m benchmarks.pages"


def test_a_figure_changed_by_hand_is_noticed() -> None:
    found = re.search(r"<!-- records: runs -->.*?([0-9.]+) %", README, re.DOTALL)
    assert found is not None
    changed = README[: found.start(1)] + "99.99" + README[found.end(1) :]
    assert drawn(changed) == README


def test_the_claim_is_that_of_the_records() -> None:
    found = runs("swift")
    mean = statistics.mean(run.last_epoch.correct for run in found)
    assert f"{mean / 100:.2f} %" in README.split("```")[0]
    assert all(run.verdict is not None and run.verdict.passed for run in found)


def test_the_scribble_claim_is_that_of_the_records() -> None:
    judged = [
        json.loads(path.read_text())["score"] for path in sorted((ROOT / "results").glob("*scribble*/mnist.json"))
    ]
    assert len(judged) == len(runs("swift", "scribble")) >= 3
    correct = [score["correct"] for score in judged]
    claim = f"{statistics.mean(correct) / 100:.2f} % of MNIST's test images (mean of {len(correct)} seeds, {min(correct):,} to"
    assert claim in " ".join(README.split())


def test_every_recorded_run_judged_test_with_the_recipe_of_the_catalogue() -> None:
    from netlet.experiments import EXPERIMENTS
    from netlet.records import plain

    for run in map(records.load, records.find(ROOT / "results")):
        assert run.recipe == plain(EXPERIMENTS[run.name].recipe), f"{run.name}: the recipe has changed; run it again"


def test_the_first_two_shell_blocks_are_the_two_commands() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert all(len(block.strip().splitlines()) == 1 for block in blocks)
    assert blocks[0].strip().endswith("netlet train")
    assert "pytest" in blocks[1]


@pytest.mark.parametrize("name", ["sprint", "dash", "sprint8k"])
def test_a_study_is_of_the_recipe_in_the_catalogue_and_of_seeds_used_once(name: str) -> None:
    from netlet.experiments import EXPERIMENTS

    study = studies.load(ROOT / "results" / "studies" / f"{name}.json")
    assert study.recipe == records.plain(EXPERIMENTS[name].recipe), "the recipe has changed; study it again"
    assert len(study.seeds) == 10
    assert (study.split, study.total) == ("test", 10_000)
    tried = {json.loads(line)["seed"] for line in (ROOT / "results" / "trials.jsonl").read_text().splitlines()}
    assert not tried & {seed.seed for seed in study.seeds}
