"""The look of all figures, and writing them as SVG, PDF or PNG.

Every figure has few sizes of text and colors that are told apart by people who are color-blind
(Okabe and Ito's palette), and that are legible on white and on black. In an SVG, text and axes
have ``currentColor``: that of the page around the figure, or of the file.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlet.errors import ReportError, install_hint, warn
from netlet.outputs import TEXT_MARK, write_output
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_SUFFIXES = (".pdf", ".png", ".svg")
BLUE, ORANGE, RED, GREEN, GRAY = "#0b7ec4", "#d98e00", "#d55e00", "#009e73", "#888888"
# Stands for the color of the page until an SVG is written; nearly black in a PDF or PNG.
INK = "#010203"
NARROW, WIDE = 4.6, 7.2  # inches: one column of a paper, the whole width
SMALL = 8.5  # points: text inside a plot
_NO_GLYPH = r"Glyph .* missing from"  # a warning of matplotlib
_DOTS_PER_INCH = 200  # of a PNG
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it takes the page's color and can be searched
    "svg.hashsalt": "netlet",  # the same figure gives the same file
    "pdf.fonttype": 42,  # TrueType, which journals ask for
    "text.parse_math": False,  # a class may be named $5
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    **{f"{axis}tick.labelsize": SMALL for axis in "xy"},
    **{f"{name}.color": INK for name in ("text", "xtick", "ytick")},
    **{f"axes.{name}color": INK for name in ("edge", "label", "title")},
}
# A file of its own follows the color scheme of the reader's system. The page that shows it may have
# other colors, as on GitHub or with a button for them, so it has a background of its own.
_STANDALONE = (
    f"<!-- {TEXT_MARK.decode()} -->\n"
    "<style>svg{color:#222;background:#fff}"
    "@media (prefers-color-scheme:dark){svg{color:#ddd;background:#16181b}}</style>"
)


@contextmanager
def use_style() -> Iterator[None]:
    """Let matplotlib draw in the style of this module, without warnings of its font.

    Raises:
        ReportError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ReportError(
            f"figures need matplotlib, which is not installed; {install_hint('report')}"
        ) from error
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # In an SVG, the reader's font draws the letters.
        warnings.filterwarnings("ignore", message=_NO_GLYPH)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, sizes in inches."""
    with use_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure  # no pyplot: no global state, no window system

        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)  # measures text
        return figure


def figure_to_svg(figure: Figure) -> str:
    """Return a figure as SVG within a page: it takes the color of the text around it."""
    with use_style():
        content = io.StringIO()
        metadata = {"Date": None, "Creator": None}
        figure.savefig(content, format="svg", transparent=True, metadata=metadata)
    # XML allows no control characters, not even escaped ones.
    svg = escape_controls(content.getvalue().replace(INK, "currentColor"), keep="\n\t")
    return svg[svg.index("<svg") :]


def add_background(svg: str) -> str:
    """Return the SVG of :func:`figure_to_svg` as a file of its own, with its own colors."""
    head = svg.index(">") + 1
    return svg[:head] + _STANDALONE + svg[head:]


def figure_to_bytes(figure: Figure, suffix: str) -> bytes:
    """Return the content of a file of a figure.

    Args:
        figure: The figure.
        suffix: ``.svg``, ``.pdf`` or ``.png``; the last two have a white background.
    """
    if suffix == ".svg":
        return add_background(figure_to_svg(figure)).encode()
    content = io.BytesIO()
    metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
    with use_style(), warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=_NO_GLYPH)
        figure.savefig(
            content, format=suffix[1:], facecolor="white", dpi=_DOTS_PER_INCH, metadata=metadata
        )
    if any(re.match(_NO_GLYPH, str(warning.message)) for warning in caught):
        warn(
            f"the font of the figures lacks a letter of a name, which {suffix} shows as a box; "
            "write .svg, which uses the reader's fonts"
        )
    return content.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as its file's suffix says.

    Raises:
        ReportError: The suffix is none of ``.svg``, ``.pdf`` and ``.png``.
        OutputError: The file cannot be written.
    """
    if path.suffix not in FIGURE_SUFFIXES:
        raise ReportError(
            f"{path}: cannot write a figure in this format; name a .pdf, .png or .svg file"
        )
    write_output(path, figure_to_bytes(figure, path.suffix))


def use_error_axis(axes: Axes, lowest: float, highest: float, axis: str = "y") -> None:
    """Make an axis logarithmic, with round numbers as ticks.

    Args:
        axes: The axes of the plot.
        lowest: The value at which the axis begins.
        highest: The value at which the axis ends.
        axis: ``x`` or ``y``.
    """
    digits: Sequence[float] = (1, 2, 3, 4, 5, 6, 8) if axis == "y" else (1, 2, 3, 5)
    ticks = [value for value in _round_values(digits) if lowest <= value <= highest]
    for digits in ((1, 2, 5), (1,)):
        if len(ticks) > 8:
            ticks = [value for value in _round_values(digits) if lowest <= value <= highest]
    for parts in (2, 5, 10):  # of a digit, where the values are close to each other
        if len(ticks) < 3:
            digits = [part / parts for part in range(parts, 10 * parts)]
            ticks = [value for value in _round_values(digits) if lowest <= value <= highest]
    axes.set(**{f"{axis}scale": "log", f"{axis}lim": (lowest, highest)})
    scale = axes.yaxis if axis == "y" else axes.xaxis
    scale.set_ticks(ticks, labels=[f"{value:g}" for value in ticks])
    scale.set_ticks([], minor=True)


def _round_values(digits: Sequence[float]) -> list[float]:
    return [float(f"{digit}e{power}") for power in range(-6, 4) for digit in digits]
