"""Tables as Markdown, CSV and LaTeX.

The cells of a :class:`~netlet.text.Table` are plain text. A cell that is to look different is a
:class:`Code`, :class:`Bold` or :class:`Link`, which are strings too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from netlet.errors import ReportError
from netlet.outputs import write_output
from netlet.report.markdown import escape_markdown, inline_code, markdown_table
from netlet.text import Table, escape_controls

TABLE_SUFFIXES = (".csv", ".tex")
_LATEX_MARKS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "µ": r"$\mu$",
    "×": r"$\times$",
    "±": r"$\pm$",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}
# A number with a sign, a unit or an end of an interval: "-", "+61 images", "-0.30 to -0.22 points".
_AMOUNT = re.compile(r"[+-]?[\d.,]*%?( [+-]?\w[\w.,]*%?)*")


class Code(str):
    """A cell that is a name in a program."""


class Bold(str):
    """A cell that stands out."""


class Link(str):
    """A cell that leads to an address."""

    url: str

    def __new__(cls, text: str, url: str) -> Link:
        """Make a cell of a text and its address."""
        link = super().__new__(cls, text)
        link.url = url
        return link


def table_to_markdown(table: Table) -> str:
    """Return a table as Markdown; what looks like Markdown in its cells is escaped."""
    columns = [escape_markdown(column) for column in table.columns]
    rows = [[_cell_to_markdown(cell) for cell in row] for row in table.rows]
    return markdown_table(columns, rows, table.align)


def table_to_csv(table: Table) -> str:
    """Return a table as CSV, numbers without thousands separators.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(map(_cell_to_csv, table.columns))
    writer.writerows([_cell_to_csv(cell) for cell in row] for row in table.rows)
    return content.getvalue()


def table_to_latex(table: Table) -> str:
    """Return a table as a LaTeX ``tabular`` with booktabs rules; links need hyperref."""
    head, *rows = map(_row_to_latex, (table.columns, *table.rows))
    return "\n".join(
        [
            f"\\begin{{tabular}}{{{table.align}}}",
            "\\toprule",
            head,
            "\\midrule",
            *rows,
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


def table_to_text(table: Table, suffix: str) -> str:
    """Return the content of a file with a table, by its suffix: ``.csv`` or ``.tex``."""
    return table_to_csv(table) if suffix == ".csv" else table_to_latex(table)


def write_table(table: Table, path: Path) -> None:
    """Write a table as its file's suffix says: ``.csv`` or ``.tex``.

    Raises:
        ReportError: The suffix is another one.
        OutputError: The file cannot be written.
    """
    if path.suffix not in TABLE_SUFFIXES:
        raise ReportError(f"{path}: cannot write a table in this format; name a .csv or .tex file")
    write_output(path, table_to_text(table, path.suffix))


def _cell_to_markdown(cell: str) -> str:
    if isinstance(cell, Code):
        return inline_code(cell)
    text = escape_markdown(cell)
    if isinstance(cell, Link):
        return f"[{text}]({cell.url})"
    return f"**{text}**" if isinstance(cell, Bold) and text else text


def _cell_to_csv(cell: str) -> str:
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", cell):
        return cell.replace(",", "")
    text = escape_controls(cell)
    return f"'{text}" if text.startswith(tuple("=+-@")) and not _AMOUNT.fullmatch(text) else text


def _row_to_latex(row: Sequence[str]) -> str:
    line = " & ".join(map(_cell_to_latex, row))
    # Right after the end of a row, these would belong to the command that ends it.
    return f"{'{}' if line.startswith(('[', '*')) else ''}{line} \\\\"


def _cell_to_latex(cell: str) -> str:
    text = "".join(_LATEX_MARKS.get(mark, mark) for mark in escape_controls(cell))
    if isinstance(cell, Link):
        return f"\\href{{{_escape_url(cell.url)}}}{{{text}}}"
    command = "texttt" if isinstance(cell, Code) else "textbf" if isinstance(cell, Bold) else ""
    return f"\\{command}{{{text}}}" if command else text


def _escape_url(url: str) -> str:
    return re.sub(r"([%#&_])", r"\\\1", url)
