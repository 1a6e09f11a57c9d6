"""Append the reference of every command, read from the command line, to ``commands.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from netlet.cli.app import build_command
from netlet.cli.commands import help_record

if TYPE_CHECKING:  # the tests read the reference without Sphinx
    from sphinx.application import Sphinx

PAGE = "commands"


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    sphinx.connect("source-read", append_reference)
    return {"parallel_read_safe": True}


def append_reference(sphinx: Sphinx, page: str, source: list[str]) -> None:
    """Append the reference to the source of the page that holds it."""
    if page == PAGE:
        source[0] += "\n" + command_reference()


def command_reference() -> str:
    """Return the reference of all commands as Markdown, in the groups of ``netlet --help``."""
    root = build_command()
    groups: dict[str, list[str]] = {}
    for command, words, group in commands_below(root, ("netlet",)):
        groups.setdefault(group, []).append(command_section(command, words))
    return "\n".join(f"## {group}\n\n" + "\n".join(parts) for group, parts in groups.items())


def commands_below(
    command: Any, words: tuple[str, ...], group: str = "Commands"
) -> Iterator[tuple[Any, tuple[str, ...], str]]:
    """Yield every command that can be run, with the words that run it and its group."""
    panel = getattr(command, "rich_help_panel", None)
    group = panel if isinstance(panel, str) else group
    children = getattr(command, "commands", None)
    if children is None:
        yield command, words, group
        return
    for name, child in children.items():
        if not child.hidden:
            yield from commands_below(child, (*words, name), group)


def command_section(command: Any, words: tuple[str, ...]) -> str:
    """Return one command's section: usage, description, arguments, options and examples."""
    context = command.make_context(words[-1], [], resilient_parsing=True)
    usage = " ".join([*words, *command.collect_usage_pieces(context)])
    parts = [f"### {' '.join(words)}", f"```text\n{usage}\n```", paragraphs(command.help or "")]
    shown = [p for p in command.get_params(context) if not getattr(p, "hidden", False)]
    rows = [row for p in shown if (row := parameter_row(p, context))]
    if rows:
        parts.append("\n".join(["| argument or option | meaning |", "| --- | --- |", *rows]))
    if command.epilog:
        parts.append(f"```text\n{literal(command.epilog)}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def parameter_row(parameter: Any, context: Any) -> str:
    """Return the table row of an argument or option, or nothing for one that help leaves out."""
    record = help_record(parameter, context)
    if record is None or parameter.name == "help":
        return ""
    name, meaning = record
    if parameter.param_type_name == "argument":
        name = str(parameter.metavar or parameter.name.upper())
    code = name.replace("|", "\\|")  # which divides cells in code, too
    return f"| `{code}` | {escaped(meaning)} |"


def paragraphs(text: str) -> str:
    """Return help text as Markdown paragraphs, with its literal blocks kept."""
    blocks = text.replace("\b\n", "\b").split("\n\n")
    return "\n\n".join(
        f"```text\n{literal(block)}\n```" if block.startswith("\b") else escaped(block)
        for block in blocks
    )


def literal(text: str) -> str:
    """Return help text without click's mark for text that it does not wrap."""
    return text.replace("\b", "").strip("\n")


def escaped(text: str) -> str:
    """Return help text on one line in which Markdown finds no markup."""
    line = " ".join(text.split())
    for mark in ("\\", "`", "*", "_", "<", "|", "[", "$"):
        line = line.replace(mark, "\\" + mark)
    return line
