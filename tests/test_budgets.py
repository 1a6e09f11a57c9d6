"""Accuracy is judged on integers, limits are as strict as the write-ups', failures say what costs most."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from netlet import budgets, catalog
from netlet.budgets import Budget, ModelCost, Outcome, Score, budget_from_json, load_budget
from netlet.errors import BudgetError, NetletDeprecationWarning
from netlet.records import to_json_value

SMALL = ModelCost(
    parameters=7_999,
    macs=1_000,
    weight_bytes=32_000,
    activation_bytes=5_000,
    kinds={"Conv2d": ["a", "b", "c"], "Linear": ["head"]},
)


def outcome(*correct: int, split: str = "test") -> Outcome:
    return Outcome([Score(split, c, 10_000) for c in correct])


def state(budget: Budget, result: Outcome | None = None, cost: ModelCost = SMALL) -> str:
    return budget.judge(cost, result).state


@pytest.mark.parametrize(
    ("correct", "at_least", "above"),
    [(9_939, "FAIL", "FAIL"), (9_940, "PASS", "FAIL"), (9_941, "PASS", "PASS")],
)
def test_integers_decide(correct: int, at_least: str, above: str) -> None:
    assert state(Budget(accuracy_at_least=99.4), outcome(correct)) == at_least
    assert state(Budget(accuracy_above=99.4), outcome(correct)) == above


@pytest.mark.parametrize("total", [1, 7, 500, 999, 9_999, 10_000, 59_999])
@pytest.mark.parametrize("percent", [1.1, 33.3, 98.6, 99.4, 99.99, 100.0])
def test_integers_decide_for_any_total(total: int, percent: float) -> None:
    tenths = round(percent * 100)
    for correct in {
        0,
        total,
        *(
            c
            for c in range(total * tenths // 10_000 - 2, total * tenths // 10_000 + 3)
            if 0 <= c <= total
        ),
    }:
        result = Outcome([Score("test", correct, total)])
        assert (state(Budget(accuracy_at_least=percent), result) == "PASS") == (
            correct * 10_000 >= tenths * total
        )
        if percent < 100:
            assert (state(Budget(accuracy_above=percent), result) == "PASS") == (
                correct * 10_000 > tenths * total
            )


def test_the_last_epoch_counts_and_not_the_best() -> None:
    assert state(Budget(accuracy_at_least=99.4), outcome(9_950, 9_960, 9_939)) == "FAIL"
    assert state(Budget(accuracy_at_least=99.4), outcome(9_000, 9_940)) == "PASS"


def test_held_for_the_last_epochs() -> None:
    budget = Budget(accuracy_at_least=99.4, held_for_last=3)
    assert state(budget, outcome(9_000, 9_940, 9_945, 9_941)) == "PASS"
    assert state(budget, outcome(9_950, 9_940, 9_939, 9_945)) == "FAIL"
    assert state(budget, outcome(9_950, 9_950)) == "FAIL"
    assert "only 2 epochs run" in str(budget.judge(SMALL, outcome(9_950, 9_950)))
    assert state(budget) == "NOT YET"


def test_each_of_the_last_epochs_has_a_message_of_its_own_or_that_of_the_accuracy() -> None:
    for messages, said in (
        ({"accuracy_at_least": "Train on."}, ["Train on.", "Train on."]),
        ({"held_for_last": "Lower the rate."}, ["", "Lower the rate."]),
        ({"accuracy_at_least": "a", "held_for_last": "b"}, ["a", "b"]),
    ):
        budget = Budget(accuracy_at_least=99.4, held_for_last=2, messages=messages)
        results = budget.judge(SMALL, outcome(9_000, 9_100)).results
        assert [one.message for one in results] == said


def test_the_results_of_a_verdict_are_known_by_their_limit() -> None:
    budget = Budget(
        params_below=10_000,
        epochs_below=3,
        batch_size=100,
        accuracy_above=99,
        held_for_last=2,
        weight_bytes_below=40_000,
        forbids=("Dropout", "BatchNorm"),
        requires=("Conv2d", "Linear"),
    )
    cost = dataclasses.replace(SMALL, one_image=(10,))
    found = outcome(9_900, 9_950)
    groups = budget.judge_by_limit(cost, found, batch_size=100)
    results = tuple(one for _, group in groups for one in group)
    assert results == budget.judge(cost, found, batch_size=100).results
    assert [key for key, _ in groups if key] == [
        *("params_below", "epochs_below", "batch_size", "accuracy_above", "held_for_last"),
        *("weight_bytes_below", "Dropout", "BatchNorm", "Conv2d", "Linear"),
    ]
    assert sorted(key for key, _ in groups if key) == sorted(budget.limit_keys())
    ((one_image,),) = (group for key, group in groups if not key)
    assert one_image.rule == "output for one image"


def test_limits_are_as_strict_as_they_say() -> None:
    assert state(Budget(params_below=8_000)) == "PASS"
    assert state(Budget(params_below=7_999)) == "FAIL"
    assert state(Budget(macs_below=1_000)) == "FAIL"
    assert state(Budget(weight_bytes_below=32_001)) == "PASS"
    assert state(Budget(activation_bytes_below=5_000)) == "FAIL"
    for result, at_most, below in (
        (outcome(*[1] * 15), "PASS", "FAIL"),
        (outcome(*[1] * 14), "PASS", "PASS"),
        (outcome(*[1] * 16), "FAIL", "FAIL"),
    ):
        assert state(Budget(epochs_at_most=15), result) == at_most
        assert state(Budget(epochs_below=15), result) == below


def test_planned_epochs_are_judged_before_training() -> None:
    planned = ModelCost(parameters=1, macs=1, weight_bytes=4, activation_bytes=4, epochs=20)
    assert state(Budget(epochs_at_most=20), cost=planned) == "PASS"
    assert state(Budget(epochs_below=20), cost=planned) == "FAIL"
    assert state(Budget(epochs_below=20)) == "NOT YET"


def test_a_batch_size_is_exact_and_judged_by_the_recipe() -> None:
    budget = Budget(batch_size=128, messages={"batch_size": "See lecture 5."})
    for found, expected in ((128, "PASS"), (64, "FAIL"), (256, "FAIL"), (None, "NOT YET")):
        for result in (None, outcome(1)):
            (rule,) = budget.judge(SMALL, result, batch_size=found).results
            assert (rule.rule, rule.limit, rule.state) == ("batch size", "exactly 128", expected)
    (rule,) = budget.judge(SMALL, batch_size=64).results
    assert (rule.found, rule.message) == ("64", "See lecture 5.")
    assert "train with --set batch_size=128" in str(budget.judge(SMALL, batch_size=64))
    assert budget_from_json(budget.to_dict()) == budget
    assert "batch_size" not in Budget(params_below=3).to_dict()
    for wrong in (0, 1.5, "128", True):
        with pytest.raises(BudgetError, match=r"batch_size=.+; give"):
            Budget(batch_size=wrong)  # type: ignore[arg-type]


def test_kinds() -> None:
    assert state(Budget(forbids=("Linear",))) == "FAIL"
    assert state(Budget(forbids=("linear",))) == "FAIL"
    assert state(Budget(forbids=("Dropout",))) == "PASS"
    assert state(Budget(requires=("Conv2d",))) == "PASS"
    assert state(Budget(requires=("BatchNorm2d",))) == "FAIL"


def test_a_failure_says_what_the_budget_is_spent_on() -> None:
    cost = ModelCost(
        parameters=300,
        macs=9,
        weight_bytes=1,
        activation_bytes=1,
        spending={
            "parameters": [("head (Linear)", 200), ("stem (Conv2d)", 90), ("a", 6), ("b", 4)]
        },
    )
    verdict = Budget(params_below=300).judge(cost)
    assert verdict.results[0].margin == "-1"
    assert str(verdict).endswith(
        "\nmost parameters: layer head (Linear) 200; layer stem (Conv2d) 90; layer a 6"
    )
    assert "most parameters" not in str(Budget(params_below=301).judge(cost))


def test_margins_and_what_was_found() -> None:
    verdict = budgets.EIGHT_K.judge(SMALL, outcome(9_951))
    rows = {
        rule_result.rule: (
            rule_result.limit,
            rule_result.found,
            rule_result.margin,
            rule_result.state,
        )
        for rule_result in verdict.results
    }
    assert rows == {
        "parameters": ("below 8,000", "7,999", "0", "PASS"),
        "epochs": ("at most 15", "1", "+14", "PASS"),
        "accuracy, last epoch": (
            "above 99.4%",
            "9,951 of 10,000 test images (99.51%)",
            "+10 images",
            "PASS",
        ),
    }
    assert verdict.passed
    assert not verdict.failed


def test_unknown_is_neither_passed_nor_silent() -> None:
    verdict = Budget(macs_below=10).judge(
        ModelCost(parameters=1, macs=None, weight_bytes=1, activation_bytes=1)
    )
    assert verdict.state == "UNKNOWN"
    assert verdict.failed


def test_a_score_on_val_is_no_score_on_test() -> None:
    verdict = budgets.TWENTY_K.judge(SMALL, outcome(9_990, split="val"))
    assert verdict.state == "NOT YET"
    assert "val images" in str(verdict)
    assert "judged on test only" in str(verdict)


@pytest.mark.parametrize(
    ("name", "params", "correct", "epochs", "state_"),
    [
        ("document_000", 19_999, 9_940, 20, "PASS"),
        ("document_000", 20_000, 9_940, 20, "FAIL"),
        ("document_000", 19_999, 9_940, 21, "FAIL"),
        ("document_000", 19_999, 9_939, 20, "FAIL"),
        ("document_001", 7_999, 9_941, 15, "PASS"),
        ("document_001", 7_999, 9_940, 15, "FAIL"),
        ("document_001", 7_999, 9_941, 16, "FAIL"),
        ("document_001", 8_000, 9_941, 15, "FAIL"),
        ("document_002", 19_999, 9_940, 19, "PASS"),
        ("document_002", 19_999, 9_940, 20, "FAIL"),
        ("document_003", 19_999, 9_941, 19, "PASS"),
        ("document_003", 19_999, 9_940, 19, "FAIL"),
        ("document_003", 19_999, 9_941, 20, "FAIL"),
        ("document_004", 7_999, 9_941, 14, "PASS"),
        ("document_004", 7_999, 9_941, 15, "FAIL"),
        ("document_004", 7_999, 9_940, 14, "FAIL"),
    ],
)
def test_each_documents_strictness(
    name: str, params: int, correct: int, epochs: int, state_: str
) -> None:
    cost = ModelCost(
        parameters=params, macs=1, weight_bytes=1, activation_bytes=1, kinds={"Conv2d": ["a"]}
    )
    assert state(catalog.find_budget(name), outcome(*[correct] * epochs), cost) == state_


def test_document_003_forbids_linear() -> None:
    assert state(budgets.DOCUMENT_003, outcome(9_990)) == "FAIL"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"params_below": 0}, "params_below=0 is too small; give 1 or more"),
        ({"params_below": "9"}, "params_below='9' is not a whole number; give one like 8000"),
        ({"epochs_at_most": "9"}, "epochs_at_most='9' is not a whole number; give one like 15"),
        ({"epochs_at_most": 0}, "epochs_at_most=0 is too small; give 1 or more"),
        (
            {"accuracy_at_least": 994},
            "accuracy_at_least=994 is not a percentage; give a number from",
        ),
        (
            {"accuracy_at_least": 0.99},
            "accuracy_at_least=0.99 is below 1%; accuracies are in percent, write 99",
        ),
        ({"accuracy_above": 1}, "accuracy_above=1 is 1%; accuracies are in percent, write 100"),
        ({"accuracy_above": 100}, "accuracy_above=100 is impossible"),
        ({"epochs_at_most": 3, "epochs_below": 4}, "epochs_at_most and epochs_below are both set"),
        ({"accuracy_above": 3, "accuracy_at_least": 4}, "are both set; keep one"),
        ({"held_for_last": 3}, "held_for_last=3 needs an accuracy; add accuracy_at_least"),
        (
            {"forbids": ("Linear",), "requires": ("linear",)},
            "linear is both forbidden and required",
        ),
    ],
)
def test_invalid_budgets_are_refused(limits: dict[str, object], message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        Budget(name="mine").replace(**limits)


def test_two_budgets_of_version_0_1_are_found_by_their_old_names() -> None:
    assert catalog.find_budget("document_001") is budgets.EIGHT_K
    assert catalog.find_budget("document_002") is budgets.TWENTY_K


def test_every_budget_says_what_it_is_for_and_records_do_not() -> None:
    for budget in catalog.BUDGETS.values():
        assert budget.about
        assert len(budget.about.splitlines()) == 1
        assert "about" not in to_json_value(budget)
        assert budget_from_json(to_json_value(budget)) == budget
        assert not budget.replace(params_below=3).about
    assert len(set(catalog.BUDGETS.values())) == len(catalog.BUDGETS)


def test_but_still_works_with_a_warning() -> None:
    with pytest.warns(NetletDeprecationWarning, match=r"Budget.but is now called Budget.replace"):
        assert Budget().but(params_below=3) == Budget(params_below=3)


def test_names() -> None:
    with pytest.raises(BudgetError, match=r"no budget 'eihgt_k'; did you mean 'eight_k'\?"):
        catalog.find_budget("eihgt_k")
    with pytest.raises(
        BudgetError,
        match=r"a budget has no limit 'max_params'; the limits are: name, dataset",
    ):
        Budget().replace(max_params=3)


def test_accuracy_is_not_judged_on_another_data_set() -> None:
    budget = Budget(dataset="mnist", accuracy_at_least=99.4, params_below=8_000)
    assert budget.judge(SMALL, Outcome([Score("test", 9_950, 10_000)], "mnist")).state == "PASS"
    for split in ("test", "val", "test50k"):
        verdict = budget.judge(SMALL, Outcome([Score(split, 9_950, 10_000)], "scribble"))
        assert (verdict.state, verdict.withheld) == ("NOT JUDGED", "trained on scribble")
        assert str(verdict).startswith("budget: not judged: trained on scribble\n")
        assert (verdict.label, verdict.outcome) == ("budget", "not judged: trained on scribble")
        assert not verdict.passed
        assert not verdict.failed
    big = dataclasses.replace(SMALL, parameters=8_000)
    assert budget.judge(big, Outcome([Score("test", 9_950, 10_000)], "scribble")).state == "FAIL"
    free = Budget(accuracy_at_least=99.0)
    assert free.judge(SMALL, Outcome([Score("test50k", 49_600, 50_000)], "qmnist")).state == "PASS"
    assert free.judge(SMALL, Outcome([Score("val", 49_600, 50_000)], "qmnist")).state == "NOT YET"


def test_val_is_judged_if_the_budget_says_so_and_the_verdict_repeats_it() -> None:
    budget = Budget(accuracy_at_least=95, judged_on="val")
    for correct, expected in ((95, "PASS"), (94, "FAIL")):
        verdict = budget.judge(SMALL, Outcome([Score("val", correct, 100)], "pictures"))
        assert verdict.state == expected
        assert "val images" in str(verdict)
        assert "judged on val, not test" in str(verdict)
    on_test = budget.judge(SMALL, Outcome([Score("test", 96, 100)], "pictures"))
    assert on_test.state == "PASS"
    assert "judged on val" not in str(on_test)
    on_train = budget.judge(SMALL, Outcome([Score("train", 100, 100)], "pictures"))
    assert on_train.state == "NOT YET"
    with pytest.raises(BudgetError, match=r"judged_on='train' cannot be judged; give"):
        Budget(judged_on="train")  # type: ignore[arg-type]
    held = budget.replace(held_for_last=2)
    scores = [Score("val", 90, 100), Score("val", 99, 100)]
    assert held.judge(SMALL, Outcome(scores, "pictures")).state == "FAIL"


def test_equal_limits_have_equal_json(tmp_path: Path) -> None:
    """A study's folder tells experiments apart by a digest of it."""
    (tmp_path / "class.toml").write_text("accuracy_above = 99\n")
    for whole, other in (
        (Budget(accuracy_at_least=99), Budget(accuracy_at_least=99.0)),
        (load_budget(tmp_path / "class.toml"), Budget(name="class", accuracy_above=99.0)),
        (Budget().replace(accuracy_at_least=95), Budget(accuracy_at_least=95.0)),
        (
            budget_from_json({**Budget().to_dict(), "accuracy_above": 99}),
            Budget(accuracy_above=99.0),
        ),
    ):
        assert whole == other
        assert json.dumps(whole.to_dict()) == json.dumps(other.to_dict())
        assert repr(whole) == repr(other)
