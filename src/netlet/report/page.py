"""A page: Markdown and the pictures in it; written as Markdown with its pictures beside it, or as one HTML file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from netlet.errors import ReportError
from netlet.files import write_whole

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --ground: #fff; --line: #d4d7dc; --faint: #f2f4f7; --link: #1560b8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe2e6; --ground: #16181b; --line: #3a3f46; --faint: #202429; --link: #79b2f2 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink); background: var(--ground);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.25rem; margin-top: 2.2rem } h3 { font-size: 1.05rem }
a { color: var(--link) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
thead th { background: var(--faint); white-space: nowrap }
pre { padding: .7rem; background: var(--faint); overflow-x: auto; font-size: .85rem }
code { background: var(--faint); padding: .05rem .25rem; overflow-wrap: anywhere } pre code { padding: 0 }
td:first-child code, td[style*=right] { white-space: nowrap }
p:has(> .picture) { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)) }
.picture { display: block; max-width: 32rem } .picture svg { width: 100%; height: auto }
"""


@dataclass(frozen=True)
class Page:
    """What a person reads."""

    title: str
    text: str  # Markdown, without the title
    pictures: Mapping[str, str] = field(default_factory=dict)  # the name the text has for it -> SVG

    @property
    def markdown(self) -> str:
        """The whole text."""
        return f"# {self.title}\n\n{self.text.strip()}\n"

    def markdown_at(self, path: Path) -> str:
        """The whole text as it stands in a file, its pictures in a folder of the file's name beside it."""
        text = self.markdown
        for name in self.pictures:
            text = text.replace(f"]({name})", f"]({quote(path.stem)}/{name})")
        return text

    @property
    def html(self) -> str:
        """One file that needs no other.

        Raises:
            ReportError: markdown-it-py is not installed.
        """
        try:
            from markdown_it import MarkdownIt
        except ImportError as error:
            raise ReportError(
                "HTML needs markdown-it-py, which is not installed; pip install 'netlet[report]', or write .md"
            ) from error
        reader = MarkdownIt("commonmark", {"html": False}).enable("table")
        tokens = reader.parse(self.markdown)
        for token in tokens:
            for child in token.children or ():
                if child.type == "image" and child.attrs["src"] in self.pictures:
                    child.type, child.tag = "html_inline", ""
                    about = html.escape(child.content, quote=True)
                    svg = self.pictures[str(child.attrs["src"])]
                    child.content = (
                        f'<span class="picture" role="img" aria-label="{about}">{svg}</span>'
                    )
        body = reader.renderer.render(tokens, reader.options, {})
        body = body.replace("<table>", '<div class="wide"><table>').replace(
            "</table>", "</table></div>"
        )
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
        )


def combine_pages(
    title: str, text: str, pages: Sequence[Page], pictures: Mapping[str, str] | None = None
) -> Page:
    """Several pages as one, each a part with its headings one deeper and its pictures numbered with it."""
    parts = [text.strip()]
    every: dict[str, str] = dict(pictures or {})
    for number, page in enumerate(pages, start=1):
        text = _deeper(page.text).strip()
        for name in page.pictures:
            text = text.replace(f"]({name})", f"]({number}-{name})")
        parts.append(f"## {page.title}\n\n{text}")
        every |= {f"{number}-{name}": svg for name, svg in page.pictures.items()}
    return Page(title, "\n\n".join(part for part in parts if part), every)


def _deeper(text: str) -> str:
    """Every heading one deeper; a ``#`` in a shell block is none."""
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return "\n".join(lines)


def write(page: Page, path: Path) -> list[Path]:
    """Write a page as its file's ending says: ``.html``, or ``.md`` with its pictures in a folder of its name.

    Returns:
        What was written, the page first.

    Raises:
        ReportError: Another ending, a library that is missing, or a place that cannot be written
            to.
    """
    if path.suffix not in (".html", ".md"):
        raise ReportError(f"{path}: a report is written as .html or .md; name such a file")
    if path.suffix == ".html":
        contents = {path: page.html}
    else:
        folder = path.with_suffix("")
        contents = {path: page.markdown_at(path)} | {
            folder / name: svg for name, svg in page.pictures.items()
        }
    try:
        for place, content in contents.items():
            write_whole(place, content)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be written ({error.strerror}); name another with -o"
        ) from error
    return list(contents)
