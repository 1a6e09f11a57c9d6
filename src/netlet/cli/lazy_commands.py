"""Commands that are imported when they are used, so that a list of them appears at once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from netlet.cli.commands import Group, add_command
from netlet.cli.interruption import INTERRUPTED


@dataclass(frozen=True)
class Entry:
    """A command as the list of commands shows it.

    Attributes:
        name: The name of the command.
        group: Its heading in the list.
        summary: The first line of its help.
        examples: Command lines that work as they stand; those of a group are in its own file.
        function: Where it is defined, below ``netlet.cli``: ``MODULE:NAME`` of a function, or of an
            app if it is a group of commands. If not given, it is named like its module.
    """

    name: str
    group: str
    summary: str
    examples: tuple[str, ...] = ()
    function: str = ""

    def load(self) -> Any:
        """Import the command and return it as click sees it."""
        module, _, attribute = (self.function or f"{self.name}:{self.name}").partition(":")
        function = getattr(importlib.import_module(f"netlet.cli.{module}"), attribute)
        if isinstance(function, typer.Typer):
            app = function
        else:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            add_command(app, function, *self.examples, name=self.name)
        command: Any = typer.main.get_command(app)
        command.name, command.rich_help_panel = self.name, self.group
        return command


class LazyCommands(Mapping[str, Any]):
    """The commands of entries by their names, each imported when it is looked up.

    Args:
        entries: The commands, in the order of the list.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = {entry.name: entry for entry in entries}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self.entries[name].load()
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class LazyGroup(Group):
    """A group whose commands are ``LazyCommands``."""

    commands: Any  # typer's annotation asks for a mapping that can be changed

    def invoke(self, ctx: Any) -> Any:
        """Run the command; on Ctrl-C, end before click prints an empty line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise typer.Exit(INTERRUPTED) from stop

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield the heading, the name and the summary of each command, in this order."""
        for entry in self.commands.entries.values():
            yield entry.group, entry.name, entry.summary
