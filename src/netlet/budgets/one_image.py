"""The rule on a net's output for a single image: training needs one row of class scores."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from netlet.budgets.measures import ModelCost
from netlet.budgets.verdict import RuleResult
from netlet.text import format_shape

ONE_IMAGE = "output for one image"
FAILS_ALONE = (0,)  # in place of the shape: the net raises an exception


def drops_the_batch(shape: Sequence[int]) -> bool:
    """Return whether an output for one image is a row of scores without its batch dimension.

    Args:
        shape: The shape of the output, which is not ``1 K``.
    """
    return prod(shape) > 1 and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


def one_image_remedy(shape: Sequence[int]) -> str:
    """Return what makes a row of class scores of an output for one image.

    Args:
        shape: The shape of the output, which is not ``1 K``.
    """
    if tuple(shape) == FAILS_ALONE:
        return (
            "let forward run for a single image, too: look for squeeze() without a dimension, and "
            "for a fixed batch size, as in view(64, -1)"
        )
    if drops_the_batch(shape):
        return "squeeze() also removes the batch dimension of one image: use flatten(1)"
    if not shape:  # a mean over all dimensions, or a loss
        return (
            "return a row of scores for each image, as in x.mean((2, 3)): x.mean() averages the "
            "images and the classes, too"
        )
    if prod(shape) == 1:
        return "return the scores of all classes, not the predicted class"
    if len(shape) == 2:
        return (
            "average the map first, as in x.mean((2, 3)); view(-1, K) turns each of its positions "
            "into a row"
        )
    return (
        "average the map, as in x.mean((2, 3)); if forward returns several values, return the "
        "scores first"
    )


def check_one_image(cost: ModelCost, *, scored: bool) -> list[RuleResult]:
    """Return a rule that FAILs if a net returns no row of scores for a single image.

    Training and prediction refuse such a net. One that drops the batch, or raises an exception,
    fails whatever a budget asks for; one that returns maps, for instance, may do so for a
    purpose, unless it is scored.

    Args:
        cost: The cost of the net.
        scored: Whether the budget asks for an accuracy.
    """
    shape = cost.one_image
    if shape is None or not (scored or drops_the_batch(shape) or shape == FAILS_ALONE):
        return []
    if shape == FAILS_ALONE:
        remedy = one_image_remedy(shape)
        return [RuleResult(ONE_IMAGE, "exactly 1 row", "an error", "-", "FAIL", (), remedy)]
    rows = shape[0] if len(shape) == 2 and shape[1] > 1 else 0
    found = f"{rows} rows: {describe_one_image(shape)}"
    return [RuleResult(ONE_IMAGE, "exactly 1 row", found, "-", "FAIL", (), one_image_remedy(shape))]


def describe_one_image(shape: Sequence[int]) -> str:
    """Return an output for one image in words: its shape, and the right one if that is known.

    Args:
        shape: The shape of the output, which is not ``1 K``.
    """
    if tuple(shape) == FAILS_ALONE:
        return "nothing, but raises an exception"
    returned = format_shape(tuple(shape)) or "a number"
    expected = f" instead of {format_shape((1, prod(shape)))}" if drops_the_batch(shape) else ""
    return returned + expected
