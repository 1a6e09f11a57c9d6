"""What runs inside of a sandbox: give up rights, run one function, write its answer to stdout."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from netlet.errors import NetletError, first_line
from netlet.sandbox.limits import TRUSTED, Limits, limit_this_process
from netlet.sandbox.messages import Exchange
from netlet.sandbox.namespaces import forbid_user_namespaces

_FIRST_USER, _USERS = 61_184, 4_000  # numbers that no system gives to people or services
_NOBODY = 65_534


def main() -> None:
    """Run the function that the command line names: ``MODULE:FUNCTION LIMITS REQUEST``.

    The function takes the request, plain values, and an :class:`Exchange`; it returns plain values
    and bytes.
    """
    name, limits, request = sys.argv[1], Limits(**json.loads(sys.argv[2])), sys.argv[3]
    del sys.argv[1:]
    exchange = Exchange(os.dup(0), os.dup(1))  # which no other program inherits
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    _become_nobody()
    if TRUSTED not in os.environ:
        forbid_user_namespaces()
    module, _, function = name.partition(":")
    task = getattr(importlib.import_module(module), function)
    limit_this_process(limits)
    values, payload = _run(task, json.loads(request), exchange)
    with contextlib.suppress(OSError):
        exchange.send(values, payload)
    os._exit(0)


def find_place(request: Mapping[str, Any], path: str) -> str:
    """Return where the file or folder that a task has at a path is: elsewhere without a sandbox.

    Args:
        request: What the function got.
        path: The absolute path in a sandbox.
    """
    for inside, place in request.get("places", {}).items():
        if path == inside or path.startswith(f"{inside}/"):
            return str(place) + path.removeprefix(inside)
    return path


def _run(task: Any, request: dict[str, Any], exchange: Exchange) -> tuple[dict[str, Any], bytes]:
    try:
        values, payload = task(request, exchange)
        json.dumps(values)
    except NetletError as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": "", "reason": "memory"}, b""
    except BaseException as error:
        reason = first_line(error, otherwise="no message")[:500]
        return {"error": f"{type(error).__name__}: {reason}"}, b""
    return values, payload


def _become_nobody() -> None:
    """Give up root: become a user that owns nothing, so that limits on processes hold, too.

    Raises:
        OSError: This process may not; running on as root would be no sandbox.
    """
    if TRUSTED in os.environ or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    for user in (_FIRST_USER + secrets.randbelow(_USERS), _NOBODY):
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        except OSError:
            if user == _NOBODY:
                raise
        else:
            return
