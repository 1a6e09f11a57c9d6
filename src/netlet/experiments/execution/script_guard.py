"""Refuse to start workers from a script that each of them would run again."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import FrameType

from netlet.errors import NetletError
from netlet.nets.script import is_main_guard


def refuse_unguarded_script() -> None:
    """Refuse to start workers outside of ``if __name__ == "__main__"``.

    Worker processes import the main script, as all of ``multiprocessing`` does. Without the guard
    they would start workers themselves.

    Raises:
        NetletError: The statement of the main script that runs now is not below the guard.
    """
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    frame = _find_module_frame(sys._getframe(), vars(main))
    # Notebooks and "python -c" have no file; of "python -m", the package decides.
    if path is None or frame is None or getattr(main, "__spec__", None) is not None:
        return
    try:
        statements = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):  # not a script of Python, such as a zip file
        return
    guarded = [statement for statement in statements if is_main_guard(statement)]
    if not any(one.lineno <= frame.f_lineno <= (one.end_lineno or 0) for one in guarded):
        raise NetletError(
            f"{path}, line {frame.f_lineno}: this starts worker processes, which import the "
            'script; put it below if __name__ == "__main__": or each worker would start others'
        )


def _find_module_frame(frame: FrameType | None, namespace: dict[str, object]) -> FrameType | None:
    """Return the frame that runs the statements of a module, if this thread runs them."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is namespace:
            return frame
        frame = frame.f_back
    return None
