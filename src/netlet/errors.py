"""Every exception that netlet raises on purpose, in one tree.

A message is one line that carries the name, the value and the remedy; the command line prints it as
it is.
"""

import difflib
import warnings
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean 'swift'? `` where a known name is close to one that is not, else nothing; case does not count."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[close[0]]!r}? " if close else ""


def install_hint(extra: str) -> str:
    """Return how to install an optional group of packages (netlet is not on the package index).

    Args:
        extra: A key of ``optional-dependencies`` in pyproject.toml: ``report``, ``export``,
            ``search``.
    """
    import importlib.metadata  # takes as long to import as everything else here
    import re
    import shlex

    try:
        needed = importlib.metadata.requires("netlet") or []
    except importlib.metadata.PackageNotFoundError:
        needed = []
    packages = [
        requirement.partition(";")[0].strip()
        for requirement in needed
        if re.search(rf"extra == ['\"]{extra}['\"]", requirement)
    ]
    in_checkout = f"run pip install '.[{extra}]' in a checkout of netlet"
    if not packages:
        return in_checkout
    return f"{in_checkout}, or pip install {' '.join(map(shlex.quote, packages))}"


class NetletError(Exception):
    """Something a person can mend; its text says how."""


class BudgetError(NetletError):
    """A budget that cannot be judged: an unknown name, a limit out of range, two that contradict each other."""


class RecipeError(NetletError):
    """A recipe that cannot be followed: an unknown field, a value out of range."""


class DataError(NetletError):
    """A data set that is missing, damaged or not what its name says."""


class MissingDataError(DataError):
    """A data set that is neither on this machine nor to be had from where it is published."""


class NetError(NetletError):
    """A net that cannot be found, built, run or given weights."""


class TrainingError(NetletError):
    """A training that cannot start or cannot go on."""


class RecordError(NetletError):
    """A record that is missing, damaged or of another kind."""


class LadderError(NetletError):
    """A ladder that is missing, lacks something or has not been climbed."""


class OutputError(NetletError):
    """A file that a command was asked for and that cannot be written."""


class ReportError(NetletError):
    """A report that cannot be drawn or written."""


class ExportError(NetletError):
    """A net that cannot be exported, or an export that is not equal to the net it came from."""


class NetletDeprecationWarning(DeprecationWarning):
    """A name of an earlier version that still works for now."""


def warn_of_but(kind: str) -> None:
    """Warn that ``but`` is called ``replace`` now.

    Args:
        kind: The class whose method it is.
    """
    warnings.warn(
        f"{kind}.but is now called {kind}.replace; the old name will stop working in version 0.3",
        NetletDeprecationWarning,
        stacklevel=3,
    )
