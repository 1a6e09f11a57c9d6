"""A submission is graded from its ``netlet.toml`` and its run's record where it claims nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import class_of_students
import pytest
from class_of_students import spot_data

from netlet import catalog
from netlet.budgets import Budget
from netlet.classroom import GradingSettings, Submission
from netlet.classroom.examine import Examiner
from netlet.classroom.own_files import fill_claim
from netlet.classroom.roster import NO_PROBLEMS, Claim
from netlet.classroom.submitted_files import copy_submission
from netlet.recipes import AUGMENTS, Warp
from netlet.records import Run, to_json_value

RECORD = (Path(__file__).parent / "fixtures" / "records" / "run_schema_1.json").read_text()
SETTINGS = 'net = "model.py:Net"\nbudget = "eight_k"\nrecipe = "quick"\n'


def write(folder: Path, **files: str) -> Path:
    """Write files, whose names have ``__`` for a slash and ``_`` for the dot, and a net."""
    for name, text in {"model_py": class_of_students.RIGHT, **files}.items():
        place, _, ending = name.rpartition("_")
        path = folder / f"{place.replace('__', '/')}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_net_recipe_and_epochs_come_from_netlet_toml(tmp_path: Path) -> None:
    write(tmp_path, netlet_toml=SETTINGS)
    claim, problems = fill_claim(Claim(), tmp_path, None)
    quick = catalog.find_recipe("quick")
    assert (claim.net, claim.recipe, claim.epochs) == ("model.py:Net", quick, quick.epochs)
    assert problems == NO_PROBLEMS
    changed = f"{SETTINGS}epochs = 2\n[settings]\npeak_lr = 0.02\naugment.rotate_deg = 9\n"
    write(tmp_path, netlet_toml=changed)
    recipe = fill_claim(Claim(), tmp_path, None)[0].recipe
    assert recipe is not None
    assert (recipe.epochs, recipe.peak_lr, recipe.augment[0].rotate_deg) == (2, 0.02, 9)
    assert recipe.augment[0].shift_px == quick.augment[0].shift_px
    write(tmp_path, netlet_toml='[settings]\naugment = "light"\n')
    recipe = fill_claim(Claim(), tmp_path, None)[0].recipe
    assert recipe is not None
    steady = catalog.find_recipe("steady").replace(augment=AUGMENTS["light"])
    assert recipe.replace(name="steady") == steady
    # As netlet train reads them: text is a number, and plain gets an augmentation.
    turned = 'recipe = "plain"\n[settings]\npeak_lr = "0.02"\naugment.rotate_deg = 5\n'
    write(tmp_path, netlet_toml=turned)
    recipe = fill_claim(Claim(), tmp_path, None)[0].recipe
    assert recipe is not None
    assert (recipe.peak_lr, recipe.augment) == (0.02, (Warp(rotate_deg=5),))


def test_a_claim_takes_precedence_over_own_files(tmp_path: Path) -> None:
    write(tmp_path, netlet_toml=SETTINGS)
    claimed = Claim(net="other.py:Net", epochs=9, mean=0, std=1)
    claim, _ = fill_claim(claimed, tmp_path, None)
    assert (claim.net, claim.epochs, claim.mean, claim.std) == ("other.py:Net", 9, 0, 1)
    write(tmp_path, netlet_toml=SETTINGS)
    with_recipe = Claim(recipe=catalog.find_recipe("plain"))
    assert fill_claim(with_recipe, tmp_path, None)[0].epochs is None  # not those of quick


def test_paths_in_netlet_toml_are_relative_to_its_folder(tmp_path: Path) -> None:
    write(tmp_path, hw__netlet_toml=SETTINGS, hw__model_py=class_of_students.RIGHT)
    assert fill_claim(Claim(), tmp_path, None)[0].net == "hw/model.py:Net"
    nets = ("../model.py:Net", "/etc/model.py:Net", "gone.py:Net", "swift", "8 P 8")
    for number, net in enumerate(nets):
        folder = write(tmp_path / f"{number}", netlet_toml=f"net = {json.dumps(net)}\n")
        (folder / "model.py").unlink()
        assert fill_claim(Claim(), folder, None) == (Claim(), NO_PROBLEMS)


def test_the_record_of_a_run_states_how_its_weights_were_trained(tmp_path: Path) -> None:
    run = Run.from_json(RECORD)
    files = {"runs__a__run_json": RECORD, "runs__a__weights_safetensors": "", "old_pth": ""}
    for weights in ("runs/a/weights.safetensors", None):
        write(tmp_path, netlet_toml=SETTINGS, **files)
        claim, problems = fill_claim(Claim(parameters=5), tmp_path, weights)
        assert problems == NO_PROBLEMS
        assert claim.recipe is not None
        assert to_json_value(claim.recipe) == run.recipe
        assert (claim.epochs, claim.parameters) == (len(run.epochs), 5)
        assert (claim.mean, claim.std) == (run.recipe["mean"], run.recipe["std"])
        assert claim.accuracy == run.last_epoch.score.percent
    write(tmp_path, **files)
    assert fill_claim(Claim(), tmp_path, "old.pth")[0].epochs is None  # those of other weights


def test_records_of_one_training_state_it_and_others_are_named(tmp_path: Path) -> None:
    """Without weights that are scored, as for a retraining, no record lies beside them."""
    run = Run.from_json(RECORD)
    other = dataclasses.replace(run, recipe=run.recipe | {"peak_lr": 0.5}).to_json()
    for second, epochs in ((RECORD, len(run.epochs)), (other, None)):
        write(tmp_path, a__run_json=RECORD, b__run_json=second)
        claim, problems = fill_claim(Claim(), tmp_path, None)
        assert claim.epochs == epochs
        assert (claim.recipe is None) == (epochs is None)
    assert problems.found == (
        "a/run.json, b/run.json: these records state different trainings; keep only one of them",
    )
    write(tmp_path, **{f"r{n}__run_json": RECORD for n in range(21)})
    claim, problems = fill_claim(Claim(), tmp_path, None)
    assert claim.epochs is None
    assert problems.found == ("it has 21 records of runs (run.json); keep only one of them",)


def test_the_accuracy_of_a_run_on_other_images_is_not_claimed(tmp_path: Path) -> None:
    run = Run.from_json(RECORD)
    weights = "r/weights.safetensors"
    for digest, accuracy in ((run.data["digest"], run.last_epoch.score.percent), ("e" * 64, None)):
        write(tmp_path, r__run_json=RECORD, r__weights_safetensors="")
        claim, problems = fill_claim(Claim(), tmp_path, weights, data_digest=digest)
        assert (claim.accuracy, claim.epochs) == (accuracy, len(run.epochs))
        assert problems.of_recipe == ""
    assert problems.found == (
        "r/run.json: its run is of other images (scribble); its accuracy is not compared",
    )


def test_a_run_that_began_with_given_weights_may_have_more_epochs(tmp_path: Path) -> None:
    run = dataclasses.replace(Run.from_json(RECORD), initial_weights_digest="a" * 64)
    write(tmp_path, r__run_json=run.to_json(), r__weights_safetensors="")
    claim, problems = fill_claim(Claim(), tmp_path, "r/weights.safetensors")
    assert (claim.epochs, problems.of_recipe) == (5, "")
    assert problems.found == (
        "r/run.json: its training did not begin with the weights of its seed, so there may be more epochs "
        "than 5",
    )


def test_code_cannot_read_these_files(tmp_path: Path) -> None:
    source = write(tmp_path / "ann", netlet_toml=SETTINGS, runs__a__run_json=RECORD)
    copied = tmp_path / "copy"
    copied.mkdir()
    copy_submission(Submission("ann", source), copied)
    assert {path.name for path in copied.rglob("*.*")} == {"model.py", "netlet.toml", "run.json"}
    fill_claim(Claim(), copied, None)
    assert {path.name for path in copied.rglob("*.*")} == {"model.py"}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("netlet_toml", "net = ", "netlet.toml: "),
        ("netlet_toml", 'recipe = "qick"', "did you mean 'quick'"),
        ("netlet_toml", "epochs = -1", "netlet.toml: epochs"),
        ("netlet_toml", "settings = 3", "netlet.toml: its recipe is not valid"),
        (
            "netlet_toml",
            '[settings]\naugment = "lite"',
            "netlet.toml: augment='lite' is unknown; did you mean 'light'?",
        ),
        ("netlet_toml", "recipe = [1]", "netlet.toml: its recipe is not valid"),
        ("runs__a__run_json", "{", "runs/a/run.json: "),
        ("runs__a__run_json", RECORD.replace('"schema": 1', '"schema": 99'), "found 99"),
    ],
)
def test_damaged_files_are_named_and_cost_nothing_else(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    write(tmp_path, **{name: text})
    claim, problems = fill_claim(Claim(), tmp_path, None)
    (found,) = problems.found
    assert problem in found
    assert problems.of_recipe == found
    assert str(tmp_path) not in found
    assert claim == Claim()


def test_grading_takes_recipe_and_normalization_from_own_files(tmp_path: Path) -> None:
    settings = GradingSettings(budget=Budget(epochs_at_most=15), retrain="claim")
    examiner = Examiner(settings, spot_data(), tmp_path)
    folder = write(tmp_path / "ann", netlet_toml=f"{SETTINGS}epochs = 2\n")
    case = examiner.prepare("ann", folder, Claim())
    assert case.recipe is not None
    assert (case.recipe.epochs, case.task.request["net"]) == (2, "model.py:Net")
    folder = write(tmp_path / "ben")
    assert "no recipe is claimed" in examiner.prepare("ben", folder, Claim()).unusable
    folder = write(tmp_path / "dan", netlet_toml='recipe = "qick"')
    assert "did you mean 'quick'" in examiner.prepare("dan", folder, Claim()).unusable
    run = json.loads(RECORD)
    run["recipe"] |= {"mean": 0.25, "std": 0.5}
    examiner = Examiner(GradingSettings(budget=Budget(epochs_at_most=15)), spot_data(), tmp_path)
    files = {"r__run_json": json.dumps(run), "r__weights_safetensors": ""}
    case = examiner.prepare("cat", write(tmp_path / "cat", **files), Claim())
    request = case.task.request
    assert (request["mean"], request["std"], case.claim.epochs) == (0.25, 0.5, len(run["epochs"]))
