"""Say what normalization would have been better for weights from a file, which do not tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlet.cli.progress import show_progress
from netlet.cli.results import say

if TYPE_CHECKING:
    from netlet.budgets import Score
    from netlet.data import Split
    from netlet.experiments import TrainedNet


def suggest_normalization(
    trained: TrainedNet, split: Split, classes: int, score: Score | None = None
) -> None:
    """Say which mean and std to give if a poor score comes from those that were assumed.

    Args:
        trained: The net; nothing is tried unless its weights are from a file and nobody said how
            images are normalized for them.
        split: Images to score it on.
        classes: The number of classes.
        score: Its score on these, if it is known already.
    """
    from netlet.evaluation import evaluate, find_better_normalization

    if not trained.assumed:
        return
    with show_progress("trying other normalizations") as bar:
        if score is None:
            score = evaluate(trained.net, split, trained.recipe, classes, bar).score
        found = find_better_normalization(trained.net, split, trained.recipe, classes, score, bar)
    if found is not None:
        recipe, better = found
        say(
            f"netlet: warning: accuracy {score.percent:.2f}% with {trained.normalization}, but "
            f"{better.percent:.2f}% with --mean {recipe.mean:g} --std {recipe.std:g}; pass both "
            "options, since the weights were probably trained with these"
        )
