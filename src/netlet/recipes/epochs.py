"""The epochs of a recipe, from its fields as records have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlet.text import count_noun


def count_epochs(recipe: Mapping[str, Any]) -> int:
    """Return all epochs of a recipe, with those of random starts.

    Args:
        recipe: Fields of ``Recipe``; what is missing has its default.
    """
    starts, epochs = recipe.get("random_starts", 1), recipe["epochs"]
    each = (recipe.get("random_start_epochs", 0) or epochs) if starts > 1 else 0
    return int(epochs + starts * each)


def describe_epochs(recipe: Mapping[str, Any]) -> str:
    """Return the epochs of a recipe in words, such as ``15 epochs``.

    Args:
        recipe: Fields of ``Recipe``; what is missing has its default.
    """
    starts, text = recipe.get("random_starts", 1), count_noun(recipe["epochs"], "epoch")
    if starts == 1:
        return text
    each = count_noun(recipe.get("random_start_epochs", 0) or recipe["epochs"], "epoch")
    return f"{text} after {starts:,} random starts of {each} each"
