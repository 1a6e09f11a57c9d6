"""Compare an evaluation that a backend made with PyTorch's own, before it is recorded."""

from __future__ import annotations

from torch import nn

from netlet.data.split import Split
from netlet.errors import TrainingError
from netlet.evaluation.evaluate import Evaluation, compute_logits
from netlet.nets.outputs import center_logits
from netlet.recipes import Recipe

# Of the logits, relative to the largest; rounding in float32 alone stays below a hundredth of it.
_TOLERANCE = 1e-3


def check_agreement(
    evaluation: Evaluation, fast: nn.Module, net: nn.Module, split: Split, recipe: Recipe
) -> None:
    """Check an evaluation of the final net against PyTorch in eager mode.

    Args:
        evaluation: An evaluation made with ``fast``.
        fast: A function that computes the logits of ``net`` in another way.
        net: The net in eager mode.
        split: The split that was scored.
        recipe: The recipe, which has mean and std of the input.

    Raises:
        TrainingError: A prediction differs though its logits are not tied, or logits differ by more
            than rounding.
    """
    wanted, found = (center_logits(compute_logits(module, split, recipe)) for module in (net, fast))
    tolerance = _TOLERANCE * max(1.0, float(wanted.abs().max()))
    predicted = split.labels.clone()
    for mistake in evaluation.mistakes:
        predicted[mistake.image] = mistake.predicted
    chosen = wanted.gather(1, predicted[:, None])[:, 0]
    other = ~(wanted.max(1).values - chosen <= tolerance)
    difference = float((found - wanted).abs().max())
    if bool(other.any()) or not difference <= tolerance:
        correct = int((wanted.argmax(1) == split.labels).sum())
        raise TrainingError(
            f"the compiled backend scores {evaluation.score.correct:,} of {len(split):,} "
            f"{split.name} images, PyTorch {correct:,}; their logits differ by {difference:.2g} "
            f"(limit {tolerance:.2g}), so nothing is recorded; train again with NETLET_COMPILE=0"
        )
