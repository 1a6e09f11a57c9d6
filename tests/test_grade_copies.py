"""Submissions with the same weights or the same predictions are named for the teacher, only there."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from class_of_students import RIGHT, WRITTEN_OUT, grade, spot_data, spot_weights, submit
from helpers import Netlet
from safetensors.torch import load_file, save

from netlet.budgets import Budget, Score
from netlet.classroom import Grade, GradingSettings, grade_files
from netlet.classroom.copies import digest_predictions, digest_weights, find_copies
from netlet.classroom.examine import Examination
from netlet.classroom.journal import append_grade
from netlet.classroom.student_page import student_page
from netlet.evaluation import Evaluation, score_logits
from netlet.nets.shipped_weights import find_shipped_weights
from netlet.recipes import QUICK


def grade_of(name: str, weights: str = "", predictions: str = "") -> Grade:
    return Grade(
        name=name,
        state="PASS",
        points=10,
        max_points=10,
        score=Score("test", 193, 200),
        weights_digest=weights,
        predictions_digest=predictions,
    )


CLASS = [
    grade_of("ann", "w1", "p1"),
    grade_of("bob", "w2", "p1"),
    grade_of("cy", "w1", "p1"),
    grade_of("dan", "w3", "p2"),
    grade_of("eve", "w3", "p2"),
    grade_of("flo"),
    grade_of("gus"),
]


def test_weights_that_come_with_netlet_are_named() -> None:
    path = find_shipped_weights("speck")
    assert path
    state = {f"mine.{n}": tensor for n, tensor in enumerate(load_file(path).values())}
    found = find_copies([grade_of("ann", digest_weights(state)), grade_of("bob", "w2")])
    assert found.weights == (("ann", "netlet's speck"),)
    assert found.describe_one("ann") == "same weights as netlet's speck"


def predict(answers: torch.Tensor) -> Evaluation:
    return score_logits(9 * torch.eye(10)[answers], spot_data().held_out, 10)


def test_weights_are_the_same_whatever_the_layers_are_called() -> None:
    weights = spot_weights()
    same = digest_weights(weights)
    assert digest_weights(spot_weights("part.")) == same
    assert digest_weights(dict(reversed(weights.items()))) == same
    assert digest_weights({**weights, "empty": torch.zeros(0)}) == same
    bias = torch.zeros(10)
    for other in (
        {"1.bias": torch.nextafter(bias, bias + 1)},
        {"1.bias": bias.half()},
        {"1.bias": bias.view(2, 5)},
        {"steps": torch.tensor(1)},
    ):
        assert digest_weights({**weights, **other}) != same
    assert digest_weights({}) == ""


def test_predictions_that_agree_by_chance_are_not_compared() -> None:
    labels = spot_data().held_out.labels
    one, two, three = labels.clone(), labels.clone(), labels.clone()
    one[3], two[3], three[4] = 7, 7, 7
    digests = [digest_predictions(predict(answers), "images") for answers in (one, two, three)]
    assert digests[0] == digests[1] != digests[2]
    assert digest_predictions(predict(one), "other images") not in digests
    assert digest_predictions(predict(labels), "images") == ""  # all are right
    assert digest_predictions(predict(torch.zeros_like(labels)), "images") == ""


def test_those_who_are_alike_are_named_in_the_summary_and_in_both_tables() -> None:
    found = find_copies(CLASS)
    assert found.describe(CLASS) == [
        "ann, cy: same weights",
        "dan, eve: same weights",
        "ann, bob, cy: same predictions, with 7 mistakes",
    ]
    rows = {
        row["submission"]: row["same_as"]
        for row in csv.DictReader(io.StringIO(grade_files.grades_to_csv(CLASS)))
    }
    assert rows == {
        "ann": "same weights as cy; same predictions as bob",
        "bob": "same predictions as ann, cy",
        "cy": "same weights as ann; same predictions as bob",
        "dan": "same weights as eve",
        "eve": "same weights as dan",
        "flo": "",
        "gus": "",
    }
    document = json.loads(grade_files.grades_to_json(CLASS))
    assert document["same_weights"] == [["ann", "cy"], ["dan", "eve"]]
    assert document["same_predictions"] == [["ann", "bob", "cy"], ["dan", "eve"]]


def test_a_line_names_only_some_of_a_whole_class_and_the_table_all() -> None:
    grades = [grade_of(f"s{number:02}", "w") for number in range(40)]
    (line,) = find_copies(grades).describe(grades)
    assert line.endswith("s08, s09 and 30 more: same weights")
    rows = [*csv.DictReader(io.StringIO(grade_files.grades_to_csv(grades)))]
    others = ", ".join(f"s{number:02}" for number in range(39))
    assert rows[39]["same_as"].startswith(f"same weights as {others}")
    assert "more" not in rows[39]["same_as"]


def test_what_a_student_gets_names_no_other_and_no_points_change() -> None:
    alone = grade_of("ann")
    assert (
        grade_files.to_gradescope(CLASS[0])["output"]
        == (grade_files.to_gradescope(alone)["output"])
    )
    split = spot_data().held_out
    pages = [student_page(Examination(one), split, figures=False) for one in (CLASS[0], alone)]
    assert pages[0].text == pages[1].text
    assert grade_files.explain_grade(CLASS[0]) == ""


def test_submitted_weights_are_compared_and_those_of_a_retraining_are_not(tmp_path: Path) -> None:
    budget = Budget(params_below=8_000, accuracy_at_least=95)
    weights = spot_weights()
    weights["1.weight"][3] = weights["1.weight"][4]  # which are mistaken for each other
    ann = submit(tmp_path / "1", m__py=RIGHT, w__safetensors=save(weights))
    renamed = {name.replace("1.", "part."): tensor for name, tensor in weights.items()}
    bob = submit(tmp_path / "2", m__py=WRITTEN_OUT, w__safetensors=save(renamed))
    settings = GradingSettings(budget=budget)
    first, second = grade(ann, settings), grade(bob, settings)
    assert first.weights_digest == second.weights_digest != ""
    assert first.predictions_digest == second.predictions_digest != ""
    assert first.points == second.points
    (ann / "w.safetensors").unlink()
    without = grade(ann, settings)
    assert (without.weights_digest, without.predictions_digest) == ("", "")
    recipe = QUICK.replace(epochs=1)
    trained = grade(bob, GradingSettings(budget=budget, retrain=recipe))
    assert trained.score is not None
    assert (trained.weights_digest, trained.predictions_digest) == ("", "")


def test_an_earlier_grade_in_the_folder_is_compared_too(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("netlet.cli.grade.load_dataset", lambda *_: spot_data())
    for one in CLASS[:2]:
        append_grade(Path("grades"), one)  # as a grading leaves them that was killed
    monkeypatch.setattr(
        "netlet.classroom.grade_submissions",
        lambda found, *_, on_grade, **__: [on_grade(Examination(CLASS[2]), False), CLASS[2]][1:],
    )
    Path("cy.py").write_text(RIGHT)
    command = ("grade", "cy.py", "--budget", "eight_k", "--trust")
    code, out, _ = netlet(*command)
    assert code == 0
    assert "ann, cy: same weights\nann, bob, cy: same predictions, with 7 mistakes\n" in out
    document = json.loads(Path("grades/grades.json").read_text())
    assert document["same_weights"] == [["ann", "cy"]]
    document = json.loads(netlet(*command, "--json")[1])
    assert document["same_weights"] == [["ann", "cy"]]
    assert "bob" not in Path("grades/cy/report.md").read_text()
