"""The README's figures are those of the records, and its two commands are where they are looked for."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest

from netlet import recipes, records, studies

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def runs(name: str, data: str = "mnist") -> list[records.Run]:
    found = map(records.load, records.find(ROOT / "results"))
    return [run for run in found if (run.name, run.data["name"]) == (name, data)]


@pytest.mark.parametrize("name", sorted({run.name for run in map(records.load, records.find(ROOT / "results"))}))
def test_each_row_is_that_of_the_records(name: str) -> None:
    found = runs(name)
    correct = [run.last_epoch.correct for run in found]
    assert {(run.last_epoch.split, run.last_epoch.total) for run in found} == {("test", 10_000)}
    assert len({run.seed for run in found}) == len(found)
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [
        f"{found[0].facts['parameters']:,}",
        str(len(found[0].epochs)),
        ", ".join(str(run.seed) for run in sorted(found, key=lambda run: run.seed)),
        f"{statistics.mean(correct) / 100:.2f} %",
        f"{min(correct):,} to {max(correct):,}",
        f"{statistics.median(run.times['total_s'] for run in found):.0f} s",
    ]


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


def test_the_speed_is_that_of_the_record() -> None:
    rows = json.loads((ROOT / "results" / "pipeline.json").read_text())["rows"]
    for row in rows:
        assert re.search(
            rf"\| `{row['net']}` \| {row['usual_images_per_s']:,} \| {row['netlet_images_per_s']:,} \| {row['ratio']:.2f} \|",
            README,
        )


def test_the_first_two_shell_blocks_are_the_two_commands() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert all(len(block.strip().splitlines()) == 1 for block in blocks)
    assert blocks[0].strip().endswith("netlet train")
    assert "pytest" in blocks[1]


def test_the_speed_page_is_that_of_study_and_race() -> None:
    page, readme = ((" ".join(text.split())) for text in ((ROOT / "docs" / "speed.md").read_text(), README))
    study = studies.load(ROOT / "results" / "studies" / "sprint.json")
    rows = {row["name"]: row for row in json.loads((ROOT / "results" / "race.json").read_text())["rows"]}
    sprint, interval = rows["sprint"], study.interval()
    assert interval is not None
    assert len(study.seeds) == 10
    assert f"| `sprint` | 17,040 | 3 | {study.mean:.3f} % | {sprint['train_s']:.2f} s | {sprint['ratio']:.2f} |" in page
    assert f"95 % interval of the mean {interval[0]:.3f} to {interval[1]:.3f} %, sd {study.sd:.3f}" in page
    for row in rows.values():
        assert f"| `{row['name']}` | {row['threads']} | {row['train_s']:.2f} | {row['ratio']:.2f} |" in page
    assert (
        f"{study.mean:.2f} % (mean of 10 fresh seeds, 95 % interval {interval[0]:.2f} to {interval[1]:.2f} %" in readme
    )
    assert (
        f"{sprint['train_s']:.1f} s of training on two cores, {sprint['ratio']:.2f} times what train_mnist_fast"
        in readme
    )
    assert study.recipe == records.plain(recipes.SPRINT)
