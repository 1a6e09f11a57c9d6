"""Runs of one name whose nets or recipes differ: compared as two, never pooled into one study."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from conftest import Netlet

from netlet import records
from netlet.recipes import recipe_from_json
from netlet.records import Run, save_run, to_json_value

ROOT = Path(__file__).parent.parent
RUN = dataclasses.replace(
    records.load_run(ROOT / "results" / "swift-scribble-seed0"),
    name="MyNet",
    net="mine.py:MyNet",
    source_path="/home/ada/mine.py",
    source_digest="1" * 64,
)
V2 = dataclasses.replace(RUN, source_digest="2" * 64)  # another dropout rate, for instance
LOW = dataclasses.replace(
    RUN, recipe=to_json_value(recipe_from_json(RUN.recipe).replace(weight_decay=0.5))
)  # its recipe has the same name


def save(run: Run, folder: str) -> None:
    Path(folder).mkdir(parents=True)
    save_run(run, Path(folder))


@pytest.mark.parametrize(
    ("other", "difference"),
    [(V2, "code of the net (digest) 11111111 / 22222222"), (LOW, "weight_decay 0 / 0.5")],
)
def test_two_runs_of_one_name_are_compared_as_two(
    netlet: Netlet, other: Run, difference: str
) -> None:
    save(RUN, "runs/v1")
    save(other, "runs/v2")
    code, out, err = netlet("compare", "runs/v1", "runs/v2/run.json")
    assert (code, err) == (0, "")
    note = f"rained differently (MyNet (v1) / MyNet (v2)): {difference}"
    assert note in out
    code, out, _ = netlet("report", "runs/v1", "runs/v2", "-o", "c.md")
    assert code == 0
    assert note in Path("c.md").read_text()
    Path("README.md").write_text("<!-- netlet:curves -->\n<!-- /netlet -->\n")
    assert netlet("report", "runs/v2", "runs/v1", "--into", "README.md")[0] == 0
    text = Path("README.md").read_text()
    assert -1 < text.find("| `MyNet (v2)` |") < text.find("| `MyNet (v1)` |")  # as they were named
    code, out, _ = netlet("runs", "--compare", "--json")
    rows = json.loads(out)["experiments"]
    assert code == 0
    assert [(row["name"], row["seeds"]) for row in rows] == [("MyNet (v1)", 1), ("MyNet (v2)", 1)]


def test_seeds_of_each_version_make_a_study(netlet: Netlet) -> None:
    for version, run in (("v1", RUN), ("v2", V2)):
        for seed in (0, 1):
            save(dataclasses.replace(run, seed=seed), f"{version}/seed-{seed}")
    code, out, err = netlet("compare", "v1", "v2")
    assert (code, err) == (0, "")
    assert "MyNet (v1)      2  " in out
    assert netlet("report", "v2/seed-0", "v1/seed-0", "v2/seed-1", "-o", "c.md")[0] == 0
    title = Path("c.md").read_text().splitlines()[0]
    assert title == "# MyNet (v2) and MyNet (v1/seed-0)"


def test_what_is_still_refused_says_what_to_do(netlet: Netlet) -> None:
    save(RUN, "runs/v1")
    save(V2, "runs/v2")
    for words in (("compare", "runs", "swift"), ("report", "runs", "-o", "c.md")):
        code, _, err = netlet(*words)
        assert code == 2
        assert err == (
            "netlet: MyNet: seed 0 and seed 0 differ in their source of the net; a study needs "
            "runs of one experiment, name or pass these separately, as two studies\n"
        )
    save(dataclasses.replace(RUN, weights_digest="3" * 64), "runs/again")
    code, _, err = netlet("report", "runs/v1", "runs/again", "-o", "c.md")
    assert code == 2
    assert "two different runs have seed 0" in err
    other = dataclasses.replace(RUN, data=RUN.data | {"name": "own.npz", "digest": "e" * 64})
    save(other, "runs/own")
    code, _, err = netlet("report", "runs/v1", "runs/own", "--into", "README.md")
    assert code == 2
