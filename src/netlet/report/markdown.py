"""Parts of Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Sequence


def markdown_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None
) -> str:
    """Return a table whose titles and cells are Markdown already.

    Args:
        head: The column titles.
        rows: Cells, one for each title.
        align: One letter for each column, ``l`` or ``r``; default: all left.
    """
    rules = ["---:" if side == "r" else "---" for side in align or "l" * len(head)]
    lines = [head, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escape_markdown(text: str) -> str:
    """Return text with every mark escaped that Markdown would interpret."""
    marks = r"[\\`*\[\]<~$&]|(?<![^\W_])_|_(?![^\W_])"  # one within a word is not a mark
    return re.sub(marks, lambda mark: f"\\{mark[0]}", " ".join(text.split()))


def inline_code(name: str) -> str:
    """Return a name as inline code."""
    quoted = " ".join(name.split()).replace("`", "'")
    return f"`{quoted}`"


def bullet_list(sentences: Sequence[str]) -> str:
    """Return a bullet list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def shell_block(command: str) -> str:
    """Return a shell block with a command."""
    return f"```sh\n{command}\n```"


def image_link(name: str, alternative: str) -> str:
    """Return an image of the page with its alternative text."""
    return f"![{alternative}]({name})"
