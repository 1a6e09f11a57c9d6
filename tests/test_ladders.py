"""Ladders are read from TOML, run without training anything twice, and reported as write-up 004 does."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import Netlet, few_fast

from netlet import records
from netlet.cli import main
from netlet.errors import LadderError, NetletDeprecationWarning, NetletError
from netlet.experiments import EXPERIMENTS, LADDERS, build_experiment, find_ladder
from netlet.experiments.seeds import SeedError

RUNGS = """
title = "Two steps"
about = "From small to *normed*."

[[rung]]
experiment = "code_2"
name = "light"
title = "A light net"
target = "Small."
recipe = "plain"
set = { epochs = 2, batch_size = 50, precision = "float32" }
seeds = 1
claim = { parameters = 4991, best_train = 90.5, best_test = 91 }

[[rung]]
experiment = "code_3"
name = "norms"
title = "Norms"
target = "Better."
recipe = "plain"
set = { epochs = 2, batch_size = 50, precision = "float32", augment = "light" }
"""


CLIMB = ("climb", "two.toml", "--dataset", "digits.npz", "--seeds", "1", "--workers", "1")
FIRST_RUNG = RUNGS[: RUNGS.rindex("[[rung]]")]


@pytest.fixture
def ladder(digits_file: Path, tmp_path: Path) -> Path:
    shutil.copy(digits_file, tmp_path)
    (tmp_path / "two.toml").write_text(RUNGS)
    return tmp_path / "two.toml"


@pytest.fixture(scope="module")
def once(digits_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ladder, climbed with one seed."""
    folder = tmp_path_factory.mktemp("climbed")
    shutil.copy(digits_file, folder)
    (folder / "two.toml").write_text(RUNGS)
    with contextlib.chdir(folder), pytest.raises(SystemExit, match="0"):
        main(list(CLIMB))
    return folder


@pytest.fixture
def there(netlet: Netlet, once: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_ladder_is_trained_once_and_reported(
    netlet: Netlet, ladder: Path, tmp_path: Path
) -> None:
    arguments = ("climb", "two.toml", "--dataset", "digits.npz", "--seeds", "2", "--workers", "1")
    code, out, err = netlet(*arguments)
    assert code == 0, err
    assert err.index("light: A light net") < err.index("norms: Norms")
    assert err.count(" of 100 test images") == 3  # one seed of the first rung, two of the other
    folder = tmp_path / "ladders" / "two"
    found = records.load_ladder_result(folder)
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
        "% during training (claimed: 90.50%)",
        "(claimed: 91.00%)",
        "**Analysis:**",
        "- Receptive field: 28 of 28x28",
        "Changed: the net (4,990 to 5,150 parameters; layers: +6 BatchNorm2d, +1 ReLU)",
        "Compared with light (",
    ):
        assert words in page
    assert "light" in out
    assert "written to ladders/two/ladder.md" in out
    assert page.count("**Remarks:**") == 0

    (folder / "norms" / "remarks.md").write_text("I expected *more*.\n")
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("run.json")}
    code, out, err = netlet(*arguments)
    assert code == 0
    assert "of 100 test images" not in err
    assert "budget" not in err  # the check is of what is trained
    assert "light on digits.npz: 1 seed finished, nothing to train" in err
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("run.json")}
    assert "**Remarks:**\n\nI expected *more*." in (folder / "ladder.md").read_text()

    code, out, _ = netlet(*arguments, "--page", "two.svg")
    assert code == 0
    assert "written to ladders/two/ladder.md, two.svg" in out
    assert "<svg" in (tmp_path / "two.svg").read_text()
    code, _, err = netlet(*arguments, "--page", "two.doc")
    assert code == 2
    assert "cannot write this format" in err


def test_rungs_that_cannot_pass_are_known_before_the_first_is_trained(
    netlet: Netlet, ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.study.train_seeds", lambda *_: [SeedError(0, "no")])
    heavy = 'experiment = "code_1"\nname = "heavy"\ntitle = "Heavy"\ntarget = "Any."\n'
    rules = 'budget = "eight_k"\n'
    ladder.write_text(f"{FIRST_RUNG}{rules}\n[[rung]]\n{heavy}{rules}")
    code, out, err = netlet(*CLIMB)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0].startswith("light: budget eight_k: ")
    assert "FAIL" not in lines[0]
    assert lines[1] == "heavy: budget eight_k: FAIL"
    assert lines[2] == "  parameters: found 119,392, limit below 8,000"
    assert err.index("  most parameters: layer ") < err.index("light: A light net")
    how = "recipe plain (changed), 2 epochs of 300 images, batch size 50, seed 0"
    assert f"training light on digits.npz: {how}" in lines
    assert "no" in lines[-1]


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_changed_rung_is_refused_before_anything_is_lost(netlet: Netlet, there: Path) -> None:
    (there / "two.toml").write_text(RUNGS.replace('augment = "light"', 'augment = "full"'))
    code, _, err = netlet(*CLIMB)
    assert code == 2
    assert "ladders/two/norms: holds a run with a different recipe (augment.rotate_deg " in err
    assert (there / "ladders" / "two" / "ladder.toml").read_text() == RUNGS
    (there / "two.toml").write_text(RUNGS.replace('experiment = "code_2"', 'experiment = "code_4"'))
    code, _, err = netlet(*CLIMB)
    assert code == 2
    assert (
        "ladders/two/light: holds a run with a different net (code_2 there, code_4 now); give "
        "the one that it has, or name another folder with --out" in err
    )


@pytest.mark.slow
def test_a_study_of_another_experiment_is_refused(netlet: Netlet, there: Path) -> None:
    folder = there / "ladders" / "two"
    shutil.copy(folder / "norms" / "study.json", folder / "light" / "study.json")
    code, _, err = netlet("report", str(folder), "-o", "x.md")
    assert code == 2
    assert "light: holds a study of norms, not of the rung" in err


@pytest.mark.slow
def test_a_net_that_was_changed_under_its_name_is_refused(
    netlet: Netlet, ladder: Path, tmp_path: Path
) -> None:
    body = "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, {}), nn.Linear({}, 10))\n"
    (tmp_path / "mine.py").write_text(body.format(4, 4))
    ladder.write_text(FIRST_RUNG.replace('experiment = "code_2"', 'experiment = "mine.py:net"'))
    assert netlet(*CLIMB, "--trust")[0] == 0
    (tmp_path / "mine.py").write_text(body.format(5, 5))
    code, _, err = netlet(*CLIMB, "--trust")
    assert code == 2
    assert (
        "light: its runs were trained with other code of mine.py:net than it has now; restore"
        in err
    )


@pytest.mark.slow
def test_own_images_without_a_test_set_can_be_climbed_twice(
    netlet: Netlet, ladder: Path, tmp_path: Path
) -> None:
    with np.load(tmp_path / "digits.npz") as whole:
        parts = {name: whole[name] for name in whole.files if "test" not in name}
    np.savez(tmp_path / "digits.npz", **parts)
    ladder.write_text(FIRST_RUNG)
    code, _, err = netlet(*CLIMB)
    assert code == 0, err
    assert records.load_ladder_result(tmp_path / "ladders" / "two").studies[0].split == "val"
    code, _, err = netlet(*CLIMB)
    assert code == 0, err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    few_fast(
        [
            ('title = "Two steps"', "", 'two.toml: there is no title; write title = "..."'),
            ("[[rung]]", "[rung]", "is not valid TOML"),
            ('target = "Small."', "", 'line 5: there is no target; write target = "..."'),
            ('target = "Small."', "target = 5", 'line 9: target is 5; write target = "..."'),
            (
                'about = "From small to *normed*."',
                "about = 5",
                'line 3: about is 5; write about = "..."',
            ),
            ('recipe = "plain"', "recipe = 5", 'line 10: recipe is 5; write recipe = "..."'),
            ('name = "light"', "name = 5", 'line 7: name is 5; write name = "..."'),
            (
                'name = "light"',
                'name = "ladder.md"',
                "line 7: 'ladder.md' cannot be a folder's name",
            ),
            (
                "parameters = 4991",
                'parameters = "4991"',
                "the claim's parameters = '4991' is not a number",
            ),
            ("seeds = 1", "seeds = true", "seeds = True is not a number of seeds"),
            ("seeds = 1", 'budget = "eight"', "no budget 'eight'; did you mean"),
            (
                'augment = "light"',
                'augment = ["light"]',
                "rung norms: augment=['light'] is unknown; choose one of none, light",
            ),
            (
                'set = { epochs = 2, batch_size = 50, precision = "float32" }',
                "set = 5",
                "line 11: set = 5; write a table",
            ),
            (
                "seeds = 1",
                "sed = 1",
                "line 12: 'sed' is not a key of a rung; did you mean 'seeds'? the keys are: experiment",
            ),
            (
                "seeds = 1",
                "seeds = 0",
                "line 12: seeds = 0 is not a number of seeds; give 1 or more",
            ),
            (
                'name = "norms"',
                'name = "light"',
                "line 17: two rungs are called 'light'; give each its own name",
            ),
            ('name = "norms"', 'name = "../up"', "line 17: '../up' cannot be a folder's name"),
            (
                "parameters = 4991",
                "params = 4991",
                "'params' is not a key of a claim; did you mean 'parameters'?",
            ),
            (
                "claim = { parameters = 4991, best_train = 90.5, best_test = 91 }",
                "claim = 3",
                "a claim is 3; write a table",
            ),
            ('"code_3"', '"code_33"', "no experiment or net 'code_33'; did you mean 'code_3'?"),
            (
                'augment = "light"',
                'augment = "heavy"',
                "rung norms: augment='heavy' is unknown; choose one of none, light",
            ),
            ('recipe = "plain"', 'recipe = "plane"', "no recipe 'plane'; did you mean 'plain'?"),
            (
                "batch_size = 50",
                "batchsize = 50",
                "no setting 'batchsize'; did you mean 'batch_size'?",
            ),
            ("batch_size = 50", 'batch_size = "many"', "batch_size='many' is not a whole number"),
        ],
        14,
    ),
)
def test_a_bad_ladder_is_one_line_and_nothing_is_run(
    netlet: Netlet, tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "two.toml").write_text(RUNGS.replace(old, new, 1) if old in RUNGS else RUNGS)
    code, out, err = netlet("climb", "two.toml", "--dataset", "digits.npz")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "ladders").exists()


def test_an_error_in_the_toml_names_a_page_whose_example_is_a_ladder(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[[rung]\n")
    with pytest.raises(LadderError, match=r"is not valid TOML: .*; see docs/results\.md for an"):
        records.load_ladder(file)
    page = (Path(__file__).parents[1] / "docs" / "results.md").read_text()
    file.write_text(page.partition("```toml\n")[2].partition("```")[0])
    for rung in records.load_ladder(file).rungs:
        assert build_experiment(rung).name


def test_step_tables_of_version_0_1_still_work_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text(RUNGS.replace("[[rung]]", "[[step]]"))
    (tmp_path / "new.toml").write_text(RUNGS)
    with pytest.warns(NetletDeprecationWarning, match=r"\[\[step\]\] is now called \[\[rung\]\]"):
        old = records.load_ladder(tmp_path / "old.toml")
    assert old.rungs == records.load_ladder(tmp_path / "new.toml").rungs


def test_old_recipe_fields_in_a_ladder_still_work_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text(RUNGS.replace("batch_size = 50", "batch = 50"))
    rung = records.load_ladder(tmp_path / "old.toml").rungs[0]
    with pytest.warns(NetletDeprecationWarning, match="'batch' is now called 'batch_size'"):
        assert build_experiment(rung).recipe.batch_size == 50


def test_an_unknown_ladder_names_those_there_are() -> None:
    with pytest.raises(LadderError, match=r"no ladder 'document_04'; did you mean 'document_004'"):
        find_ladder("document_04")
    with pytest.raises(LadderError, match=r"nowhere.toml: no such file"):
        find_ladder("nowhere.toml")


def test_a_ladder_that_was_not_climbed_has_no_page(netlet: Netlet, tmp_path: Path) -> None:
    (tmp_path / "ladder.toml").write_text(RUNGS)
    code, _, err = netlet("report", ".", "-o", "r.md")
    assert code == 2
    assert "not trained yet: light, norms; run 'netlet climb LADDER --out .' again" in err


@pytest.mark.parametrize("name", LADDERS)
def test_every_rung_of_our_ladders_can_be_run(name: str) -> None:
    ladder = find_ladder(name)
    experiments = [build_experiment(rung) for rung in ladder.rungs]
    assert len({json.dumps([e.net.name, str(e.recipe)]) for e in experiments}) == len(
        experiments
    ), "two rungs are alike"
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


def test_ladder_errors_are_netlet_errors() -> None:
    assert issubclass(LadderError, NetletError)
