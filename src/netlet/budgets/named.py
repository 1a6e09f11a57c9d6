"""General budgets by name.

The catalog adds the budgets that only one experiment uses.
"""

from __future__ import annotations

from netlet.budgets.budget import Budget

EIGHT_K = Budget(
    name="eight_k",
    about="what write-up 001 asks for; for nets of a few thousand parameters",
    dataset="mnist",
    params_below=8_000,
    epochs_at_most=15,
    accuracy_above=99.4,
)
TWENTY_K = Budget(
    name="twenty_k",
    about="what write-up 002 asks for; the default budget for nets without one of their own",
    dataset="mnist",
    params_below=20_000,
    epochs_below=20,
    accuracy_at_least=99.4,
)
DOCUMENT_000 = Budget(
    name="document_000",
    about="what write-up 000 asks for",
    dataset="mnist",
    params_below=20_000,
    epochs_at_most=20,
    accuracy_at_least=99.4,
)
DOCUMENT_003 = Budget(
    name="document_003",
    about="what write-up 003 asks for: global average pooling instead of a linear layer",
    dataset="mnist",
    params_below=20_000,
    epochs_below=20,
    accuracy_above=99.4,
    forbids=("Linear",),
)
DOCUMENT_004 = Budget(
    name="document_004",
    about="what write-up 004 asks for; its ladder of five nets ends here",
    dataset="mnist",
    params_below=8_000,
    epochs_below=15,
    accuracy_above=99.4,
)

GENERAL_BUDGETS = (EIGHT_K, TWENTY_K, DOCUMENT_000, DOCUMENT_003, DOCUMENT_004)
# Names of version 0.1 for two of these.
OLD_BUDGET_NAMES = {"document_001": "eight_k", "document_002": "twenty_k"}
