"""The verdict on a study: its mean over seeds checked against its budget."""

from __future__ import annotations

from fractions import Fraction

from netlet import budgets
from netlet.budgets import Budget, Outcome, Score, Verdict, cost_from_json
from netlet.records.study import Study


def pooled_scores(study: Study) -> list[Score]:
    """Return the held-out score of each epoch, summed over the seeds."""
    total = study.total * len(study.seeds)
    by_epoch = zip(*(seed.correct_by_epoch for seed in study.seeds), strict=True)
    return [Score(study.split, sum(correct), total) for correct in by_epoch]


def study_verdict(study: Study, budget: Budget | None = None) -> Verdict | None:
    """Check the mean of a study's seeds against a budget.

    The last epoch counts, and the epochs before it as far as the budget requires.

    Args:
        study: A study with any number of seeds.
        budget: The budget; default: the study's own.

    Returns:
        The verdict; None if there is no budget.
    """
    if budget is None:
        if study.budget is None:
            return None
        budget = budgets.budget_from_json(study.budget)
    return budget.judge(
        cost_from_json(study.cost),
        Outcome(pooled_scores(study), study.data["name"]),
        batch_size=study.recipe["batch_size"],
    )


def count_passing_seeds(study: Study) -> int | None:
    """Return how many seeds pass the budget, each by itself.

    Returns:
        The number; None without a budget, or if it judges no seed on the study's data set.
    """
    if study.budget is None or all(seed.verdict == "NOT JUDGED" for seed in study.seeds):
        return None
    return sum(seed.verdict == "PASS" for seed in study.seeds)


def target_percent(study: Study) -> float | None:
    """Return the accuracy that a study's budget requires, in percent.

    Returns:
        The target accuracy; None if the budget requires none, or requires it on another data set.
    """
    budget = _applicable_budget(study)
    return None if budget is None or budget.target is None else float(100 * budget.target)


def reaches_target(study: Study) -> bool | None:
    """Return whether the mean after the last epoch reaches the target accuracy, on any split.

    ``accuracy_above`` is strict, ``accuracy_at_least`` is not. :func:`study_verdict` applies the
    budget's rule about the split as well.

    Returns:
        Whether it does; None if there is no target.
    """
    budget = _applicable_budget(study)
    if budget is None or budget.target is None:
        return None
    last = pooled_scores(study)[-1]
    share = Fraction(last.correct, last.total)
    return share > budget.target if budget.accuracy_above is not None else share >= budget.target


def _applicable_budget(study: Study) -> Budget | None:
    """Return a study's budget if its accuracy rule is for the study's data set."""
    budget = budgets.budget_from_json(study.budget) if study.budget else None
    return budget if budget is not None and budget.dataset in (None, study.data["name"]) else None
