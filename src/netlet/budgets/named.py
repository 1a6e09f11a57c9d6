"""The budgets that netlet knows by name."""

from __future__ import annotations

from netlet.budgets.budget import Budget
from netlet.errors import BudgetError, did_you_mean

# One budget for each document, exactly as strict as its words.
DOCUMENT_000 = Budget(
    name="document_000",
    dataset="mnist",
    params_below=20_000,
    epochs_at_most=20,
    accuracy_at_least=99.4,
)
DOCUMENT_001 = Budget(
    name="document_001", dataset="mnist", params_below=8_000, epochs_at_most=15, accuracy_above=99.4
)
DOCUMENT_002 = Budget(
    name="document_002",
    dataset="mnist",
    params_below=20_000,
    epochs_below=20,
    accuracy_at_least=99.4,
)
DOCUMENT_003 = Budget(
    name="document_003",
    dataset="mnist",
    params_below=20_000,
    epochs_below=20,
    accuracy_above=99.4,
    forbids=("Linear",),
)
DOCUMENT_004 = Budget(
    name="document_004", dataset="mnist", params_below=8_000, epochs_below=15, accuracy_above=99.4
)

EIGHT_K = DOCUMENT_001.replace(name="eight_k")
TWENTY_K = DOCUMENT_002.replace(name="twenty_k")
NINETY_NINE = TWENTY_K.replace(name="ninety_nine", accuracy_at_least=99)

# What our nets for the frontier are held to, each as tight as the figure it is named for.
MNISTNET_2 = EIGHT_K.replace(name="mnistnet_2", accuracy_above=None, accuracy_at_least=99.55)
MNISTNET_3 = DOCUMENT_000.replace(name="mnistnet_3", params_below=3_701)
CREST = TWENTY_K.replace(name="crest", accuracy_at_least=99.62)
SPECK = DOCUMENT_000.replace(name="speck", params_below=1_901, accuracy_at_least=99)

BUDGETS = {
    budget.name: budget
    for budget in (
        DOCUMENT_000,
        DOCUMENT_001,
        DOCUMENT_002,
        DOCUMENT_003,
        DOCUMENT_004,
        EIGHT_K,
        TWENTY_K,
        NINETY_NINE,
        MNISTNET_2,
        MNISTNET_3,
        CREST,
        SPECK,
    )
}


def find_budget(name: str) -> Budget:
    """The budget of that name.

    Raises:
        BudgetError: There is none; the message lists those there are.
    """
    if name in BUDGETS:
        return BUDGETS[name]
    raise BudgetError(
        f"no budget {name!r}; {did_you_mean(name, BUDGETS)}there are: {', '.join(BUDGETS)}"
    )
