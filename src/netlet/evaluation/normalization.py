"""How images are normalized for weights from a file, which do not say it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from netlet.budgets import Score
from netlet.data.split import Split
from netlet.evaluation.evaluate import evaluate
from netlet.recipes import Recipe

# Mean and standard deviation: gray levels 0..1 as they are, -1..1, and as MNIST is most often.
COMMON = ((0.0, 1.0), (0.5, 0.5), (0.1307, 0.3081))
GOOD_PERCENT = 98.0  # nothing else is tried for a net that reaches it
TRAINED_PERCENT = 50.0  # below it, a net is hardly trained, and its best score is chance


def find_better_normalization(
    net: nn.Module,
    split: Split,
    recipe: Recipe,
    classes: int,
    score: Score,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Recipe, Score] | None:
    """Return the normalization by which a net with a poor score does clearly better.

    Args:
        net: The net.
        split: The images that it was scored on.
        recipe: The recipe, which has the mean and std that it was scored with.
        classes: The number of classes ``K``.
        score: That score.
        on_progress: A function that is called as in :func:`evaluate`.

    Returns:
        A recipe with mean and std, and the score with these; None if the score is good, or no
        common normalization gives one of at least 50% whose 95% interval lies above.
    """
    if score.percent >= GOOD_PERCENT:
        return None
    others = [Recipe(mean=mean, std=std) for mean, std in COMMON]
    others = [other for other in others if (other.mean, other.std) != (recipe.mean, recipe.std)]
    found = [(evaluate(net, split, other, classes, on_progress).score, other) for other in others]
    best, better = max(found, key=lambda pair: pair[0].correct)
    clearly = best.interval()[0] > score.interval()[1] and best.percent >= TRAINED_PERCENT
    return (better, best) if clearly else None
