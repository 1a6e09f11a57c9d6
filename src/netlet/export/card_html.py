"""A model card on the page: the Markdown that ``netlet card`` prints, as HTML.

It reads the Markdown that cards consist of (headings, paragraphs, lists, tables, blocks and spans
of code, escaped marks), so that a page needs no library for it. Anything else stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netlet.text import escape_html

_MARKS = re.compile(r"\\([!-/:-@\[-`{-~])|(?<!`)(`+)(?!`)(.+?)(?<!`)\2(?!`)")
_CELL_BORDER = re.compile(r"(?<!\\)\|")


def card_section(card: str | None) -> str:
    """Return the section of the page with a model card; nothing if there is no card.

    Args:
        card: Its Markdown. The title of the card is left out.
    """
    if card is None:
        return ""
    return (
        '<section id="card" aria-labelledby="card-title">\n'
        '<details><summary><h2 id="card-title">Model card</h2></summary>\n'
        f"{card_to_html(card)}\n</details>\n</section>"
    )


def card_to_html(card: str) -> str:
    """Return the HTML of a model card without its title.

    Args:
        card: Its Markdown.
    """
    return "\n".join(_render(block) for block in _split_blocks(card))


def _split_blocks(card: str) -> Iterator[list[str]]:
    """Yield the lines of each block: those between blank lines, or of a block of code."""
    block: list[str] = []
    in_code = False
    for line in [*card.splitlines(), ""]:
        fence = line.startswith("```")
        if in_code or line.strip():
            block.append(line)
        if block and ((in_code and fence) or (not in_code and not line.strip())):
            yield block
            block = []
        in_code = in_code != fence


def _render(block: list[str]) -> str:
    first = block[0]
    if first.startswith("```"):
        code = "\n".join(escape_html(line) for line in block[1:-1])
        return f"<pre><code>{code}</code></pre>"
    if first.startswith("# "):
        return ""
    if first.startswith("#"):
        return f"<h3>{_inline(first.lstrip('#').strip())}</h3>"
    if first.startswith("|"):
        return _render_table(block)
    if first.startswith("- "):
        items = "\n".join(block).removeprefix("- ").split("\n- ")
        points = "".join(f"<li>{_inline(item)}</li>" for item in items)
        return f"<ul>{points}</ul>"
    return f"<p>{_inline(' '.join(block))}</p>"


def _render_table(lines: list[str]) -> str:
    head, rules, *rows = (_split_cells(line) for line in lines)
    sides = ['class="right"' if rule.endswith(":") else "" for rule in rules]

    def row(cells: list[str], tag: str) -> str:
        starts = (f"{tag} {side}".strip() for side in sides)
        pairs = zip(starts, cells, strict=True)
        inner = "".join(f"<{start}>{_inline(cell)}</{tag}>" for start, cell in pairs)
        return f"<tr>{inner}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="card-title"><table>'
        f"<thead>{row(head, 'th')}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _split_cells(line: str) -> list[str]:
    cells = _CELL_BORDER.split(line.strip().removeprefix("|").removesuffix("|"))
    return [cell.strip().replace("\\|", "|") for cell in cells]


def _inline(text: str) -> str:
    """Return a line with its spans of code and escaped marks as HTML."""
    parts, at = [], 0
    for match in _MARKS.finditer(text):
        parts.append(escape_html(text[at : match.start()]))
        if match[1]:
            parts.append(escape_html(match[1]))
        else:
            parts.append(f"<code>{escape_html(match[3])}</code>")
        at = match.end()
    return "".join([*parts, escape_html(text[at:])])
