"""What the page calls the things to draw: digits, the characters of other classes, or pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netlet.data.scribble import BOX
from netlet.export.traced_model import TracedModel
from netlet.text import escape_controls

_DIGITS = frozenset("0123456789")
_MOST_NAMES = 12  # of classes in the instructions; the table of probabilities has all


@dataclass(frozen=True)
class PageWords:
    """The words of a page that depend on the classes and the input of its net."""

    title: str
    invitation: str
    found: str  # above the buttons of several things in one drawing
    samples: str
    sample_keys: str  # what the keys of samples do
    label: str  # of one of several things, at the beginning of a line
    many: str
    caption: str  # of the input

    def to_json(self) -> dict[str, Any]:
        """Return the words that the page's scripts use."""
        return {"label": self.label, "many": self.many, "caption": self.caption}


def words_of_page(model: TracedModel, *, whole: bool) -> PageWords:
    """Choose the words of a page.

    Args:
        model: The model.
        whole: Whether the net sees the whole drawing, and not a character in MNIST's frame.
    """
    name = model.metadata["net"]
    c, h, w = model.graph.shape
    size = f"The input of the net: {h} × {w}"
    framed = f"(longer side {BOX} pixels, centered by mass)."
    if not whole and set(model.labels) <= _DIGITS:
        return PageWords(
            title=f"{name}: draw a digit and watch the net",
            invitation="Draw one digit or several in a row, and watch the net classify them.",
            found="Digits found",
            samples="Sample digits",
            sample_keys="0 to 9 draw a sample digit",
            label="Digit",
            many="digits",
            caption=f"{size} gray levels, prepared like MNIST’s digits {framed}",
        )
    title = f"{name}: draw and watch the net"
    names, keys = _list_names(model.labels), "the key of a sample draws it"
    if not whole:
        return PageWords(
            title=title,
            invitation=f"Draw one of: {names}. Or draw several in a row, and watch the net "
            "classify them.",
            found="Characters found",
            samples="Samples",
            sample_keys=keys,
            label="Character",
            many="characters",
            caption=f"{size} gray levels, prepared like the images of MNIST {framed}",
        )
    pixels = "gray levels" if c == 1 else "pixels in red, green and blue"
    return PageWords(
        title=title,
        invitation=f"Draw one of: {names}. Or open a picture of one, and watch the net classify "
        "it.",
        found="Found",
        samples="Samples",
        sample_keys=keys,
        label="Picture",
        many="pictures",
        caption=f"{size} {pixels}, averaged from the whole drawing or the middle of the picture.",
    )


def _list_names(labels: tuple[str, ...]) -> str:
    shown = [" ".join(escape_controls(label).split()) for label in labels[:_MOST_NAMES]]
    more = len(labels) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
