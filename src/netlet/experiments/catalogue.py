"""The experiments that netlet knows by name.

``mnistnet_1`` is a net with our recipe, ``mnistnet_1.documented`` the same net with its document's.
"""

from __future__ import annotations

from netlet import budgets, nets, recipes
from netlet.budgets import Budget
from netlet.errors import NetError, did_you_mean
from netlet.experiments.experiment import Claim, Experiment
from netlet.nets import NETS, Builder, find_net, is_notation
from netlet.recipes import (
    DASH,
    FRONTIER,
    FRONTIER_19,
    FRONTIER_TINY,
    QUICK,
    SPRINT,
    SPRINT_8K,
    STEADY,
    STEADY_14,
    Recipe,
)


def _both(
    net: Builder, ours: Recipe, documented: Recipe, budget: Budget, claim: Claim, name: str = ""
) -> list[Experiment]:
    entry = NETS[net.__name__]
    first = Experiment(name=name or entry.name, net=entry, recipe=ours, budget=budget, claim=claim)
    second = Experiment(
        name=f"{first.name}.documented", net=entry, recipe=documented, budget=budget, claim=claim
    )
    return [first, second]


def _claim(
    document: str, parameters: int, correct: int | None = None, last: int | None = None
) -> Claim:
    return Claim(document=document, parameters=parameters, correct=correct, last_correct=last)


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(name="swift", net=NETS["swift"], recipe=QUICK, budget=budgets.TWENTY_K),
        Experiment(name="sprint", net=NETS["sprint"], recipe=SPRINT, budget=budgets.TWENTY_K),
        Experiment(name="sprint8k", net=NETS["sprint8k"], recipe=SPRINT_8K, budget=budgets.EIGHT_K),
        Experiment(name="dash", net=NETS["dash"], recipe=DASH, budget=budgets.NINETY_NINE),
        Experiment(
            name="summit", net=NETS["summit"], recipe=STEADY_14, budget=budgets.DOCUMENT_004
        ),
        Experiment(
            name="mnistnet_2", net=NETS["mnistnet_2"], recipe=FRONTIER, budget=budgets.MNISTNET_2
        ),
        Experiment(
            name="mnistnet_3",
            net=NETS["mnistnet_3"],
            recipe=FRONTIER_TINY,
            budget=budgets.MNISTNET_3,
        ),
        Experiment(name="crest", net=NETS["crest"], recipe=FRONTIER_19, budget=budgets.CREST),
        Experiment(name="speck", net=NETS["speck"], recipe=FRONTIER_TINY, budget=budgets.SPECK),
        *_both(
            nets.pyramid, STEADY, recipes.DOCUMENT_000, budgets.DOCUMENT_000, _claim("000", 18_530)
        ),
        *_both(
            nets.mnistnet_1,
            STEADY,
            recipes.DOCUMENT_001,
            budgets.DOCUMENT_001,
            _claim("001", 7_416, 9_944, 9_936),
        ),
        *_both(
            nets.expand_squeeze,
            STEADY,
            recipes.DOCUMENT_002,
            budgets.DOCUMENT_002,
            _claim("002", 18_666),
        ),
        *_both(
            nets.week4, STEADY, recipes.DOCUMENT_003, budgets.DOCUMENT_003, _claim("003", 19_642)
        ),
        *_both(
            nets.week4_conv,
            STEADY,
            recipes.DOCUMENT_003,
            budgets.DOCUMENT_003,
            _claim("003", 19_642),
        ),
        *_both(
            nets.code_1,
            STEADY_14,
            recipes.DOCUMENT_004,
            budgets.DOCUMENT_004,
            _claim("004", 119_392, 9_851),
        ),
        *_both(
            nets.code_2,
            STEADY_14,
            recipes.DOCUMENT_004,
            budgets.DOCUMENT_004,
            _claim("004", 4_990, 9_716),
        ),
        *_both(
            nets.code_3,
            STEADY_14,
            recipes.DOCUMENT_004,
            budgets.DOCUMENT_004,
            _claim("004", 5_150, 9_807),
        ),
        *_both(
            nets.code_4,
            STEADY_14,
            recipes.DOCUMENT_004,
            budgets.DOCUMENT_004,
            _claim("004", 7_904, 9_939),
        ),
        *_both(
            nets.code_4,
            STEADY_14,
            recipes.DOCUMENT_004_CODE_5,
            budgets.DOCUMENT_004,
            _claim("004", 7_904, 9_941),
            name="code_5",
        ),
    )
}

DEFAULT = "swift"


def find_experiment(name: str) -> Experiment:
    """What a person means by a name: an experiment, or else a net (ours or ``file.py:Name``) with our defaults.

    Raises:
        NetError: Neither is known by that name.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    if ":" not in name and name not in NETS and not is_notation(name):
        hint = did_you_mean(name, [*EXPERIMENTS, *NETS])
        raise NetError(
            f"no experiment or net {name!r}; {hint}'netlet list' shows ours, file.py:Name is somebody else's"
        )
    return Experiment(name=name, net=find_net(name), recipe=STEADY, budget=budgets.TWENTY_K)
