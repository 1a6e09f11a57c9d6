"""How values of the Python API look: a short ``repr``, HTML in notebooks, and plots.

A class that inherits from :class:`Displayed` or :class:`Plotted` says in ``_facts`` what its
``repr`` tells. HTML and plots need reports, statistics and images, which lie above the values: they
are in ``netlet.report``, which is imported by its name when the first value is shown.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from netlet.text import escape_controls, format_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_REPR = 500  # characters
_WIDTHS = (240, 120, 60, 30, 12)  # of one value, tried in this order until the whole is short
# The packages above all values. The only imports of netlet that point upward; see architecture.md.
_HTML, _PLOTS = "netlet.report.notebook", "netlet.report.plots"


class Displayed:
    """A base class of values: a short ``repr``, and HTML where a notebook asks for it."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep the dataclass decorator from adding a ``repr`` of all fields."""
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Displayed.__repr__  # type: ignore[method-assign]

    def _facts(self) -> Mapping[str, object]:
        """Return what the ``repr`` tells, by name; by default the fields without their defaults.

        The names are those of the constructor's arguments where the result can be evaluated.
        """
        if not dataclasses.is_dataclass(self):
            return {}
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.repr and not _is_default(field, getattr(self, field.name))
        }

    def __repr__(self) -> str:
        return short_repr(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        html: str = import_module(_HTML).to_html(self)
        return html


class Plotted(Displayed):
    """A base class of values that can be drawn."""

    def plot(self, what: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the value with matplotlib.

        Args:
            what: What to draw, if there is a choice; an error names what there is.
            ax: The axes to draw on; None: those of a new figure of pyplot, which a notebook shows.

        Returns:
            The axes, to be changed or saved (``ax.figure.savefig``).

        Raises:
            ReportError: matplotlib is not installed, or there is no such plot.
        """
        axes: Axes = import_module(_PLOTS).plot(self, what, ax)
        return axes


def short_repr(name: str, facts: Mapping[str, object]) -> str:
    """Return ``name(key=value, ...)`` in one line of at most 500 characters.

    Args:
        name: The name of the class.
        facts: What to tell; long values are shortened.
    """
    for width in _WIDTHS:
        parts = [f"{key}={shorten_repr(value, width)}" for key, value in facts.items()]
        if (text := f"{name}({', '.join(parts)})") and len(text) <= LONGEST_REPR:
            return text
    while len(text) > LONGEST_REPR and parts:
        parts.pop()
        text = f"{name}({', '.join([*parts, '...'])})"
    return text


def shorten_repr(value: object, width: int) -> str:
    """Return a value's ``repr`` in one line, or what it is if that is too long.

    Args:
        value: Any value; numbers of up to 30 characters are never shortened, and addresses never
            shown.
        width: The largest number of characters.
    """
    if isinstance(value, str):
        text = repr(value)
        return escape_controls(text if len(text) <= width else repr(f"{value[: width - 5]}..."))
    if isinstance(value, Mapping):
        pairs = (f"{shorten_repr(k, width)}: {shorten_repr(v, width)}" for k, v in value.items())
        return _join(pairs, len(value), "{}", width)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        items = (shorten_repr(item, width) for item in value)
        if type(value) is tuple and len(value) == 1:
            only = next(items)
            return f"({only},)" if len(only) < width else "<1 item>"
        brackets = "[]" if type(value) is list else "()"
        return _join(items, len(value), brackets, width)
    if hasattr(value, "shape") and hasattr(value, "dtype") and getattr(value, "ndim", None):
        return f"<{format_shape(value.shape)} {value.dtype}>"
    if isinstance(value, type) or callable(value):
        return escape_controls(f"<{getattr(value, '__name__', type(value).__name__)}>")
    text = escape_controls(repr(value))
    if len(text) <= max(width, 30) and not re.search(r"\\n| at 0x[0-9a-f]+", text):
        return text
    return f"<{type(value).__name__}>"


def _join(items: Iterable[str], count: int, brackets: str, width: int) -> str:
    """Return items in brackets, or only how many there are as soon as they are too long."""
    found, length = list[str](), len(brackets)
    for item in items:
        length += len(item) + (2 if found else 0)
        if length > width:
            return f"<{count} item{'s' * (count != 1)}>"
        found.append(item)
    return f"{brackets[0]}{', '.join(found)}{brackets[1]}"


def _is_default(field: dataclasses.Field[Any], value: object) -> bool:
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return type(default) is type(value) and bool(default == value)
