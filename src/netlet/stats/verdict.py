"""A study held against its budget: what its seeds reach on average, all of them taken together."""

from __future__ import annotations

from fractions import Fraction

from netlet import budgets
from netlet.budgets import Budget, ModelCost, Outcome, Score, Verdict
from netlet.records.study import Study


def pooled_scores(study: Study) -> list[Score]:
    """The held-out score of each epoch, all seeds counted into one."""
    total = study.total * len(study.seeds)
    by_epoch = zip(*(seed.correct_by_epoch for seed in study.seeds), strict=True)
    return [Score(study.split, sum(correct), total) for correct in by_epoch]


def study_verdict(study: Study, budget: Budget | None = None) -> Verdict | None:
    """The verdict on the mean of the seeds: last epoch, and the last few where the budget asks for them.

    Args:
        study: Of any number of seeds.
        budget: The study's own if not given.

    Returns:
        The verdict; None where there is no budget.
    """
    if budget is None:
        if study.budget is None:
            return None
        budget = budgets.budget_from_json(study.budget)
    return budget.judge(ModelCost(**study.cost), Outcome(pooled_scores(study), study.data["name"]))


def count_passing_seeds(study: Study) -> int | None:
    """How many seeds keep the budget, each by itself; None without one."""
    return None if study.budget is None else sum(seed.verdict == "PASS" for seed in study.seeds)


def target_percent(study: Study) -> float | None:
    """The accuracy that the study's budget asks for; None if it asks for none, or for that of another data set."""
    budget = _budget_with_bar(study)
    return None if budget is None or budget.bar is None else float(100 * budget.bar)


def reaches_target(study: Study) -> bool | None:
    """Whether the mean of the last epoch keeps the bar, its strictness included; None where there is none.

    On whichever split: what a budget says of ``val`` is for :func:`judge`.
    """
    budget = _budget_with_bar(study)
    if budget is None or budget.bar is None:
        return None
    last = pooled_scores(study)[-1]
    found = Fraction(last.correct, last.total)
    return found > budget.bar if budget.accuracy_above is not None else found >= budget.bar


def _budget_with_bar(study: Study) -> Budget | None:
    budget = budgets.budget_from_json(study.budget) if study.budget else None
    return budget if budget is not None and budget.dataset in (None, study.data["name"]) else None
