"""Say what is wrong if somebody's code uses a name that is not defined."""

from __future__ import annotations

import ast
from pathlib import Path

from netlet.errors import NetError
from netlet.files import read_regular
from netlet.nets.script import binds_name

SELECTED = "netlet_user_"  # begins the names of modules of which only some statements are run
_MAX_BYTES = 1 << 24  # of a file of source code


def explain_name_error(error: NameError) -> str:
    """Return which name is not defined where, and what to do about it, in one line."""
    reason = (str(error).strip().splitlines() or ["no message"])[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not error.name or not reason.endswith("is not defined"):
        return f"{type(error).__name__}: {reason}"
    file = Path(trace.tb_frame.f_code.co_filename)
    try:
        tree = ast.parse(read_regular(file, _MAX_BYTES, NetError), filename=str(file))
    except (NetError, OSError, SyntaxError, ValueError):  # code of no file
        return f"{reason}; define or import it"
    if not binds_name(error.name, tree):
        return f"{error.name!r} is not defined in the file {file.name}; define or import it there"
    if str(trace.tb_frame.f_globals.get("__name__")).startswith(SELECTED):
        return (
            f"{reason} by the statements that the net depends on; named as module:Name, the whole "
            "file is run"
        )
    return f"{reason} where {file.name} uses it; define it above"
