"""What all commands share: grouped help that ends with examples, and old option names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from netlet.cli.results import reserve_stdout, say
from netlet.errors import NetletError

_P = ParamSpec("_P")
_R = TypeVar("_R")

GROUPS = ("Design a net", "Train it", "Understand the results", "Ship it", "Data sets")

# Option of netlet 0.1 -> today's option; both work in 0.2, the old one with a warning.
RENAMED = {"--data": "--data-dir"}
RENAMED_IN: Mapping[str, Mapping[str, str]] = {
    "runs": {"--data": "--dataset"},
    "export": {"--input": "--input-type"},
    "get": {"--to": "--out"},
}
# What other programs call a recipe's setting -> its name here, for commands with --set.
_SETTINGS = {
    "--lr": "peak_lr",
    "--learning-rate": "peak_lr",
    "--max-lr": "peak_lr",
    "--batch": "batch_size",
    "--batch-size": "batch_size",
    "--optimizer": "optimizer",
    "--momentum": "momentum",
    "--weight-decay": "weight_decay",
    "--dropout": "dropout",
    "--label-smoothing": "label_smoothing",
    "--schedule": "schedule",
}

# These take a run and run no code. Scripts may pass --trust to all commands that take one.
_TRUST, _WITHOUT_CODE = "--trust", ("compare", "frontier", "report", "runs")

# Limits of a budget -> the commands that judge by a single one; 'netlet runs' only filters by it.
_CHECK = "'netlet check'"
_LIMITS = {
    "--params-below": _CHECK,
    "--macs-below": _CHECK,
    "--weight-bytes-below": _CHECK,
    "--activation-bytes-below": _CHECK,
    "--epochs-at-most": _CHECK,
    "--epochs-below": _CHECK,
    "--accuracy-above": _CHECK,
    "--accuracy-at-least": f"{_CHECK} and 'netlet train'",
}

# Options of 'netlet show' and 'netlet check', and what other programs call them.
_OF_THE_IMAGES = ("--input", "--input-size", "--image-size", "--classes", "--num-classes")


# The range of an option's numbers, as click prints it in the help.
_RANGE = re.compile(r"(\d+)<=x<=(\d+)|x>=(\d+)")
_DIGITS_OF_A_LIMIT = 9  # larger ones, such as the last seed, are reached by nobody


class _Examples:
    """Writes an epilog as a section of examples, a line each."""

    epilog: str | None

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"  {line}\n")


class Command(_Examples, TyperCommand):
    """A command whose help ends with examples and which still accepts its old option names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments after replacing option names of earlier releases."""
        quiet = ctx.resilient_parsing  # shell completion must not print
        args = _with_current_names(str(self.name), args, quiet=quiet)
        if self.name in _WITHOUT_CODE:
            args = _without_trust(self.name, args, quiet=quiet)
        if not quiet:
            _check_not_empty(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            option = getattr(error, "option_name", None)  # of an unknown option
            names = {name for param in self.params for name in param.opts}
            arguments = [_usage(param).strip("[].") for param in self.params if _is_argument(param)]
            hint = _explain_argument(str(option), arguments) if option not in names else ""
            if hint := hint or _explain_unknown(str(option), names):
                raise NetletError(f"{hint}; see '{ctx.command_path} --help'") from error
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage line's words: ``[OPTIONS] NET``, optional arguments in brackets."""
        return ["[OPTIONS]", *(_usage(param) for param in self.params if _is_argument(param))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the tables of arguments and options."""
        arguments, options = [], []
        for param in self.get_params(ctx):
            record = help_record(param, ctx)
            if record and _is_argument(param):
                arguments.append((_usage(param).strip("[]"), record[1]))
            elif record:
                options.append(record)
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(_Examples, TyperGroup):
    """Commands listed under the headings of ``GROUPS`` instead of in one long list."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the order of the help."""
        return list(self.commands)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield the heading, the name and the summary of each command, in this order."""
        for name, command in self.commands.items():
            if not command.hidden:
                heading = getattr(command, "rich_help_panel", None)
                yield heading if isinstance(heading, str) else "Commands", name, _summary(command)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each heading with its commands."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for heading, name, summary in self.rows():
            sections.setdefault(heading, []).append((name, summary))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands first: they are what most people look for."""
        self.format_commands(ctx, formatter)
        rows = [record for param in self.get_params(ctx) if (record := help_record(param, ctx))]
        with formatter.section("Options"):
            formatter.write_dl(rows)


def add_command(
    app: typer.Typer, function: Callable[_P, _R], *lines: str, name: str = "", group: str = ""
) -> None:
    """Register a function as a command.

    Args:
        app: The app that the command is added to.
        function: The command: parses its options, calls the library and prints; the first line of
            its docstring is its line in the list of commands.
        lines: Two examples, each a command line that works as it stands.
        name: The name of the command; the function's name if not given.
        group: The command's heading in the list of commands.
    """
    from netlet.cli.option_groups import expand_groups  # imports what the help does not need

    app.command(
        name or function.__name__,
        cls=Command,
        epilog="\n".join(lines),
        rich_help_panel=group or None,
        no_args_is_help=False,
    )(reserve_stdout(expand_groups(function)))


def help_record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """Return the names of an option and its help, with the range of its numbers in words."""
    record = param.get_help_record(ctx)
    return record and (record[0], _RANGE.sub(_say_range, record[1]))


def _say_range(found: re.Match[str]) -> str:
    low, high = found[1] or found[3], found[2] or ""
    return f"{low} to {high}" if 0 < len(high) <= _DIGITS_OF_A_LIMIT else f"at least {low}"


def _summary(command: Any) -> str:
    """Return the first line of a command's help."""
    return str(command.short_help or (command.help or "").strip().partition("\n")[0])


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _usage(param: Any) -> str:
    name = str(param.metavar or str(param.name).upper()) + ("..." if param.nargs != 1 else "")
    return name if param.required else f"[{name}]"


def _explain_argument(option: str, arguments: list[str]) -> str:
    """Return what to write instead of an option that is the name of an argument, or nothing."""
    for argument in arguments:
        words = argument.lower().split("|")
        if option in {f"--{word.removesuffix('s')}{end}" for word in words for end in ("", "s")}:
            return f"no option {option}: {argument} is an argument; write it without {option}"
    return ""


def _explain_unknown(option: str, known: set[str]) -> str:
    """Return what to write instead of an option that the command does not have, or nothing."""
    if option in known:
        return ""
    if option in _OF_THE_IMAGES and "--dataset" in known:
        channels = ", and --channels 3 repeats gray images" if "--channels" in known else ""
        return (
            f"no option {option}: the data set decides the shape of the images and the classes; "
            f"choose it with --dataset, such as a folder of your own images{channels}"
        )
    if option == _TRUST:
        return "no option --trust: this command does not need it; leave it out"
    if "--set" not in known:
        return ""
    if option in _SETTINGS:
        return f"{option} is a setting of the recipe; write --set {_SETTINGS[option]}=VALUE"
    if option in _LIMITS:
        instead = "; here, name a budget with --budget ('netlet list --budgets')"
        return f"{option} is a limit of {_LIMITS[option]}{instead if '--budget' in known else ''}"
    if option in ("--device", "--gpu", "--cuda", "--cpu"):
        return (
            f"no option {option}: a CUDA GPU is used if PyTorch finds one, else the CPU; set "
            "CUDA_VISIBLE_DEVICES= to run on the CPU"
        )
    return ""


def _with_current_names(command: str, arguments: list[str], *, quiet: bool) -> list[str]:
    """Replace old option names, with a warning for each."""
    renamed = {**RENAMED, **RENAMED_IN.get(command, {})}
    current: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--":
            return current + arguments[i:]
        option, equals, value = argument.partition("=")
        if option in renamed:
            if not quiet:
                say(
                    f"netlet: warning: {option} is now called {renamed[option]}; "
                    f"{option} will stop working in 0.3"
                )
            option = renamed[option]
        current.append(f"{option}{equals}{value}")
    return current


def _without_trust(command: str, arguments: list[str], *, quiet: bool) -> list[str]:
    """Leave out ``--trust`` with a note, for a command that runs no code."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != _TRUST]
    if len(options) < end and not quiet:
        say(f"netlet: {_TRUST} changes nothing: 'netlet {command}' runs no code of a run")
    return options + arguments[end:]


def _check_not_empty(arguments: list[str]) -> None:
    """Refuse empty values, which a variable of a shell that is not set leaves behind.

    Raises:
        NetletError: An argument or the value of an option is empty.
    """
    before = ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option.startswith("--") and equals and not value.strip():
            raise NetletError(f"{option} is empty; give it a value, or leave it out")
        if not argument.strip():
            what = before if before.startswith("-") else "an argument"
            raise NetletError(f"{what} is empty; give it a value, or leave it out")
        before = argument
