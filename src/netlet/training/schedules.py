"""What changes from step to step: the learning rate and the strength of the augmentation."""

import math

from netlet.recipes import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step.

    Args:
        recipe: The recipe, which has schedule, peak and number of epochs.
        step: The step, counted from 0 over the whole training.
        steps_per_epoch: The number of optimizer steps in one epoch.

    Returns:
        * ``constant``: the peak.
        * ``step``: the peak times ``step_factor`` for every ``step_epochs`` completed epochs
          (write-up 001).
        * ``triangular``: a linear rise from ``start_lr`` to the peak at ``peak_at``, then a linear
          decay to ``end_lr``.
        * ``one_cycle``: the same with half cosines (Smith and Topin, arXiv:1708.07120), like
          ``torch.optim.lr_scheduler.OneCycleLR``.
        * ``cosine``: a half cosine from the peak to ``end_lr`` (Loshchilov and Hutter,
          arXiv:1608.03983).
    """
    last = max(1, recipe.epochs * steps_per_epoch - 1)
    match recipe.schedule:
        case "constant":
            share = 1.0
        case "step":
            share = recipe.step_factor ** (step // (steps_per_epoch * recipe.step_epochs))
        case "cosine":
            share = recipe.end_lr + (1 - recipe.end_lr) * _half_cosine(1 - step / last)
        case "triangular" | "one_cycle":
            peak = recipe.peak_at * last
            curve = _half_cosine if recipe.schedule == "one_cycle" else float
            if step < peak:
                share = recipe.start_lr + (1 - recipe.start_lr) * curve(step / peak)
            else:
                remaining = (last - step) / (last - peak) if last > peak else 1.0
                share = recipe.end_lr + (1 - recipe.end_lr) * curve(remaining)
    return recipe.peak_lr * share


def augmentation_strengths(recipe: Recipe, epoch: int, steps_per_epoch: int) -> list[float]:
    """Return the strength of the augmentation at each step of an epoch.

    Args:
        recipe: The recipe, which has the final strength and the part of the training over which it
            is reached.
        epoch: The epoch, counted from 1.
        steps_per_epoch: The number of optimizer steps in one epoch.

    Returns:
        Shares of the full strength, 0 to 1; none if all steps of the training have the full one.
    """
    if recipe.augment_end == 1:
        return []
    last = max(1, recipe.epochs * steps_per_epoch - 1)
    ramp = recipe.augment_ramp_share * last
    first = (epoch - 1) * steps_per_epoch
    return [
        1 - (1 - recipe.augment_end) * max(0.0, 1 - (last - step) / ramp)
        for step in range(first, first + steps_per_epoch)
    ]


def _half_cosine(share: float) -> float:
    return (1 - math.cos(math.pi * share)) / 2
