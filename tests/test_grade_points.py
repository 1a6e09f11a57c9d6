"""Points for single limits and rules of a budget: how they are given, shared and shown."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from class_of_students import RIGHT, grade, spot_data, spot_weights, submit, write_submission
from helpers import Netlet
from safetensors.torch import save

from netlet.budgets import Budget, ModelCost, RuleResult, load_budget
from netlet.budgets.class_file import ClassFile, read_class_file
from netlet.budgets.points import divide_points, share_points
from netlet.budgets.sentences import write_page
from netlet.classroom import GradingSettings, grade_files
from netlet.classroom.examine import Examination
from netlet.classroom.judging import JudgedRule, judge_rules
from netlet.classroom.points import count_points
from netlet.classroom.student_page import student_page
from netlet.errors import GradingError

COST = ModelCost(parameters=90, macs=1, weight_bytes=4, activation_bytes=4)
BUDGET = Budget(
    name="class",
    params_below=80,
    macs_below=9,
    accuracy_at_least=95,
    held_for_last=2,
    requires=("no bias",),
)
LIMITS = """
params_below = 80
macs_below = 9
accuracy_at_least = 95
held_for_last = 2
requires = ["no bias"]
"""


def judged(*states: str, limits: tuple[str, ...] = ()) -> list[JudgedRule]:
    names = limits or tuple(f"rule {number}" for number in range(len(states)))
    return [
        JudgedRule(name, RuleResult(name, "present", "1", "-", state))  # type: ignore[arg-type]
        for name, state in zip(names, states, strict=True)
    ]


@pytest.mark.parametrize(("rules", "points"), [(9, 20), (3, 100), (7, 1), (6, 100)])
def test_each_rule_is_worth_the_same_and_all_are_worth_all_points(rules: int, points: int) -> None:
    settings = GradingSettings(budget=BUDGET, points=points)
    total, each = count_points(judged(*["PASS"] * rules), settings)
    assert total == points
    assert round(sum(one.max_points for one in each), 6) == points
    assert all(abs(one.max_points - points / rules) <= 0.01 for one in each)
    assert all(one.points == one.max_points for one in each)
    total, each = count_points(judged("FAIL", "NOT YET", "UNKNOWN", "NOT JUDGED"), settings)
    assert (total, {one.points for one in each}) == (0, {0})


def test_limits_without_points_share_what_is_left_equally() -> None:
    points = share_points({"params_below": 30, "no bias": 10.5}, 100, BUDGET)
    assert points == {
        "params_below": 30,
        "no bias": Fraction("10.5"),
        "macs_below": Fraction("29.75"),
        "accuracy_at_least": Fraction("29.75"),
    }


@pytest.mark.parametrize(
    ("given", "worth"),
    [
        ({"params_below": 30, "accuracy_at_least": 50}, [30, 25, 25, 10, 10]),
        ({"params_below": 30, "accuracy_at_least": 40, "held_for_last": 10}, [30, 40, 10, 10, 10]),
        ({"params_below": 0, "macs_below": 0, "no bias": 0.5}, [0, 49.75, 49.75, 0, 0.5]),
    ],
)
def test_all_results_of_a_limit_share_its_points(
    given: dict[str, float], worth: list[float]
) -> None:
    settings = GradingSettings(budget=BUDGET, limit_points=given)
    rules = judge_rules(COST, BUDGET, [], "spots", complete=False)
    total, each = count_points(rules, settings)
    assert [one.max_points for one in each] == worth
    passed = [one.points for one in each if one.points]
    assert total == sum(passed)
    assert each[0].points == 0  # 90 parameters


def test_a_net_that_cannot_be_scored_loses_half_of_the_points_for_accuracy() -> None:
    settings = GradingSettings(budget=BUDGET, limit_points={"accuracy_at_least": 60})
    rules = judge_rules(
        dataclasses.replace(COST, one_image=(10,)), BUDGET, [], "spots", complete=False
    )
    assert [one.limit for one in rules][:2] == ["params_below", ""]
    _, each = count_points(rules, settings)
    assert [one.max_points for one in each][1:4] == [20, 20, 20]
    no_accuracy = Budget(params_below=80)
    settings = GradingSettings(budget=no_accuracy, limit_points={"params_below": 100})
    rules = judge_rules(
        dataclasses.replace(COST, one_image=(10,)), no_accuracy, [], "spots", complete=False
    )
    _, each = count_points(rules, settings)
    assert [one.max_points for one in each] == [100, 0]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_points_are_graded_as_they_were_published_in_any_order(
    netlet: Netlet, tmp_path: Path, order: tuple[int, ...]
) -> None:
    file = tmp_path / "class.toml"
    limits = 'params_below = 80\nmacs_below = 9\nrequires = ["no bias", "GAP"]\n'
    file.write_text(f'{limits}[grade.points]\ntotal = 20\n"no bias" = 10\n')
    published = {"params_below": 3.33, "macs_below": 3.34, "no bias": 10, "GAP": 3.33}
    page = netlet("budget", str(file))[1]
    for words, points in (("80 parameters", 3.33), ("9 MACs", 3.34), ("GAP", 3.33)):
        assert re.search(rf"{words}.* \({points} points\)", page)
    found, budget = read_class_file(file), load_budget(file)
    assert divide_points(found.limit_points or {}, 20, budget) == published
    settings = GradingSettings(budget=budget, points=20, limit_points=found.limit_points or {})
    limits_of_rows = [("params_below", "macs_below", "GAP")[place] for place in order]
    states = ["PASS" if limit != "GAP" else "FAIL" for limit in limits_of_rows]
    total, each = count_points(judged(*states, limits=tuple(limits_of_rows)), settings)
    assert [one.max_points for one in each] == [published[limit] for limit in limits_of_rows]
    assert total == 6.67


def test_an_accuracy_that_is_not_believed_earns_nothing() -> None:
    settings = GradingSettings(budget=BUDGET, limit_points={"accuracy_at_least": 60})
    rules = [
        JudgedRule("accuracy_at_least", RuleResult("accuracy, last epoch", "", "", "", "PASS")),
        *judged("PASS", limits=("params_below",)),
    ]
    assert count_points(rules, settings)[0] == 73.33
    total, each = count_points(rules, settings, trusted=False)
    assert (total, each[0].points, each[0].max_points) == (13.33, 0, 60)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            'accuracy = 3\n"no bias" = 4',
            "line 10: points for 'accuracy': the budget has no such limit or rule; did you mean "
            "'accuracy_at_least'? give points to 'params_below'",
        ),
        ("params_below = -1", "line 10: points for 'params_below' are -1; write a number from 0"),
        ("params_below = nan", "line 10: points for 'params_below' are nan; write a number from 0"),
        ('params_below = "3"', "line 10: points for 'params_below' are '3'; write a number like 1"),
        ("params_below = true", "points for 'params_below' are True; write a number like 10"),
        ("total = 1.5", "line 10: total is 1.5 in [grade.points]; write total = 100, for example"),
        ("total = 0", "line 10: total is 0 in [grade.points]; write total = 100, for example"),
        (
            "params_below = 3\naccuracy_at_least = 4",
            "[grade.points] of budget class: no points for 'macs_below', 'no bias'; give points to "
            "each, or write total = 100, for example, of which they share what is left",
        ),
        (
            "total = 20\nparams_below = 15\nmacs_below = 5",
            "points add up to 20 of 20 in all, which leaves none for 'accuracy_at_least', 'no bias'"
            "; raise the total, or give points to each",
        ),
        (
            "total = 20\nparams_below = 1\nmacs_below = 1\naccuracy_at_least = 1\n'no bias' = 1.5",
            "points add up to 4.5, not to 20 in all; leave the total out, or change points",
        ),
        (
            "params_below = 0\nmacs_below = 0\naccuracy_at_least = 0\n'no bias' = 0",
            "all points are 0; give points to a limit or a rule",
        ),
    ],
)
def test_points_that_do_not_fit_the_budget_are_refused_in_one_line(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("class.toml").write_text(f"{LIMITS}\n\n[grade.points]\n{table}\n")
    code, out, err = netlet("budget", "class.toml")
    assert (code, out) == (2, "")
    assert problem in err
    assert len(err.splitlines()) == 1


def test_points_as_a_number_and_as_a_table_are_refused_with_the_reason(
    netlet: Netlet, tmp_path: Path
) -> None:
    file = tmp_path / "class.toml"
    file.write_text(f"{LIMITS}\n[grade]\npoints = 20\n[grade.points]\nparams_below = 3\n")
    code, _, err = netlet("budget", str(file))
    assert code == 2
    assert "the table here has the name of a key above; keep one of them" in err


def test_points_of_the_file_are_read_shown_and_written(netlet: Netlet, tmp_path: Path) -> None:
    file = tmp_path / "class.toml"
    table = '[grade]\nseeds = 3\n[grade.points]\ntotal = 20\nparams_below = 2.5\n"no bias" = 4\n'
    file.write_text(f"{LIMITS}\n{table}")
    found, budget = read_class_file(file), load_budget(file)
    points = {"params_below": 2.5, "no bias": 4}
    assert found == ClassFile(seeds=3, points=20, limit_points=points)
    assert found.find_points(budget) == 20
    assert ClassFile(points=50).fill_from(found).find_points(budget) == 50
    code, out, _ = netlet("budget", str(file))
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert "- fewer than 80 parameters (2.5 points)" in out
    assert "- at least 95% accuracy (6.75 points)" in out
    assert "- accuracy held for the last 2 epochs\n" in out
    assert "- no bias (4 points)" in out
    assert ["points", "20"] in rows
    again = tmp_path / "again.toml"
    again.write_text(netlet("budget", str(file), "--toml")[1])
    assert read_class_file(again) == found
    document = json.loads(netlet("budget", str(file), "--json")[1])
    assert document["grade"] == {"seeds": 3, "points": {"total": 20, **points}}


def test_points_in_python_are_checked_with_the_settings() -> None:
    settings = GradingSettings(budget=BUDGET, points=20, limit_points={"params_below": 15})
    assert settings.limit_points == (("params_below", 15),)
    assert hash(settings)
    for points, problem in (
        ({"params_below": 20}, "leaves none for 'macs_below'"),
        ({"depth": 3}, "the budget has no such limit or rule"),
    ):
        with pytest.raises(GradingError, match=problem):
            GradingSettings(budget=BUDGET, points=20, limit_points=points)
    other = GradingSettings(budget=BUDGET, points=20)
    assert settings.to_dict() != other.to_dict()  # all are graded again


def test_the_points_of_each_rule_are_in_all_that_grading_writes(tmp_path: Path) -> None:
    budget = Budget(params_below=8_000, accuracy_at_least=95, forbids=("Linear",))
    points = {"params_below": 30, "accuracy_at_least": 50}
    folder = submit(tmp_path, m__py=RIGHT, w__safetensors=save(spot_weights()))
    found = grade(folder, GradingSettings(budget=budget, limit_points=points))
    assert (found.points, found.max_points) == (80, 100)
    page = student_page(Examination(found), spot_data().held_out, figures=False).text
    assert "| PASS | 30 of 30 |" in page
    assert "| FAIL | 0 of 20 |" in page
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([found])))
    titles = ("parameters rule, points", "accuracy, last epoch, points", "Linear layers, points")
    assert [row[title] for title in titles] == ["30", "50", "0"]
    tests = grade_files.to_gradescope(found)["tests"]
    assert [(test["score"], test["max_score"]) for test in tests] == [(30, 30), (50, 50), (0, 20)]
    (values,) = grade_files.grades_to_dict([found])["grades"]
    assert values["rule_points"][2] == {"points": 0, "max_points": 20}


def test_one_command_grades_by_the_points_of_the_file(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("netlet.cli.grade.load_dataset", lambda *_: spot_data())
    Path("class").mkdir()
    write_submission(Path("class"), "ann", {"claim.toml": "accuracy = "})
    Path("class.toml").write_text(f"{LIMITS}\n[grade.points]\nparams_below = 30\n")
    command = ("grade", "class", "--budget", "class.toml", "--trust")
    assert "no points for 'macs_below'" in netlet(*command)[2]
    code, out, _ = netlet(*command, "--points", "50")
    assert code == 1
    assert out.splitlines()[2].split() == ["ann", "ERROR", "0/50", "-", "-", "-", "-"]


def test_the_page_of_a_budget_shows_the_rule_on_a_single_image_with_what_pays_for_it() -> None:
    rule = "- one row of scores for each image, also for a single one: no x.squeeze()"
    assert rule not in write_page(Budget(params_below=100))
    budget = Budget(accuracy_above=99, params_below=100)
    assert write_page(budget).endswith(rule)
    page = " ".join(write_page(budget, {"accuracy_above": 7.5, "params_below": 3}).split())
    assert page.endswith(f"{rule} (shares the 7.5 points for accuracy)")


def test_the_page_of_a_budget_without_accuracy_says_nothing_of_accuracy() -> None:
    assert write_page(Budget(name="class", params_below=100)).splitlines()[:2] == ["class", ""]
    for budget in (Budget(accuracy_above=99), Budget(params_below=100, judged_on="val")):
        assert "Accuracy is judged after the last epoch" in write_page(budget)


def test_weights_outside_of_the_net_cost_no_more_than_the_points_of_the_parameters(
    tmp_path: Path,
) -> None:
    code = """
import torch
from torch import nn
HIDDEN = torch.ones(784, 784)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
    def forward(self, x):
        return self.out(x.flatten(1)) + 1e-9 * (x.flatten(1) @ HIDDEN)[:, :10]
"""
    folder = submit(tmp_path, m__py=code, w__safetensors=save(spot_weights("out.")))
    budget = Budget(params_below=8_000, accuracy_at_least=95)
    points = {"params_below": 12.0, "accuracy_at_least": 8.0}
    found = grade(folder, GradingSettings(budget=budget, points=20, limit_points=points))
    assert [(one.points, one.max_points) for one in found.rule_points] == [(0, 6), (0, 6), (8, 8)]
    assert found.parameters == 7_850 + 784**2
