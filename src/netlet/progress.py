"""Progress bars for who calls netlet from Python: in a terminal, or as a widget in a notebook.

The command line has bars of its own (``netlet.cli.progress``), which write to stderr only.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from netlet.text import escape_controls

if TYPE_CHECKING:
    from tqdm import tqdm

_SILENT = 10.0  # seconds between two lines of a bar that goes into a file


def is_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel, as in JupyterLab, VS Code and Colab."""
    # Whoever runs in a kernel has imported it already; a script should not wait for its import.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def is_watched() -> bool:
    """Return whether a person is likely to watch: a terminal or a notebook, but not CI."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false", "no"):
        return False
    return is_notebook() or is_terminal()


def shows_progress(progress: bool | None) -> bool:
    """Return whether to show progress.

    Args:
        progress: What the caller asks for; None: where a person is likely to watch.
    """
    if progress is None:
        return is_watched()
    return progress and (is_notebook() or sys.stderr is not None)


def open_bar(label: str, total: int, unit: str = "it", bar_format: str | None = None) -> tqdm[Any]:
    """Return a bar of ``tqdm.auto``: a widget in a notebook that has ipywidgets, else text.

    The caller closes it, which removes it; :func:`show_line` writes what is to stay.

    Args:
        label: The text before the bar; control characters in it are escaped.
        total: The number of what is counted.
        unit: The unit of what is counted, such as ``img``.
        bar_format: The parts of the bar, as tqdm describes them; None: tqdm's own.
    """
    with warnings.catch_warnings():
        from tqdm import TqdmWarning

        # Without ipywidgets the bar is text, which is enough.
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm
    return tqdm(
        desc=escape_controls(label),
        total=total,
        unit=unit,
        unit_scale=unit == "img",
        bar_format=bar_format,
        leave=False,
        dynamic_ncols=True,
        mininterval=0.1 if is_notebook() or is_terminal() else _SILENT,
    )


def show_line(text: str) -> None:
    """Write a line that stays: below the cell of a notebook, elsewhere to stderr.

    Args:
        text: One line; control characters in it are escaped.
    """
    # In a notebook stderr has the look of an error.
    stream = sys.stdout if is_notebook() else sys.stderr
    if stream is not None:
        print(escape_controls(text), file=stream, flush=True)
