"""Print results to stdout, all else to stderr, so that ``--json`` is always valid JSON.

Control characters in what is printed are escaped here, since names and messages come from outside.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar

from netlet.cli.own_stdout import own_stdout
from netlet.cli.streams import write_stdout
from netlet.errors import NetError, NetletDeprecationWarning, NetletWarning, is_library_file
from netlet.text import count_noun, dump_json, escape_controls

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SHOWN_IN_ONE_LINE = (NetletDeprecationWarning, NetletWarning)
_noted: ContextVar[list[str] | None] = ContextVar("noted", default=None)
_stdout: ContextVar[TextIO | None] = ContextVar("stdout", default=None)

# Version of each kind of JSON document; a number goes up when a key changes its name or meaning, or
# is removed. docs/json.md describes them all. "run" and "study" have the number of their records.
SCHEMAS: Mapping[str, int] = {
    "list": 1,
    "init": 1,
    "budget": 1,
    "summary": 1,
    "summaries": 1,
    "receptive_field": 1,
    "receptive_fields": 1,
    "check": 1,
    "checks": 1,
    "grades": 1,
    "search": 2,
    "search_repeat": 2,
    "climb": 1,
    "runs": 1,
    "run_row": 1,
    "runs_compared": 1,
    "experiment_row": 1,
    "comparison": 1,
    "report": 1,
    "frontier": 1,
    "evaluation": 1,
    "explanation": 1,
    "lr": 1,
    "export": 1,
    "predictions": 2,
    "play": 1,
    "card": 1,
    "publish": 1,
    "data_get": 1,
    "data_list": 1,
    "data_verify": 1,
    "data_show": 1,
    "data_make": 1,
}


def reserve_stdout(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Keep stdout for ``print_result`` and ``print_json`` while a command runs.

    Other prints, such as those of somebody's net, go to stderr.
    """

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with own_stdout() as stdout:
            return reserved(stdout, *args, **kwargs)

    def reserved(stdout: TextIO, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        token, noted = _stdout.set(stdout), _noted.set([])
        try:
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                for category in _SHOWN_IN_ONE_LINE:
                    warnings.simplefilter("always", category)
                warnings.showwarning = _show_warning(warnings.showwarning)
                return command(*args, **kwargs)
        except (SystemExit, GeneratorExit) as error:  # no command of netlet's ends like this
            from netlet.nets.isolation import describe_exit

            raise NetError(f"the net: {describe_exit(error)}") from error
        finally:
            _stdout.reset(token)
            _noted.reset(noted)

    return wrapped


def _show_warning(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return what shows a warning: once and in one line unless other code raised it."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        # PyTorch's own about a net name a place in PyTorch or in netlet, which helps nobody.
        if _is_noted(" ".join(str(message).split())):
            return
        ours = issubclass(category, _SHOWN_IN_ONE_LINE)
        if ours or is_library_file(str(rest[0])):
            text = str(message) if ours else " ".join(str(message).split())
            if text not in shown:  # a search trains many nets
                shown.add(text)
                say(f"netlet: warning: {text}")
        else:
            text = escape_controls(str(message), keep="\n")
            otherwise(message if text == str(message) else text, category, *rest)

    return show


def remember_notes(notes: Iterable[str]) -> None:
    """Let warnings that notes on a net have repeated already be shown no more.

    Args:
        notes: Lines like ``note: layer end (Softmax): Implicit dimension choice ...``.
    """
    if (noted := _noted.get()) is not None:
        noted += [note for note in notes if note.startswith("note: ")]


def _is_noted(text: str) -> bool:
    notes = [note.partition(": ")[2].partition(": ")[2] for note in _noted.get() or ()]
    # Long ones are cut in notes.
    return any(
        text == note or (note.endswith("...") and text.startswith(note[:-3])) for note in notes
    )


def accept_all_characters() -> None:
    """Let stdout and stderr escape what their encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if it is closed
            stream.reconfigure(errors="backslashreplace")


def print_result(text: str, *, lines: bool = False) -> None:
    """Print a result to stdout, with a newline at its end if it has none.

    Args:
        text: One line; line breaks in it are from a name and are escaped.
        lines: The text has several lines, in which names have been escaped.
    """
    _print_to_stdout(escape_controls(text, keep="\n" if lines else ""))


def print_files(files: Sequence[Path], out: Path) -> None:
    """Print the files that a report was written to; the figures beside Markdown in one line.

    Args:
        files: Their paths.
        out: The path that the report was asked for.
    """
    if out.suffix == ".md":
        figures = count_noun(len(files) - 1, "figure")
        beside = f", and {figures} in {out.with_suffix('')}/" if files[1:] else ""
        print_result(f"{files[0]}{beside}")
        return
    for file in files:
        print_result(str(file))


def _print_to_stdout(text: str) -> None:
    write_stdout(text if text.endswith("\n") else f"{text}\n", _stdout.get() or sys.stdout)


def json_document(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON document: its schema number and kind, then its values.

    Args:
        kind: A key of ``SCHEMAS``, or ``run`` or ``study``, whose records have a schema number.
        values: Values that JSON can hold.
    """
    schema = values["schema"] if "schema" in values else SCHEMAS[kind]
    return {"schema": schema, "kind": kind} | dict(values)


def print_json(kind: str, values: Mapping[str, Any]) -> None:
    """Print a JSON document, indented."""
    _print_json(json_document(kind, values), indent=1)


def print_json_line(kind: str, values: Mapping[str, Any]) -> None:
    """Print a JSON document on a line of its own."""
    _print_json(json_document(kind, values), indent=None)


def _print_json(document: Mapping[str, Any], indent: int | None) -> None:
    """Print JSON as UTF-8, or as ASCII, which is UTF-8 too, where stdout has another encoding."""
    encoding = getattr(_stdout.get() or sys.stdout, "encoding", None) or "ascii"
    if codecs.lookup(encoding).name == "utf-8":
        _print_to_stdout(dump_json(document, indent=indent))
    else:
        _print_to_stdout(json.dumps(document, indent=indent))


def say(text: str, *, lines: bool = False) -> None:
    """Print to stderr what is not a result: progress, warnings, errors.

    Args:
        text: One line; line breaks in it are from a name and are escaped.
        lines: The text has several lines, in which names have been escaped.
    """
    if sys.stderr is not None:  # closed; print would write to stdout
        with contextlib.suppress(OSError):  # nobody reads it, or the disk is full: no loss
            print(escape_controls(text, keep="\n" if lines else ""), file=sys.stderr, flush=True)
