"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None) -> str:
    """A table.

    Args:
        head: The column titles.
        rows: Cells as text, as many in each row as there are titles.
        align: One letter a column, ``l`` or ``r``; all to the left if not given.
    """
    rules = ["---:" if side == "r" else "---" for side in align or "l" * len(head)]
    lines = [head, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escape_markdown(text: str) -> str:
    """Somebody's text, to stand in a line or cell as it is: no mark in it means anything."""
    marks = r"[\\`*\[\]<~$&]|(?<![^\W_])_|_(?![^\W_])"  # an underscore within a word is none
    return re.sub(marks, lambda mark: f"\\{mark[0]}", " ".join(text.split()))


def inline_code(name: str) -> str:
    """A name, to stand in a page as code."""
    quoted = " ".join(name.split()).replace("`", "'")
    return f"`{quoted}`"


def bullet_list(sentences: Sequence[str]) -> str:
    """A list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def shell_block(command: str) -> str:
    """A command to be typed."""
    return f"```sh\n{command}\n```"


def image_link(name: str, about: str) -> str:
    """A picture of the page's, with what it shows for those who do not see it."""
    return f"![{about}]({name})"
