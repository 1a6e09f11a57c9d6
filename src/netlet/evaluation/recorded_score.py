"""Decide whether a score that is measured again can be that of the net that was trained."""

from __future__ import annotations

from netlet.budgets import Score

_MOST_IMAGES = 5  # that another processor or backend may classify otherwise


def is_of_another_net(recorded: Score, found: Score) -> bool:
    """Return whether two scores on the same images differ by more than rounding explains.

    Args:
        recorded: The score of a trained net, as its record has it.
        found: The score that a net with its weights has now.
    """
    return abs(found.correct - recorded.correct) > max(_MOST_IMAGES, found.total // 1_000)
