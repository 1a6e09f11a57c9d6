"""A page with figures and tables, written as Markdown, HTML, or as its figures or tables alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from netlet.display import Displayed
from netlet.errors import ReportError, install_hint
from netlet.outputs import HTML_MARK, write_outputs
from netlet.report.figures import (
    FIGURE_SUFFIXES,
    WIDE,
    add_background,
    figure_to_bytes,
    figure_to_svg,
)
from netlet.report.markdown import escape_tags, image_link
from netlet.report.tables import TABLE_SUFFIXES, table_to_markdown, table_to_text
from netlet.text import Table, escape_html

if TYPE_CHECKING:
    from markdown_it.token import Token
    from matplotlib.figure import Figure

PAGE_SUFFIXES = (".html", ".md")
_MANY_COLUMNS = 6  # a table with as many does not fit the screen of a phone
SUFFIXES = (*PAGE_SUFFIXES, *FIGURE_SUFFIXES, *TABLE_SUFFIXES)

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --ground: #fff; --line: #d4d7dc;
  --faint: #f2f4f7; --link: #1560b8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe2e6; --ground: #16181b; --line: #3a3f46; --faint: #202429; --link: #79b2f2 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; color: var(--ink);
  background: var(--ground); font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; line-height: 1.25 }
h2 { font-size: 1.25rem; margin-top: 2.2rem }
h3 { font-size: 1.05rem }
p, ul, pre { max-width: 58rem }
a { color: var(--link) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top }
thead th { background: var(--faint); vertical-align: bottom; line-height: 1.25 }
pre { padding: .7rem; background: var(--faint); overflow-x: auto; font-size: .85rem }
code { background: var(--faint); padding: .05rem .25rem; overflow-wrap: anywhere }
pre code { padding: 0 }
pre:not(:has(.language-text)) { white-space: pre-wrap; overflow-wrap: anywhere }
td code { overflow-wrap: normal }
td:first-child code, td[style*=right] { white-space: nowrap }
p:has(> .figure) { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)) }
.figure { display: block; max-width: 32rem }
.figure svg { width: 100%; height: auto }
.figure.large { max-width: 50rem; overflow-x: auto; grid-column: 1 / -1 }
.figure.large svg { min-width: 36rem }
.figure.narrow { display: none; max-width: 26rem }
@media (max-width: 40rem) {
  body { padding: .75rem }
  h1 { font-size: 1.35rem; overflow-wrap: anywhere }
  table { font-size: .8rem }
  th, td { padding: .25rem .3rem }
  td[style*=right] { white-space: normal }
  td code { overflow-wrap: anywhere }
  .figure.wide { display: none }
  .figure.narrow { display: block }
  /* A table with many columns becomes a list: each cell behind the title of its column. */
  .many thead { display: none }
  .many, .many tbody { display: block }
  .many tr { display: flex; flex-wrap: wrap; gap: 0 .9rem; padding: .35rem 0;
    border-bottom: 1px solid var(--line) }
  .many td { border: 0; padding: 0; text-align: left !important }
  .many td:empty { display: none }
  .many td:first-child { flex-basis: 100%; font-weight: bold }
  .many td::before { content: attr(data-title) " "; opacity: .65 }
}
"""


@dataclass(frozen=True)
class Page(Displayed):
    """A page in Markdown with the figures and tables in it."""

    title: str
    text: str  # Markdown, without the title; an image of figure "x" is named x.svg
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    # Shown by HTML in place of the figure of that name, on a screen too narrow for its text.
    narrow: Mapping[str, Figure] = field(default_factory=dict)

    @functools.cached_property
    def _svgs(self) -> dict[str, str]:
        return {f"{name}.svg": figure_to_svg(figure) for name, figure in self.figures.items()}

    @property
    def pictures(self) -> dict[str, str]:
        """The figures as files in SVG, by the names that the text has for them."""
        return {name: add_background(svg) for name, svg in self._svgs.items()}

    @property
    def markdown(self) -> str:
        """The whole page as Markdown, without raw HTML."""
        return escape_tags(f"# {self.title}\n\n{self.text.strip()}\n")

    def markdown_at(self, path: Path) -> str:
        """Return the Markdown of a file whose figures lie in a folder of its name beside it."""
        text = self.markdown
        for name in self.figures:
            text = text.replace(
                f"]({name}.svg)", f"]({quote(path.stem, errors='surrogateescape')}/{name}.svg)"
            )
        return text

    @property
    def html(self) -> str:
        """The whole page as one HTML file that loads nothing.

        Raises:
            ReportError: markdown-it-py is not installed.
        """
        try:
            from markdown_it import MarkdownIt
        except ImportError as error:
            raise ReportError(
                "HTML needs markdown-it-py, which is not installed; "
                f"{install_hint('report')}, or write .md"
            ) from error
        reader = MarkdownIt("commonmark", {"html": False}).enable("table")
        tokens = reader.parse(self.markdown)
        for token in tokens:
            for child in token.children or ():
                self._inline_figure(child)
        _title_cells(tokens)
        body = reader.renderer.render(tokens, reader.options, {})
        body = body.replace("<table", '<div class="scroll"><table')
        body = body.replace("</table>", "</table></div>")
        title = "".join(child.content for child in tokens[1].children or ())
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"{HTML_MARK.decode()}\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape_html(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n{body}</body>\n</html>\n"
        )

    def _inline_figure(self, token: Token) -> None:
        """Put a figure's SVG in place of the image that refers to it."""
        name = str(token.attrs.get("src", ""))
        if token.type != "image" or name not in self._svgs:
            return
        token.type, token.tag = "html_inline", ""
        figure = name.removesuffix(".svg")
        large = self.figures[figure].get_figwidth() >= WIDE
        kind = f"figure{' large' if large else ''}"
        label = f'role="img" aria-label="{escape_html(token.content)}"'
        if figure not in self.narrow:
            token.content = f'<span class="{kind}" {label}>{self._svgs[name]}</span>'
            return
        token.content = (
            f'<span class="{kind} wide" {label}>{self._svgs[name]}</span>'
            f'<span class="figure narrow" {label}>{figure_to_svg(self.narrow[figure])}</span>'
        )

    def _facts(self) -> Mapping[str, object]:
        return {
            "title": self.title,
            "characters": len(self.text),
            "figures": len(self.figures),
            "tables": len(self.tables),
        }


def _title_cells(tokens: Sequence[Token]) -> None:
    """Give each cell of a table with many columns the title of its column, for small screens."""
    table: Token | None = None
    titles: list[str] = []
    column = 0
    for number, token in enumerate(tokens):
        if token.type == "table_open":
            table, titles = token, []
        elif token.type == "th_open":
            titles.append(tokens[number + 1].content)
        elif token.type == "tbody_open" and table and len(titles) >= _MANY_COLUMNS:
            table.attrSet("class", "many")
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            if len(titles) >= _MANY_COLUMNS:
                token.attrSet("data-title", titles[column])
            column += 1


class Draft:
    """A page while it is written: paragraphs, figures and tables in order."""

    def __init__(self) -> None:
        self._paragraphs: list[str] = []
        self._figures: dict[str, Figure] = {}
        self._narrow: dict[str, Figure] = {}
        self._tables: dict[str, Table] = {}

    def add(self, *paragraphs: str) -> None:
        """Add paragraphs; empty ones are left out."""
        self._paragraphs += [paragraph for paragraph in paragraphs if paragraph]

    def figure(
        self, name: str, figure: Figure, alternative: str, narrow: Figure | None = None
    ) -> str:
        """Take a figure and return the Markdown that shows it.

        Args:
            name: The name of the figure.
            figure: The figure.
            alternative: What it shows, in words, as Markdown.
            narrow: The same for the screen of a phone, in HTML.
        """
        self._figures[name] = figure
        if narrow is not None:
            self._narrow[name] = narrow
        return image_link(f"{name}.svg", alternative)

    def table(self, name: str, table: Table) -> str:
        """Take a table and return it as Markdown."""
        self._tables[name] = table
        return table_to_markdown(table)

    def finish(self, title: str) -> Page:
        """Return the page."""
        text = "\n\n".join(self._paragraphs)
        return Page(title, text, self._figures, self._tables, self._narrow)


def combine_pages(first: Page, pages: Sequence[Page]) -> Page:
    """Return one page of several.

    Args:
        first: The page whose title becomes the title; its text, which may be empty, comes first.
        pages: The pages that become sections; headings go one level down, and the number goes
            before the names of its figures and tables.
    """
    parts = [first.text.strip()]
    figures, tables, narrow = dict(first.figures), dict(first.tables), dict(first.narrow)
    for number, page in enumerate(pages, start=1):
        text = demote_headings(page.text).strip()
        for name in page.figures:
            text = text.replace(f"]({name}.svg)", f"]({number}-{name}.svg)")
        parts.append(f"## {page.title}\n\n{text}")
        figures |= {f"{number}-{name}": figure for name, figure in page.figures.items()}
        narrow |= {f"{number}-{name}": figure for name, figure in page.narrow.items()}
        tables |= {f"{number}-{name}": table for name, table in page.tables.items()}
    return Page(first.title, "\n\n".join(part for part in parts if part), figures, tables, narrow)


def demote_headings(text: str) -> str:
    """Return Markdown with every heading one level down; ``#`` in a shell block is a comment."""
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return "\n".join(lines)


def check_suffix(path: Path, option: str = "--out") -> None:
    """Raise an error unless :func:`write` can write a file of this name.

    Raises:
        ReportError: The suffix is none of :data:`SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise ReportError(
            f"{path}: cannot write this format; name a file that ends in "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} with {option}"
        )


def write(page: Page, path: Path | str) -> list[Path]:
    """Write a page, or its figures or tables alone, as the file's suffix says.

    * ``.html``: the page as one file.
    * ``.md``: the page, its figures as SVG in a folder of its name.
    * ``.svg``, ``.pdf``, ``.png``: the figures, each as a file of its own.
    * ``.csv``, ``.tex``: the tables, each as a file of its own.

    One figure or table is written to ``path``; of several, each one's name is appended to the
    file's: ``report.pdf`` becomes ``report-accuracy.pdf`` and so on.

    Returns:
        The files that were written; of a page, its file first.

    Raises:
        ReportError: The suffix is another one, a library is missing, or the page has no figure
            or table.
        OutputError: A file cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    contents: dict[Path, bytes | str]
    if path.suffix == ".html":
        contents = {path: page.html}
    elif path.suffix == ".md":
        folder = path.with_suffix("")
        pictures = {folder / name: svg for name, svg in page.pictures.items()}
        contents = {path: page.markdown_at(path), **pictures}
    elif path.suffix in FIGURE_SUFFIXES:
        names = _name_files(path, page.figures, "figures")
        contents = {
            file: figure_to_bytes(page.figures[name], path.suffix) for name, file in names.items()
        }
    else:
        names = _name_files(path, page.tables, "tables")
        contents = {
            file: table_to_text(page.tables[name], path.suffix) for name, file in names.items()
        }
    write_outputs(contents)
    return list(contents)


def _name_files(path: Path, names: Mapping[str, object], kind: str) -> dict[str, Path]:
    """Return a file for each name: the path itself if there is one name only."""
    if not names:
        raise ReportError(f"{path}: the page has no {kind}; name an .html or .md file")
    if len(names) == 1:
        return dict.fromkeys(names, path)
    return {name: path.with_name(f"{path.stem}-{name}{path.suffix}") for name in names}
