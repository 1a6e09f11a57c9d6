"""Field names of version 0.1, which records have and callers may still use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netlet.errors import NetletDeprecationWarning, warn

_OLD_NAMES = {"optimiser": "optimizer", "batch": "batch_size", "step": "backend"}


def upgrade_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a recipe with the names of version 0.1 replaced by today's."""
    return {_OLD_NAMES.get(name, name): value for name, value in values.items()}


def warn_of_old_names(names: Iterable[str]) -> None:
    """Warn if one of some field names is from version 0.1, and say what it is called now."""
    for name in names:
        if name in _OLD_NAMES:
            warn(
                f"the recipe field {name!r} is now called {_OLD_NAMES[name]!r};"
                " the old name will stop working in 0.3",
                NetletDeprecationWarning,
            )
