"""Name the nets of a file that do not need the statement at which loading another one failed."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

from netlet.nets.cells import Source
from netlet.nets.code_imports import UNREADABLE
from netlet.nets.definitions import select_net
from netlet.nets.net_code import is_file_address
from netlet.nets.net_names import list_inner_nets
from netlet.nets.script import drop_unused_imports
from netlet.nets.sources import read_source

_REMEDY = "; or name another net of this file: "
_MOST_NAMES = 3


def suggest_unaffected(address: str, error: BaseException) -> str:
    """Return the end of a message that names other nets of a file; empty if none could be loaded.

    Args:
        address: That of the net that could not be loaded.
        error: What the statements that it depends on raised.
    """
    place, _, name = address.rpartition(":")
    if not is_file_address(place):
        return ""
    found: list[str] = []
    with contextlib.suppress(*UNREADABLE):
        source = read_source(Path(place))
        files = {cell.filename for cell in source.cells}
        frames = traceback.walk_tb(error.__traceback__)
        lines = ((frame.f_code.co_filename, line) for frame, line in frames)
        # The outermost of these is the statement that was run.
        if failed := next((line for line in lines if line[0] in files), None):
            inner = list_inner_nets(source.tree, [name])
            found = [f"{place}:{one}" for one in inner if not _depends_on(source, one, *failed)]
    return f"{_REMEDY}{', '.join(found[:_MOST_NAMES])}" if found else ""


def _depends_on(source: Source, name: str, filename: str, line: int) -> bool:
    """Return whether a net needs the statement in a line of a file or cell, or may need it."""
    try:
        selection = select_net(source, name)
    except UNREADABLE:
        return True
    used = drop_unused_imports(selection.tree.body, selection.name)
    return any(
        node is not None
        and source.cell_of(original).filename == filename
        and node.lineno <= line <= (node.end_lineno or node.lineno)
        for node, original in zip(used, selection.tree.body, strict=True)
    )


def drop_remedy(message: str) -> str:
    """Return a message without the nets that could be named instead."""
    return message.partition(_REMEDY)[0]
