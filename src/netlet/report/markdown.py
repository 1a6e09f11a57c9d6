"""Parts of Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from netlet.text import escape_controls

# What is not a tag though it may have a "<" in it: an escaped character, a block or a span of code,
# an address between angle brackets. Last, the beginning of a tag.
_TAG = re.compile(
    r"\\[\s\S]"
    r"|^```[^`\n]*\n[\s\S]*?^ {0,3}`{3,} *$"
    r"|(?<!`)(`+)(?!`)[^\n|]+?(?<!`)\1(?!`)"
    r"|<https?://[^\s<>]*>"
    r"|(?P<tag><)(?=[A-Za-z/!?])",
    re.MULTILINE,
)


def markdown_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None
) -> str:
    """Return a table whose titles and cells are Markdown already.

    Args:
        head: The column titles.
        rows: Rows of cells, one cell for each title.
        align: One letter for each column, ``l`` or ``r``; default: all left.
    """
    rules = ["---:" if side == "r" else "---" for side in align or "l" * len(head)]
    lines = [head, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escape_markdown(text: str) -> str:
    """Return text with every mark escaped that Markdown would interpret, as one line."""
    # An underscore within a word is not a mark, nor is "less than" between spaces.
    marks = r"[\\`*\[\]~$&]|<(?! )|(?<![^\W_])_|_(?![^\W_])|#(?=#*$)"
    line = " ".join(escape_controls(text).split())
    return re.sub(marks, lambda mark: f"\\{mark[0]}", line)


def escape_tags(text: str) -> str:
    """Return Markdown in which nothing is raw HTML; marks and code are unchanged.

    It is for texts that somebody has written in Markdown, such as a ladder's remarks.
    """
    return _TAG.sub(
        lambda match: "\\<" if match["tag"] else match[0], escape_controls(text, keep="\n")
    )


def inline_code(name: str) -> str:
    """Return a name as inline code; as plain text if it would not be safe or visible as code."""
    line = " ".join(escape_controls(name).split())
    return f"`{line}`" if line and not set(line) & set("`<&") else escape_markdown(name)


def bullet_list(sentences: Sequence[str]) -> str:
    """Return a bullet list of sentences that are Markdown already."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def shell_block(command: str) -> str:
    """Return a shell block with a command."""
    return code_block(command, "sh")


def code_block(text: str, language: str) -> str:
    """Return a block of code, of which no line begins with the marks that end a block.

    Args:
        text: Its lines.
        language: What they are written in, as pages name it: ``sh``, ``toml``.
    """
    return f"```{language}\n{text.rstrip()}\n```"


def image_link(name: str, alternative: str) -> str:
    """Return an image of the page with its alternative text."""
    return f"![{alternative}]({name})"
