"""Budgets: what a net may cost and must reach, and the verdict on it; plain values, no torch."""

from netlet.budgets.budget import Budget, budget_from_json
from netlet.budgets.measures import (
    FIXED_WEIGHTS,
    HIDDEN,
    OF_WEIGHTS,
    ModelCost,
    Outcome,
    Score,
    cost_from_json,
    describe_teacher,
    wilson,
)
from netlet.budgets.named import (
    DOCUMENT_000,
    DOCUMENT_003,
    DOCUMENT_004,
    EIGHT_K,
    GENERAL_BUDGETS,
    OLD_BUDGET_NAMES,
    TWENTY_K,
)
from netlet.budgets.one_image import (
    FAILS_ALONE,
    ONE_IMAGE,
    describe_one_image,
    drops_the_batch,
    one_image_remedy,
)
from netlet.budgets.toml_file import (
    TEMPLATE,
    is_budget_file,
    load_budget,
    read_budget_table,
    to_toml,
)
from netlet.budgets.verdict import NotedVerdict, RuleResult, State, Verdict, is_about_accuracy

__all__ = [
    "DOCUMENT_000",
    "DOCUMENT_003",
    "DOCUMENT_004",
    "EIGHT_K",
    "FAILS_ALONE",
    "FIXED_WEIGHTS",
    "GENERAL_BUDGETS",
    "HIDDEN",
    "OF_WEIGHTS",
    "OLD_BUDGET_NAMES",
    "ONE_IMAGE",
    "TEMPLATE",
    "TWENTY_K",
    "Budget",
    "ModelCost",
    "NotedVerdict",
    "Outcome",
    "RuleResult",
    "Score",
    "State",
    "Verdict",
    "budget_from_json",
    "cost_from_json",
    "describe_one_image",
    "describe_teacher",
    "drops_the_batch",
    "is_about_accuracy",
    "is_budget_file",
    "load_budget",
    "one_image_remedy",
    "read_budget_table",
    "to_toml",
    "wilson",
]
