"""Budgets: what a net may cost and must reach, and the verdict on it; plain values, no torch."""

from netlet.budgets.budget import Budget, budget_from_json
from netlet.budgets.measures import ModelCost, Outcome, Score, wilson
from netlet.budgets.named import (
    BUDGETS,
    CREST,
    DOCUMENT_000,
    DOCUMENT_001,
    DOCUMENT_002,
    DOCUMENT_003,
    DOCUMENT_004,
    EIGHT_K,
    MNISTNET_2,
    MNISTNET_3,
    NINETY_NINE,
    SPECK,
    TWENTY_K,
    find_budget,
)
from netlet.budgets.verdict import RuleResult, State, Verdict

__all__ = [
    "BUDGETS",
    "CREST",
    "DOCUMENT_000",
    "DOCUMENT_001",
    "DOCUMENT_002",
    "DOCUMENT_003",
    "DOCUMENT_004",
    "EIGHT_K",
    "MNISTNET_2",
    "MNISTNET_3",
    "NINETY_NINE",
    "SPECK",
    "TWENTY_K",
    "Budget",
    "ModelCost",
    "Outcome",
    "RuleResult",
    "Score",
    "State",
    "Verdict",
    "budget_from_json",
    "find_budget",
    "wilson",
]
