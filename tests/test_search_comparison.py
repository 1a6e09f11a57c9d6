"""Comparisons: arms that are run on the same seeds and folds, and dropped where they lose."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import Inline

from netlet.errors import NetletDeprecationWarning, NetletWarning, SearchError
from netlet.experiments.execution.net_files import NetFiles
from netlet.experiments.search.comparison import Arm, ArmRuns, Comparison
from netlet.experiments.search.contrasts import compare_arms
from netlet.experiments.search.fitting import Images
from netlet.experiments.search.repeat import repeat_trial
from netlet.experiments.search.run import _warn_of_other_code
from netlet.experiments.search.space_file import load_search
from netlet.experiments.search.trials import read_results
from netlet.recipes import AUGMENTS
from netlet.records import to_json_value
from netlet.report.search_plot import arms_figure
from tools.techniques import iterate_comparisons

ROOT = Path(__file__).parent.parent
FILE = """\
budget = { params_below = 900 }
recipe = "quick"
epochs = 1
folds = 3
runs = [2, 4]
drop_below = 20

[[arm]]
name = "plain"
net = "2k5s2 P 4"
set = { backend = "eager", batch_size = 20, augment = "none" }

[[arm]]
name = "wide"
shape = "1k5s2 P 2"
set = { backend = "eager", batch_size = 20, augment = "none" }

[[arm]]
name = "frozen"
net = "2k5s2 P 4"
recipe = "steady"
epochs = 2
set = { backend = "eager", peak_lr = 1e-9, augment.rotate_deg = 9 }
"""


def load(tmp_path: Path, text: str) -> Comparison:
    (tmp_path / "arms.toml").write_text(text)
    found = load_search(tmp_path / "arms.toml")
    assert isinstance(found, Comparison)
    return found


def test_old_names_of_settings_still_work_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(NetletDeprecationWarning, match="'optimiser' is now called 'optimizer'"):
        found = load(tmp_path, FILE.replace("peak_lr = 1e-9", 'peak_lr = 1e-9, optimiser = "soap"'))
    assert found.arms[2].changes["optimizer"] == "soap"
    space = (
        'budget = { params_below = 900 }\nrecipe = "quick"\nepochs = 1\nshapes = ["1 P 1"]\n'
        '[vary]\noptimiser = ["sgd", "soap"]\n'
    )
    (tmp_path / "space.toml").write_text(space)
    with pytest.warns(NetletDeprecationWarning):
        load_search(tmp_path / "space.toml")


def test_an_arm_changes_an_augmentation_as_a_space_does(tmp_path: Path) -> None:
    text = FILE.replace("augment.rotate_deg = 9", 'augment = { rotate_deg = 9, start = "full" }')
    changes = load(tmp_path, text).arms[2].changes
    (full,) = AUGMENTS["full"]
    assert changes["augment"] == [to_json_value(full) | {"rotate_deg": 9}]
    with pytest.raises(SearchError, match="augment='fool' is unknown"):
        load(tmp_path, text.replace('"full"', '"fool"'))


def make(*arms: str, **changes: Any) -> Comparison:
    """Return a comparison of arms with one net."""
    return Comparison(
        name="x",
        folds=6,
        arms=tuple(
            Arm(name=arm, net="2 P 4", recipe="quick", changes={}, epochs=5) for arm in arms
        ),
        baseline=arms[0],
        **changes,
    )


def end(runs: ArmRuns, correct: dict[str, list[int]], total: int = 10_000) -> list[tuple[str, int]]:
    """Run all proposals; return their arms and seeds. A negative score is a failed run."""
    proposed = []
    while proposal := runs.propose():
        trial = proposal.trial
        assert trial.arm is not None
        score = correct[trial.arm][trial.seed % len(correct[trial.arm])]
        line = {**trial.to_dict(), "state": "finished" if score >= 0 else "failed", "epochs": 5}
        line |= {"correct": score, "total": total, "nll": 1 - score / total, "parameters": 9}
        runs.tell(trial, line | {"data_digest": "d"})
        proposed.append((trial.arm, trial.seed))
    return proposed


def new_runs(comparison: Comparison, known: Any = ()) -> ArmRuns:
    runs = ArmRuns(comparison, Images(), "d", known)
    runs.left = 1_000
    return runs


def test_arms_are_run_on_the_same_seeds_and_folds() -> None:
    runs = new_runs(make("a", "b", runs=(7,)))
    folds = {}
    while proposal := runs.propose():
        folds.setdefault(proposal.trial.arm, []).append((proposal.trial.seed, proposal.trial.fold))
    assert folds == {arm: [(s, s % 6) for s in range(7)] for arm in "ab"}


def test_recorded_runs_of_other_code_count_with_a_warning() -> None:
    code = NetFiles("/x/mine.py:Net", "/x/mine.py", "now", "mine.py", {})
    comparison = make("a", "b")
    arms = (dataclasses.replace(comparison.arms[0], net="mine.py:Net"), comparison.arms[1])
    comparison = dataclasses.replace(comparison, arms=arms)
    lines: list[dict[str, Any]] = [
        {"arm": "a", "net": "there/mine.py:Net", "source_digest": "before"},
        {"arm": "a", "net": "mine.py:Net", "source_digest": "now"},
        {"arm": "b", "net": "2 P 4"},
    ]
    codes = {"mine.py:Net": code, "2 P 4": None}
    with pytest.warns(
        NetletWarning, match=r"^mine\.py:Net: the code has changed since 1 recorded trial, which"
    ) as seen:
        _warn_of_other_code(comparison, lines, codes)
    assert len(seen) == 1


def test_a_baseline_with_a_failed_run_goes_on_with_the_next_seed() -> None:
    runs = new_runs(make("a", "b", runs=(2, 4), drop_below=0.5))
    proposed = end(runs, {"a": [9_900, -1, 9_910, 9_920], "b": [9_890, 9_800, 9_890, -1]})
    assert [seed for arm, seed in proposed if arm == "a"] == [0, 1, 2, 3]
    assert [seed for arm, seed in proposed if arm == "b"] == [0, 1, 2, 3]
    assert sorted(runs.lines["a"]) == [0, 2, 3]
    assert runs.dropped == {"b": 3}  # since its last run failed, not by seed 1 alone


def test_arms_that_lose_are_dropped_after_six_runs_and_the_baseline_never() -> None:
    comparison = make("base", "good", "close", "bad")
    runs = new_runs(comparison)
    scores = {"base": [9_900], "good": [9_950], "close": [9_946], "bad": [9_945]}
    proposed = end(runs, scores)
    assert runs.dropped == {"bad": 6}  # 0.05 points behind the best; 0.04 are not more than 0.04
    counts = {arm: sum(name == arm for name, _ in proposed) for arm in scores}
    assert counts == {"base": 24, "good": 24, "close": 24, "bad": 6}
    results = {arm.name: arm for arm in compare_arms(comparison, runs)}
    assert results["base"].points is None
    assert results["good"].points is not None
    assert results["good"].points.mean == pytest.approx(0.5)
    assert (results["bad"].runs, results["bad"].dropped_after) == (6, 6)


def test_a_run_that_fails_drops_its_arm() -> None:
    runs = new_runs(make("a", "b", runs=(2, 4)))
    proposed = end(runs, {"a": [99], "b": [99, -1]}, 100)
    assert runs.dropped == {"b": 1}
    assert ("b", 2) not in proposed


def test_differences_are_paired_by_seed() -> None:
    comparison = make("a", "b", runs=(6,))
    runs = new_runs(comparison)
    base = [9_900, 9_800, 9_950, 9_700, 9_990, 9_850]  # folds of different difficulty
    end(runs, {"a": base, "b": [score + 3 + (n % 2) for n, score in enumerate(base)]})
    _, b = compare_arms(comparison, runs)
    assert b.points is not None
    assert b.nll_difference is not None
    assert b.points.mean == pytest.approx(0.035)
    assert b.points.half_width == pytest.approx(0.00575, rel=0.01)  # by hand: t(5) = 2.571
    assert b.points.is_significant
    assert b.nll_difference.mean == pytest.approx(-0.00035)
    assert b.sd_points is not None
    assert b.sd_points > 1


def test_recorded_runs_are_not_run_again_unless_the_arm_has_changed() -> None:
    comparison = make("a", "b", runs=(3,))
    lines: list[dict[str, Any]] = []
    runs = new_runs(comparison)
    end(runs, {"a": [99], "b": [98]}, 100)
    for arm in runs.lines.values():
        lines += [dict(line) for line in arm.values()]
    assert end(new_runs(comparison, lines), {}) == []
    lines[0]["changes"] = {"epochs": 5, "peak_lr": 0.1}
    del lines[1]
    again = new_runs(comparison, lines)
    assert end(again, {"a": [99], "b": [98]}, 100) == [("a", 0), ("a", 1)]
    assert len(again.known) == 4
    without_nll = {**lines[0], "changes": {"epochs": 5}, "nll": None}
    assert new_runs(comparison, [without_nll]).known == []
    renamed = {**lines[0], "changes": {"epochs": 5}, "dataset": "signs.npz"}  # the same images
    assert len(new_runs(comparison, [renamed]).known) == 1
    limited = new_runs(comparison)
    limited.left = 2
    assert len(end(limited, {"a": [99], "b": [98]}, 100)) == 2


@pytest.mark.parametrize(
    ("recorded", "named", "same"),
    [
        ("class/nets.py:Net", "/home/ada/class/nets.py:Net", True),
        ("/home/ada/class/nets.py:Net", "nets.py:Net", True),
        ("../class/nets.py:Net", "class/nets.py:Net", True),
        ("class/nets.py:Net", "class/nets.py:Other", False),
        ("class/nets.py:Net", "other/nets.py:Net", False),
        ("2 P 4", "2 P 5", False),
    ],
)
def test_runs_are_known_from_whichever_folder_the_file_of_their_net_is_named(
    recorded: str, named: str, same: bool
) -> None:
    comparison = make("a", runs=(2,))
    arm = dataclasses.replace(comparison.arms[0], net=recorded)
    runs = new_runs(dataclasses.replace(comparison, arms=(arm,)))
    end(runs, {"a": [99]}, 100)
    lines = [dict(line) for line in runs.lines["a"].values()]
    elsewhere = dataclasses.replace(arm, net=named)
    again = new_runs(dataclasses.replace(comparison, arms=(elsewhere,)), lines)
    assert len(again.known) == (2 if same else 0)


def test_a_comparison_of_a_file_is_trained_recorded_and_drawn(
    blobs_for_mnist: Path, tmp_path: Path
) -> None:
    from netlet.experiments.search.run import run_search

    comparison = load(tmp_path, FILE)
    assert [arm.epochs for arm in comparison.arms] == [1, 1, 2]
    file = tmp_path / "x.jsonl"
    result = run_search(comparison, file, None, 1, executor=Inline())
    lines = read_results(file)
    runs = {name: [one for one in lines if one["arm"] == name] for name in ("plain", "wide")}
    assert [one["seed"] for one in runs["plain"]] == [0, 1, 2, 3]
    assert [one["fold"] for one in runs["wide"]] == [0, 1, 2, 0]
    assert runs["wide"][0]["parameters"] > runs["plain"][0]["parameters"]
    plain, wide, frozen = result.arms
    assert (plain.runs, wide.runs, frozen.runs) == (4, 4, 2)
    assert frozen.dropped_after == 2
    assert frozen.percent < wide.percent - 20
    assert all(0 < line["nll"] < 3 for line in lines)
    assert len(arms_figure("x", result.arms).axes) == 2
    page = (ROOT / "docs" / "json.md").read_text().partition("## `netlet search`")[2]
    example = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert example["arms"][0].keys() == wide.to_dict().keys()
    assert example["arms"][0]["points"].keys() == wide.to_dict()["points"].keys()
    again = run_search(comparison, file, None, 1, executor=Inline())
    assert (again.lines, len(again.known)) == ((), len(lines))
    assert repeat_trial(file, len(lines)).identical


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("run = [2]", "runs = [2, 4]", "line 5: 'run' is not a key of a search; did you mean"),
        ("runs = [4, 2]", "runs = [2, 4]", "line 5: runs is [4, 2]; write ascending numbers"),
        ("drop_below = -1", "drop_below = 20", "line 6: drop_below is -1; write percentage points"),
        (
            'baseline = "plane"',
            "drop_below = 20",
            "line 6: baseline 'plane' is not an arm; did you me",
        ),
        ('name = "plain"', 'name = "wide"', "line 14: two arms are called 'plain'; give each its"),
        ('nam = "wide"', 'name = "wide"', "line 14: 'nam' is not a key of an arm; did you mean 'n"),
        (
            "peak_lr = 3",
            'name = "wide"',
            "line 14: 'peak_lr' is not a key of an arm; write set = {",
        ),
        ("", 'name = "wide"', "line 13: an arm has no name; add name"),
        ("", 'shape = "1k5s2 P 2"', "line 13: arm 'wide' has no net; add net or shape"),
        ('shape = "1 Q"', 'shape = "1k5s2 P 2"', "line 15: 'Q' in '1 Q' is not a layer"),
        ('recipe = "stedy"', 'recipe = "steady"', "line 21: no recipe 'stedy'; did you mean"),
        ("epochs = -2", "epochs = 2\n", "line 22: epochs is -2; write a whole number"),
        ("peak_lr = [1, 2]", "peak_lr = 1e-9", "line 23: peak_lr: an arm has one value; write one"),
        ("peak_rl = 1", "peak_lr = 1e-9", "line 23: a recipe has no setting 'peak_rl'; did you"),
    ],
)
def test_a_mistake_in_an_arm_is_named_with_its_line(
    tmp_path: Path, wrong: str, right: str, message: str
) -> None:
    assert FILE.count(right) == 1
    with pytest.raises(SearchError) as caught:
        load(tmp_path, FILE.replace(right, wrong + "\n" * right.count("\n")))
    assert str(caught.value).startswith(f"{tmp_path / 'arms.toml'}, {message}")


def test_an_arm_that_cannot_be_trained_as_it_says_is_named_before_any_run(
    tmp_path: Path, blobs_for_mnist: Path
) -> None:
    from netlet.experiments.search.run import run_search

    text = FILE.replace('set = { backend = "eager", peak', 'set = { train_as = "strided", peak')
    with pytest.raises(SearchError, match="arm 'frozen': train_as=strided is only for nets in one"):
        run_search(load(tmp_path, text), tmp_path / "trials.jsonl", None, 1, executor=Inline())
    assert not (tmp_path / "trials.jsonl").exists()


@pytest.mark.slow
def test_the_shapes_of_recorded_comparisons_are_widened_to_the_recorded_nets() -> None:
    checked = 0
    for path, comparison in iterate_comparisons():
        nets: dict[str, set[str]] = {}
        for line in read_results(path.with_suffix(".jsonl")):
            nets.setdefault(line["arm"], set()).add(line["net"])
        for arm in comparison.arms:
            if arm.shape and arm.name in nets:
                assert nets[arm.name] == {comparison.candidate(arm, Images()).net}, (path, arm.name)
                checked += 1
    assert checked > 100
