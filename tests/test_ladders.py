"""Ladders: read from TOML, climbed without doing anything twice, told in the form of document 004."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Netlet

from netlet import records
from netlet.cli import main
from netlet.errors import LadderError, NetletError
from netlet.experiments import EXPERIMENTS, LADDERS, experiment_of, find_ladder

STEPS = """
title = "Two steps"
about = "From small to *normed*."

[[step]]
experiment = "code_2"
name = "light"
title = "A light net"
target = "Small."
recipe = "plain"
set = { epochs = 2, batch = 50, precision = "float32" }
seeds = 1
claim = { parameters = 4991, best_train = 90.5, best_test = 91 }

[[step]]
experiment = "code_3"
name = "norms"
title = "Norms"
target = "Better."
recipe = "plain"
set = { epochs = 2, batch = 50, precision = "float32", augment = "light" }
"""


CLIMB = ("climb", "two.toml", "--dataset", "digits.npz", "--seeds", "1", "--workers", "1")
FIRST_STEP = STEPS[: STEPS.rindex("[[step]]")]


@pytest.fixture
def ladder(digits_file: Path, tmp_path: Path) -> Path:
    shutil.copy(digits_file, tmp_path)
    (tmp_path / "two.toml").write_text(STEPS)
    return tmp_path / "two.toml"


@pytest.fixture(scope="module")
def once(digits_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ladder, climbed with one seed."""
    folder = tmp_path_factory.mktemp("climbed")
    shutil.copy(digits_file, folder)
    (folder / "two.toml").write_text(STEPS)
    with contextlib.chdir(folder), pytest.raises(SystemExit, match="0"):
        main(list(CLIMB))
    return folder


@pytest.fixture
def there(netlet: Netlet, once: Path, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_ladder_is_climbed_once_and_told(netlet: Netlet, ladder: Path, tmp_path: Path) -> None:
    arguments = ("climb", "two.toml", "--dataset", "digits.npz", "--seeds", "2", "--workers", "1")
    code, out, err = netlet(*arguments)
    assert code == 0, err
    assert err.index("light: A light net") < err.index("norms: Norms")
    assert err.count(" of 100 test images") == 3  # one seed of the dear step, two of the other
    folder = tmp_path / "ladders" / "two"
    found = records.load_climbed(folder)
    assert [len(study.seeds) for study in found.studies] == [1, 2]
    assert [study.name for study in found.studies] == ["light", "norms"]
    assert found.studies[1].recipe["name"] == "plain (changed)"
    page = (folder / "ladder.md").read_text()
    for words in (
        "# Two steps",
        "From small to *normed*.",
        "## A light net",
        "**Target:** Small.",
        "**Results:**",
        "- Parameters: 4,990 (claimed: 4,991)",
        "while training (claimed: 90.50)",
        "(claimed: 91.00)",
        "**Analysis:**",
        "- Receptive field: 28 of 28x28",
        "Changed: the net (4,990 to 5,150 parameters; layers: +6 BatchNorm2d, +1 ReLU)",
        "Since light (",
    ):
        assert words in page
    assert "light" in out
    assert "its page: ladders/two/ladder.md" in out
    assert page.count("**Remarks:**") == 0

    (folder / "norms" / "remarks.md").write_text("I expected *more*.\n")
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("run.json")}
    code, out, err = netlet(*arguments)
    assert code == 0
    assert "of 100 test images" not in err
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("run.json")}
    assert "**Remarks:**\n\nI expected *more*." in (folder / "ladder.md").read_text()


def test_a_record_without_its_runs_is_not_run_again(netlet: Netlet, there: Path) -> None:
    folder = there / "ladders" / "two"
    first = (folder / "norms" / "study.json").read_text()
    for run in folder.rglob("run.json"):
        run.unlink()
    code, _, err = netlet(*CLIMB)
    assert (code, err.count("test images")) == (0, 0)
    assert (folder / "norms" / "study.json").read_text() == first
    code, _, err = netlet(*CLIMB[:-3], "2", "--workers", "1")
    assert code == 0
    assert err.count("test images") == 1  # only the second seed of the second step
    both = records.load_study(folder / "norms")
    assert [seed.seed for seed in both.seeds] == [0, 1]
    # Fewer seeds asked for: none are lost.
    assert netlet(*CLIMB)[0] == 0
    assert records.load_study(folder / "norms") == both


def test_a_changed_step_is_refused_before_anything_is_lost(netlet: Netlet, there: Path) -> None:
    (there / "two.toml").write_text(STEPS.replace('augment = "light"', 'augment = "full"'))
    code, _, err = netlet(*CLIMB)
    assert code == 2
    assert (
        "ladders/two/norms: holds a run with another recipe; name another folder with --out" in err
    )
    assert (there / "ladders" / "two" / "ladder.toml").read_text() == STEPS
    (there / "two.toml").write_text(STEPS.replace('experiment = "code_2"', 'experiment = "code_4"'))
    code, _, err = netlet(*CLIMB)
    assert code == 2
    assert "ladders/two/light: holds a run with another net; name another folder with --out" in err


def test_a_study_of_something_else_is_no_step(netlet: Netlet, there: Path) -> None:
    folder = there / "ladders" / "two"
    shutil.copy(folder / "norms" / "study.json", folder / "light" / "study.json")
    code, _, err = netlet("report", str(folder), "-o", "x.md")
    assert code == 2
    assert "light: is a study of norms, not of the step" in err


def test_a_net_that_was_changed_under_its_name_is_refused(
    netlet: Netlet, ladder: Path, tmp_path: Path
) -> None:
    body = "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, {}), nn.Linear({}, 10))\n"
    (tmp_path / "mine.py").write_text(body.format(4, 4))
    ladder.write_text(FIRST_STEP.replace('experiment = "code_2"', 'experiment = "mine.py:net"'))
    assert netlet(*CLIMB)[0] == 0
    (tmp_path / "mine.py").write_text(body.format(5, 5))
    code, _, err = netlet(*CLIMB)
    assert code == 2
    assert (
        "light: holds runs of another net called mine.py:net: it has been changed since; name another"
        in err
    )


def test_own_images_without_a_test_set_can_be_climbed_twice(
    netlet: Netlet, ladder: Path, tmp_path: Path
) -> None:
    with np.load(tmp_path / "digits.npz") as whole:
        parts = {name: whole[name] for name in whole.files if "test" not in name}
    np.savez(tmp_path / "digits.npz", **parts)
    ladder.write_text(FIRST_STEP)
    code, _, err = netlet(*CLIMB)
    assert code == 0, err
    assert records.load_climbed(tmp_path / "ladders" / "two").studies[0].split == "val"
    code, _, err = netlet(*CLIMB)
    assert code == 0, err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Two steps"', "", 'the ladder has no title; write title = "..."'),
        ("[[step]]", "[step]", "is no TOML"),
        ('target = "Small."', "", 'step 1 has no target; write target = "..."'),
        ('target = "Small."', "target = 5", 'step 1 has target = 5; write target = "..."'),
        (
            'about = "From small to *normed*."',
            "about = 5",
            'the ladder has about = 5; write about = "..."',
        ),
        ('recipe = "plain"', "recipe = 5", 'step 1 has recipe = 5; write recipe = "..."'),
        ('name = "light"', "name = 5", 'step 1 has name = 5; write name = "..."'),
        ('name = "light"', 'name = "ladder.md"', "step 1: 'ladder.md' makes no folder name"),
        (
            "parameters = 4991",
            'parameters = "4991"',
            "the claim's parameters = '4991' is no number",
        ),
        ("seeds = 1", "seeds = true", "seeds = True is no number of seeds"),
        ("seeds = 1", 'budget = "eight"', "no budget 'eight'; did you mean"),
        ('augment = "light"', 'augment = ["light"]', "step norms: augment=['light'] is not known"),
        (
            'set = { epochs = 2, batch = 50, precision = "float32" }',
            "set = 5",
            "step 1: set = 5; write it as a table",
        ),
        ("seeds = 1", "sed = 1", "step 1 has no 'sed'; did you mean 'seeds'? it has: experiment"),
        ("seeds = 1", "seeds = 0", "step 1: seeds = 0 is no number of seeds; give at least 1"),
        (
            'name = "norms"',
            'name = "light"',
            "two steps are called 'light'; give each its own name",
        ),
        ('name = "norms"', 'name = "../up"', "step 2: '../up' makes no folder name"),
        (
            "parameters = 4991",
            "params = 4991",
            "a claim has no 'params'; did you mean 'parameters'?",
        ),
        (
            "claim = { parameters = 4991, best_train = 90.5, best_test = 91 }",
            "claim = 3",
            "a claim is 3; write it as a table",
        ),
        ('"code_3"', '"code_33"', "no experiment or net 'code_33'; did you mean 'code_3'?"),
        (
            'augment = "light"',
            'augment = "heavy"',
            "step norms: augment='heavy' is not known; choose one of none, light",
        ),
        ('recipe = "plain"', 'recipe = "plane"', "no recipe 'plane'; did you mean 'plain'?"),
        ("batch = 50", "batches = 50", "a recipe has no field 'batches'; did you mean 'batch'?"),
        ("batch_size = 50", 'batch_size = "50"', "batch_size='50' is not a number"),
    ],
)
def test_a_bad_ladder_is_one_line_and_nothing_is_run(
    netlet: Netlet, tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "two.toml").write_text(STEPS.replace(old, new, 1) if old in STEPS else STEPS)
    code, out, err = netlet("climb", "two.toml", "--dataset", "digits.npz")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "ladders").exists()


def test_an_unknown_ladder_names_those_there_are() -> None:
    with pytest.raises(LadderError, match=r"no ladder 'document_04'; did you mean 'document_004'"):
        find_ladder("document_04")
    with pytest.raises(LadderError, match=r"nowhere.toml: cannot be read as a ladder"):
        find_ladder("nowhere.toml")


def test_a_ladder_that_was_not_climbed_has_no_page(netlet: Netlet, tmp_path: Path) -> None:
    (tmp_path / "ladder.toml").write_text(STEPS)
    code, _, err = netlet("report", ".", "-o", "r.md")
    assert code == 2
    assert "the steps light, norms have not been run; 'netlet climb' runs them" in err


@pytest.mark.parametrize("name", LADDERS)
def test_every_step_of_our_ladders_can_be_run(name: str) -> None:
    ladder = find_ladder(name)
    experiments = [experiment_of(rung) for rung in ladder.rungs]
    assert len({json.dumps([e.net.name, str(e.recipe)]) for e in experiments}) == len(
        experiments
    ), "two steps alike"
    assert {e.budget.name for e in experiments} == {"document_004"}


def test_document_004s_ladder_is_its_five_codes_with_their_claims() -> None:
    ladder = find_ladder("document_004")
    for number, rung in enumerate(ladder.rungs, start=1):
        claim = EXPERIMENTS[f"code_{number}.documented"].claim
        assert claim is not None
        assert claim.correct is not None
        assert rung.experiment == f"code_{number}.documented"
        assert rung.claim["parameters"] == claim.parameters
        assert rung.claim["best_test"] == pytest.approx(claim.correct / 100)


def test_errors_are_of_the_tree() -> None:
    assert issubclass(LadderError, NetletError)
