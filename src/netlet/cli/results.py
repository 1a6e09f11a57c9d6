"""Print results to stdout, all else to stderr, so that ``--json`` is always valid JSON."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, ParamSpec, TextIO, TypeVar

from netlet.errors import NetletDeprecationWarning

_P = ParamSpec("_P")
_R = TypeVar("_R")
_stdout: ContextVar[TextIO | None] = ContextVar("stdout", default=None)

# Version of each kind of JSON document; a number goes up when a key changes its name or meaning, or
# is removed. docs/json.md describes them all. "run" and "study" have the number of their records.
SCHEMAS: Mapping[str, int] = {
    "list": 1,
    "summary": 1,
    "receptive_field": 1,
    "check": 1,
    "search": 1,
    "search_repeat": 1,
    "climb": 1,
    "runs": 1,
    "run_row": 1,
    "runs_compared": 1,
    "experiment_row": 1,
    "comparison": 1,
    "report": 1,
    "frontier": 1,
    "evaluation": 1,
    "export": 1,
    "predictions": 1,
    "play": 1,
    "card": 1,
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
        token = _stdout.set(sys.stdout)
        try:
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("always", NetletDeprecationWarning)
                warnings.showwarning = _show_warning(warnings.showwarning)
                return command(*args, **kwargs)
        finally:
            _stdout.reset(token)

    return wrapped


def _show_warning(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return what shows a warning: one line if it is about an old name of netlet's."""

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, NetletDeprecationWarning):
            say(f"netlet: warning: {message}")
        else:
            otherwise(message, category, *rest)

    return show


def print_result(text: str) -> None:
    """Print a result to stdout, with a newline at its end if it has none."""
    print(text, end="" if text.endswith("\n") else "\n", file=_stdout.get() or sys.stdout)


def json_document(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON document: its schema number and kind, then its values.

    Args:
        kind: A key of ``SCHEMAS``, or ``run`` or ``study``, whose records have a schema number.
        values: What JSON can hold.
    """
    schema = values["schema"] if "schema" in values else SCHEMAS[kind]
    return {"schema": schema, "kind": kind} | dict(values)


def print_json(kind: str, values: Mapping[str, Any]) -> None:
    """Print a JSON document, indented."""
    print_result(json.dumps(json_document(kind, values), ensure_ascii=False, indent=1))


def print_json_line(kind: str, values: Mapping[str, Any]) -> None:
    """Print a JSON document on a line of its own."""
    print_result(json.dumps(json_document(kind, values), ensure_ascii=False))


def say(text: str) -> None:
    """Print to stderr what is not a result: progress, warnings, errors."""
    print(text, file=sys.stderr, flush=True)
