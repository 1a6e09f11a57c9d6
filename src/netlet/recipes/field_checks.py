"""Checks of the fields of recipes and warps, with messages that say what to give instead."""

from __future__ import annotations

import math
import re
from typing import Any

from netlet.errors import RecipeError

NORMALIZATION = ("mean", "std")  # fields that have one number for all channels
ONE_FOR_ALL = (
    "is not one number for all channels; normalize each channel inside the net, with buffers"
)


def has_several_numbers(value: object) -> bool:
    """Return whether a value is numbers for several channels, as in ``0.485,0.456,0.406``.

    Args:
        value: As a person has given it.
    """
    if isinstance(value, str):
        value = re.split(r"[,;\s]+", value.strip("()[] "))
    if not isinstance(value, list | tuple) or len(value) < 2:
        return False
    try:
        return all(math.isfinite(float(number)) for number in value)
    except (TypeError, ValueError):
        return False


def refuse_several_numbers(name: str, value: object) -> None:
    """Check that mean and std are not those of several channels.

    Raises:
        RecipeError: They are.
    """
    if name in NORMALIZATION and has_several_numbers(value):
        raise RecipeError(f"{name}={value!r} {ONE_FOR_ALL}, and give mean=0 and std=1")


def check_range(
    value: object,
    name: str,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
    integer: bool = False,
) -> None:
    """Check that a field is a number from ``low`` to ``high``.

    Args:
        value: The recipe or the warp.
        name: The field.
        low: The lowest number.
        high: The highest number, or ``math.inf``.
        open_low: Whether ``low`` itself is not allowed.
        open_high: Whether ``high`` itself is not allowed.
        integer: Whether the messages ask for a whole number.

    Raises:
        RecipeError: It is not.
    """
    number = getattr(value, name)
    refuse_several_numbers(name, number)
    if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
        asked = "whole number; give one like 5" if integer else "number; give one like 0.5"
        raise RecipeError(f"{name}={number!r} is not a {asked}")
    if (
        number < low
        or number > high
        or (open_low and number == low)
        or (open_high and number == high)
    ):
        numbers = "whole number" if integer else "number"
        least = f"{'above' if open_low else 'of at least'} {low:,.10g}"
        most = f" and {'below' if open_high else 'at most'} {high:,.10g}"
        bounds = least if high == math.inf else f"{least}{most}"
        if not (open_low or open_high or high == math.inf):
            bounds = f"from {low:,.10g} to {high:,.10g}"
        raise RecipeError(f"{name}={number!r} is out of range; give a {numbers} {bounds}")


def check_float(value: object, name: str, low: float, high: float, **bounds: bool) -> None:
    """Check a number, and store a whole one as a float: equal values have equal JSON."""
    check_range(value, name, low, high, **bounds)
    object.__setattr__(value, name, float(getattr(value, name)))


def check_integer(value: object, name: str, low: float, high: float) -> None:
    """Check that a field is a whole number from ``low`` to ``high``.

    Raises:
        RecipeError: It is not.
    """
    check_range(value, name, low, high, integer=True)
    if not isinstance(getattr(value, name), int):
        raise RecipeError(f"{name}={getattr(value, name)!r} is not a whole number; give one like 5")


def check_choice(value: object, name: str, choices: Any) -> None:
    """Check that a field is one of the values of a ``Literal``.

    Raises:
        RecipeError: It is not.
    """
    given = getattr(value, name)
    if given not in choices.__args__:
        raise RecipeError(
            f"{name}={given!r} is not known; choose one of {', '.join(choices.__args__)}"
        )


def check_text(value: object, name: str, example: str) -> None:
    """Check that a field is a text.

    Raises:
        RecipeError: It is not.
    """
    if not isinstance(getattr(value, name), str):
        raise RecipeError(
            f"{name}={getattr(value, name)!r} is not a text; give one like {example!r}"
        )
