"""Results go to stdout, all else to stderr; what somebody's net prints too, so that ``--json`` stays JSON."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TextIO, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_stdout: ContextVar[TextIO | None] = ContextVar("stdout", default=None)


def only_results(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """While the verb runs, nothing but :func:`result` reaches stdout."""

    @functools.wraps(verb)
    def quiet(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        token = _stdout.set(sys.stdout)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                return verb(*args, **kwargs)
        finally:
            _stdout.reset(token)

    return quiet


def result(text: str) -> None:
    """Print a result, and a line's end if it has none."""
    print(text, end="" if text.endswith("\n") else "\n", file=_stdout.get() or sys.stdout)


def result_json(value: object) -> None:
    """Print a result as JSON, indented."""
    result(json.dumps(value, ensure_ascii=False, indent=1))


def say(text: str) -> None:
    """Print what is no result: progress, warnings, errors."""
    print(text, file=sys.stderr, flush=True)
