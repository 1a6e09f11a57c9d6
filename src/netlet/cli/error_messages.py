"""Say in one plain line what went wrong, whichever library raised the error."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer

from netlet.errors import NetletError

_MAX_LETTERS = 2_000  # of a message
_SHOWN_LETTERS = 60  # of a value that is repeated
_QUOTE_NET = "; put a net in one line into quotes, like '8 8 P 16'"

# Typer has its own copy of click in some versions and imports click in others.
_ClickError: type[Exception] = next(
    base
    for base in typer.BadParameter.__mro__
    if issubclass(base, Exception) and base.__name__ == "ClickException"
)


def describe_error(error: Exception) -> str:
    """Return an error in one line: what, the value, and the remedy."""
    if isinstance(error, _ClickError):
        return _shorten(_describe_usage_error(error))
    text = " ".join(str(error).split())
    if isinstance(error, NetletError):
        return _shorten(text)
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:  # such as of a write to an open file, or of a connection
            return _shorten(f"the system reports '{error.strerror}'; --debug shows where")
        return _shorten(
            f"{error.filename}: cannot be read or written ({error.strerror}); check its name, its "
            "permissions and the disk"
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "not enough memory; use smaller images, a smaller net or a smaller batch_size"
    return _shorten(f"{type(error).__name__}: {text or 'no message'} (--debug shows where)")


def _shorten(text: str) -> str:
    """Leave out the middle of a message that would fill the terminal."""
    if len(text) <= _MAX_LETTERS:
        return text
    return f"{text[: _MAX_LETTERS // 2]} ... {text[-_MAX_LETTERS // 4 :]}"


def _describe_usage_error(error: Exception) -> str:
    # click's message ends in a full stop, and names its command apart from the text.
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    message = " ".join(text.split()).rstrip(".").replace("Value error, ", "")
    message = re.sub(
        r"Got unexpected extra arguments?(\(s\))? \((.*)\)",
        rf"too many arguments (\2){_QUOTE_NET if _takes_net(error) else ''}",
        message,
    )
    if number := _describe_number(error, message):
        message = f"{message.partition(': ')[0]}: {number}"
    message = _rephrase_unknown(message)
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    hint = f"see '{context.command_path if context else 'netlet'} --help'"
    if not message:
        return hint
    return f"{message} {hint}" if message.endswith("?") else f"{message}; {hint}"


def _rephrase_unknown(message: str) -> str:
    """Return click's message on a command or an option that does not exist in netlet's words."""
    found = re.match(r"No such (command|option):? ('[^']*'|\"[^\"]*\"|\S+)", message)
    if not found:
        return message
    similar = ", ".join(re.findall(r"'[^']+'|--?[\w-]+", message[found.end() :]))
    hint = f"; did you mean {' or '.join(similar.rsplit(', ', 1))}?" if similar else ""
    return f"no {found[1]} {found[2]}{hint}"


def _takes_net(error: Exception) -> bool:
    command = getattr(getattr(error, "ctx", None), "command", None)
    return any(param.name in ("net", "nets") for param in getattr(command, "params", ()))


def _describe_number(error: Exception, message: str) -> str:
    """Return what is wrong with the number that an option got, in plain words.

    Empty if something else is wrong. Newer versions of typer check numbers with pydantic, older
    ones with click's types.
    """
    list_errors: Callable[[], list[Any]] = getattr(error.__cause__, "errors", list)
    details = list_errors()
    param = getattr(error, "param", None)
    bounds = getattr(getattr(param, "type_descriptor", None), "parameter_info", None)
    if details:
        kind, value = str(details[0]["type"]), details[0].get("input")
        integer = kind.startswith("int") or _annotation(param) is int
        out_of_range = kind.startswith(("greater", "less"))
        known = out_of_range or kind.startswith(("int", "float", "finite"))
    else:
        bounds = getattr(param, "type", None)
        integer = "Int" in type(bounds).__name__
        out_of_range = "is not in the range" in message
        found = re.search(r": '?(.*?)'? is not (a valid (integer|float)|in the range)", message)
        known, value = found is not None, found[1] if found else ""
    if not known:
        return ""
    if integer and not out_of_range and (plain := _without_separators(str(value))):
        return f"{_quote(str(value))} is not a whole number; write {plain}"
    if several := _describe_several(param, value):
        return several
    number = "a whole number" if integer else "a number"
    wrong = "is out of range" if out_of_range else f"is not {number}"
    low, high = getattr(bounds, "min", None), getattr(bounds, "max", None)
    limits = (
        f" from {low:,} to {high:,}"
        if low is not None and high is not None
        else f" of at least {low:,}"
        if low is not None
        else f" of at most {high:,}"
        if high is not None
        else " like 5"
        if integer
        else " like 0.5"
    )
    return f"{_quote(str(value))} {wrong}; give {number}{limits}"


def _describe_several(param: Any, value: object) -> str:
    """Return what is wrong with a mean or std for each channel; empty for all else."""
    from netlet.recipes.field_checks import NORMALIZATION, ONE_FOR_ALL, has_several_numbers

    if getattr(param, "name", "") not in NORMALIZATION or not has_several_numbers(value):
        return ""
    return f"{_quote(str(value))} {ONE_FOR_ALL}, and pass --mean 0 --std 1"


def _without_separators(text: str) -> str:
    """Return ``20000`` for ``20,000`` and for ``20k``, and nothing for all else."""
    found = re.fullmatch(r"(\d{1,3}(?:[,_' ]\d{3})+)|(\d{1,9})k", text.strip(), re.IGNORECASE)
    return re.sub(r"\D", "", found[1] or f"{found[2]}000") if found else ""


def _annotation(param: Any) -> object:
    return getattr(getattr(param, "type_descriptor", None), "annotation", None)


def _quote(value: str) -> str:
    shown = value if len(value) <= _SHOWN_LETTERS else f"{value[:_SHOWN_LETTERS]}..."
    return f"'{shown}'"
